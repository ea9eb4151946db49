"""Progress is written rarely, never decreases and breaks nothing; a cancellation reaches the work."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from ingest_assets.jobs import queue, workers
from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.jobs.progress import JobProgress, Update
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.ledger.store import BUSY_TIMEOUT_S
from ingest_assets_tests.jobs.conftest import Start

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def job(ledger: Ledger, start: Start) -> str:
    job_id = start().job_id
    workers.mark_running(ledger, job_id, "run")
    return job_id


@contextmanager
def writes(ledger: Ledger) -> Iterator[list[str]]:
    """The updates of jobs made within the block."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE indexing_jobs"):
            seen.append(statement)

    sa.event.listen(ledger.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(ledger.engine, "before_cursor_execute", note)


@both
def test_progress_from_start_to_end(ledger: Ledger, job: str) -> None:
    clock = Clock()
    progress = JobProgress(ledger, job, clock=clock)
    seen: list[tuple[int, str]] = []

    def look() -> None:
        clock.now += 2
        status = queue.status_of(ledger, job)
        seen.append((status["progress_percentage"], status["progress_message"]))

    progress.scanned(40)
    look()
    for done in (0, 20, 40):
        progress.report("chunk", done, 40, files_indexed=done, chunks_created=3 * done)
        look()
    progress.report("embed", 60, 120)
    look()
    progress.report("write", 0, 120)
    look()
    workers.end(ledger, job, "completed")
    look()
    assert seen == [
        (10, "Files scanned: 40."),
        (10, "Files chunked: 0 of 40."),
        (30, "Files chunked: 20 of 40."),
        (50, "Files chunked: 40 of 40."),
        (70, "Chunks embedded: 60 of 120."),
        (95, "Chunks written: 0 of 120."),
        (100, "Completed."),
    ]
    status = queue.status_of(ledger, job)
    assert (status["files_scanned"], status["files_indexed"], status["chunks_created"]) == (40, 40, 120)


@both
def test_updates_are_rare_and_never_decrease(ledger: Ledger, job: str) -> None:
    clock = Clock()
    progress = JobProgress(ledger, job, clock=clock)
    with writes(ledger) as seen:
        for done in range(1_000):
            clock.now += 0.01
            progress.report("chunk", done, 1_000)
            progress.report("scan", done)
    assert 2 <= len(seen) <= 2 + 5
    progress.report("embed", 10, 100)
    progress.report("chunk", 1, 100)
    progress.report("embed", -5, 100)
    progress.report("embed", 7, 0)
    progress.flush()
    assert queue.status_of(ledger, job)["progress_percentage"] == 54
    JobProgress(ledger, job).report("scan", 0)  # a worker that starts over
    assert queue.status_of(ledger, job)["progress_percentage"] == 54


@both
def test_a_job_that_has_ended_is_left_alone(ledger: Ledger, job: str) -> None:
    workers.end(ledger, job, "failed", "Timed out.")
    before = queue.status_of(ledger, job)
    progress = JobProgress(ledger, job)
    progress.report("embed", 1, 2)
    assert queue.status_of(ledger, job) == before
    with pytest.raises(JobCancelledError, match="The job is failed"):
        progress.check_cancelled()


@both
def test_a_cancellation_is_seen_with_the_next_update(ledger: Ledger, job: str) -> None:
    clock = Clock()
    progress = JobProgress(ledger, job, clock=clock)
    progress.report("scan", 1)
    queue.cancel(ledger, job)
    progress.check_cancelled()
    clock.now += 2
    progress.report("scan", 2)
    with pytest.raises(JobCancelledError, match="The job was cancelled"):
        progress.check_cancelled()


@both
def test_a_cancellation_is_looked_up_every_five_seconds(ledger: Ledger, job: str) -> None:
    clock = Clock()
    progress = JobProgress(ledger, job, clock=clock)
    progress.check_cancelled()
    queue.cancel(ledger, job)
    clock.now += 4.9
    progress.check_cancelled()
    clock.now += 0.1
    for _ in range(2):  # it stays cancelled
        with pytest.raises(JobCancelledError):
            progress.check_cancelled()


def test_a_deleted_job_stops(ledger: Ledger, job: str) -> None:
    progress = JobProgress(ledger, job, cancel_interval_s=0)
    with ledger.transaction() as connection:
        connection.execute(job_tables.indexing_jobs.delete())
    with pytest.raises(JobCancelledError, match="no longer exists"):
        progress.check_cancelled()


@both
def test_a_locked_ledger_breaks_nothing(ledger: Ledger, job: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    progress = JobProgress(ledger, job, clock=clock)
    with caplog.at_level(logging.WARNING), ledger.transaction() as other:
        other.execute(job_tables.indexing_jobs.update().values(connection_id="x"))
        began = time.monotonic()
        for done in range(8):
            clock.now += 6
            progress.report("scan", done)
            progress.check_cancelled()
        assert time.monotonic() - began < 1
    assert [record.message.split(":")[0] for record in caplog.records] == [
        f"Job {job} continues, but could not record the progress"
    ]
    clock.now += 0.25  # it is retried soon
    progress.report("scan", 9)
    assert queue.status_of(ledger, job)["progress_message"] == "Files scanned: 9."
    if ledger.is_sqlite:  # other writers are as patient as before
        with ledger.reading() as connection:
            assert connection.exec_driver_sql("pragma busy_timeout").scalar() == BUSY_TIMEOUT_S * 1_000


def test_a_lost_ledger_breaks_nothing(ledger: Ledger, job: str) -> None:
    progress = JobProgress(ledger, job, cancel_interval_s=0)
    with ledger.transaction() as connection:
        connection.exec_driver_sql("drop table indexing_jobs")
    for _ in range(2):
        progress.report("embed", 1, 2)
        progress.check_cancelled()


def test_a_listener_is_told_and_may_fail(ledger: Ledger, job: str, caplog: pytest.LogCaptureFixture) -> None:
    received: list[Update] = []

    def listener(update: Update) -> None:
        received.append(update)
        raise ZeroDivisionError

    progress = JobProgress(ledger, job, update_interval_s=0, listener=listener)
    progress.report("chunk", 1, 2, files_scanned=5)
    progress.report("embed", 1, 2, message="odd \0" + "x" * 10_000)
    assert [update.percentage for update in received] == [30, 70]
    assert received[0] == Update(job, 30, "Files chunked: 1 of 2.", 5, 0, 0)
    assert len(caplog.records) == 1
    assert queue.status_of(ledger, job)["progress_message"].startswith(r"odd \0xxx")
