"""Jobs as workers see them: launched, taken, ended, found when orphaned, deleted."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import pytest
import sqlalchemy as sa

from ingest_assets.jobs import event_log, events, queue, workers
from ingest_assets.jobs.errors import JobCancelledError, JobStateError
from ingest_assets.jobs.events import Tally
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets_tests.jobs.conftest import Start

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def _launch(ledger: Ledger, max_concurrent: int) -> list[str]:
    return [job.id for job in workers.to_launch(ledger, max_concurrent=max_concurrent)]


@both
def test_jobs_are_launched_up_to_the_limit_oldest_first(ledger: Ledger, start: Start) -> None:
    a, b, c = (start(name).job_id for name in "abc")
    assert _launch(ledger, 2) == [a, b]
    assert _launch(ledger, 2) == [a, b]  # not taken yet
    assert [job.id for job in workers.to_launch(ledger, max_concurrent=2, limit=1)] == [a]
    workers.mark_running(ledger, a, "run a")
    assert _launch(ledger, 2) == [b]
    workers.mark_running(ledger, b, "run b")
    assert _launch(ledger, 2) == _launch(ledger, 1) == []
    workers.end(ledger, a, "completed")
    assert _launch(ledger, 2) == [c]
    for max_concurrent, limit in ((0, None), (1, -1)):
        with pytest.raises(ConfigurationError):
            workers.to_launch(ledger, max_concurrent=max_concurrent, limit=limit)


@both
def test_two_jobs_of_a_repository_do_not_run_at_once(ledger: Ledger, start: Start) -> None:
    first, second, other = start("a"), start("a", git_ref="v1"), start("b")
    assert _launch(ledger, 5) == [first.job_id, other.job_id]
    workers.mark_running(ledger, first.job_id, "run")
    assert _launch(ledger, 5) == [other.job_id]
    workers.end(ledger, first.job_id, "failed", "no")
    assert _launch(ledger, 5) == [second.job_id, other.job_id]


@both
def test_a_job_is_taken_by_one_worker(ledger: Ledger, start: Start) -> None:
    job = start("a", git_ref="main", metadata={"by": "Ada"}).job_id
    taken = workers.mark_running(ledger, job, "run 1")
    assert (taken.git_ref, taken.metadata, taken.repo_name) == ("main", {"by": "Ada"}, "a")
    assert workers.mark_running(ledger, job, "run 1") == taken
    with pytest.raises(JobStateError, match="Another worker has the job: run 1"):
        workers.mark_running(ledger, job, "run 2")
    workers.end(ledger, job, "completed")
    with pytest.raises(JobStateError, match="The job is completed"):
        workers.mark_running(ledger, job, "run 1")
    gone = start("b").job_id
    queue.cancel(ledger, gone)
    with pytest.raises(JobCancelledError):
        workers.mark_running(ledger, gone, "run")


@both
def test_only_the_first_end_counts(ledger: Ledger, start: Start) -> None:
    job = start().job_id
    with pytest.raises(JobStateError, match="has not begun"):
        workers.end(ledger, job, "completed")
    workers.mark_running(ledger, job, "run")
    totals = Tally(9, 2, 31, Counter(Rust=5, Python=2))
    assert workers.end(ledger, job, "completed", totals=totals)
    assert not workers.end(ledger, job, "failed", "too late")
    status = queue.status_of(ledger, job)
    assert (status["status"], status["progress_percentage"]) == ("completed", 100)
    assert (status["files_scanned"], status["files_indexed"], status["chunks_created"]) == (7, 7, 31)
    assert status["error_message"] is None
    (last,) = event_log.after(ledger, job)
    assert events.summary_of([last]) | {"duration_ms": 0} == {
        "status": "success",
        "files_detected": 9,
        "files_processed": 7,
        "files_skipped": 2,
        "chunks_created": 31,
        "duration_ms": 0,
        "language_breakdown": {"Python": 2, "Rust": 5},
    }


@both
def test_a_failure_with_any_message_is_recorded(ledger: Ledger, start: Start) -> None:
    job = start().job_id
    workers.mark_running(ledger, job, "run")
    try:
        raise ValueError("NUL \0, surrogate \ud800, long " + "x" * 100_000)  # noqa: TRY301 - the failure is under test
    except ValueError as error:
        workers.end(ledger, job, "failed", error)
    with ledger.reading() as connection:
        row = connection.execute(sa.select(job_tables.indexing_jobs)).one()
    assert row.error_type == "ValueError"
    assert row.error_message.startswith(r"ValueError: NUL \0, surrogate \ud800, long x")
    assert len(row.error_message) == 2_000
    assert len(row.error_traceback) == 20_000
    (last,) = event_log.after(ledger, job)
    assert last["status"] == "failed"
    assert last["payload"]["error"] == row.error_message


@both
def test_our_own_errors_are_sentences(ledger: Ledger, start: Start) -> None:
    job = start().job_id
    workers.end(ledger, job, "failed", UnavailableError("The host does not answer."))  # never begun
    assert queue.status_of(ledger, job)["error_message"] == "The host does not answer."


@both
@pytest.mark.parametrize(
    ("error", "ask", "outcome", "kind"),
    [
        (None, False, "completed", None),
        (None, True, "completed", None),  # it was done before it noticed the cancellation
        (JobCancelledError("x"), False, "cancelled", None),
        (UnavailableError("x"), False, "failed", "UnavailableError"),
        (KeyboardInterrupt(), False, "failed", "KeyboardInterrupt"),
        (KeyboardInterrupt(), True, "cancelled", None),
    ],
)
def test_a_block_of_work_ends_its_job(
    ledger: Ledger, start: Start, error: BaseException | None, ask: bool, outcome: str, kind: str | None
) -> None:
    job_id = start().job_id
    expected = pytest.raises(type(error)) if error else nullcontext()
    with expected, workers.working(ledger, job_id, "run") as job:
        assert job.id == job_id
        if ask:
            queue.cancel(ledger, job_id)
        if error:
            raise error
    status = queue.status_of(ledger, job_id)
    assert (status["status"], status["error_type"]) == (outcome, kind)
    assert [event["status"] for event in event_log.after(ledger, job_id)] == [
        "success" if outcome == "completed" else "failed"
    ]


def test_a_block_of_work_that_loses_its_ledger_raises_its_own_error(ledger: Ledger, start: Start) -> None:
    job_id = start().job_id
    with pytest.raises(ZeroDivisionError) as caught, workers.working(ledger, job_id, "run"):  # noqa: PT012 - must fail inside the block
        with ledger.transaction() as connection:
            connection.exec_driver_sql("drop table indexing_jobs")
        raise ZeroDivisionError
    assert "could not be ended" in caught.value.__notes__[0]


@both
def test_orphans_are_ended(ledger: Ledger, start: Start) -> None:
    alive, gone, stopped, late, waiting = (start(name).job_id for name in "abcde")
    for job in (alive, gone, stopped, late):
        workers.mark_running(ledger, job, f"run of {job}")
    queue.cancel(ledger, stopped)
    t = job_tables.indexing_jobs
    with ledger.transaction() as connection:
        connection.execute(t.update().where(t.c.id == late).values(started_at=t.c.started_at - 3_601))

    def is_alive(worker: str) -> bool:
        return worker.endswith((alive, late))

    ended = {one.job_id: one for one in workers.end_orphans(ledger, is_alive, timeout_s=3_600)}
    assert {job: one.outcome for job, one in ended.items()} == {
        gone: "failed",
        stopped: "cancelled",
        late: "failed",
    }
    assert ended[late].worker_task_id == f"run of {late}"
    found = {job["job_id"]: job for job in queue.list_jobs(ledger)}
    assert found[gone]["error_type"] == "WorkerLostError"
    assert found[late]["error_message"] == ("The job took longer than 3600 s (INDEXING_JOB_TIMEOUT_SECONDS).")
    assert (found[alive]["status"], found[waiting]["status"]) == ("running", "pending")
    assert workers.end_orphans(ledger, is_alive, timeout_s=3_600) == []


def test_a_worker_whose_state_is_unknown_is_not_taken_for_gone(ledger: Ledger, start: Start) -> None:
    job = start().job_id
    workers.mark_running(ledger, job, "run")

    def is_alive(_worker: str) -> bool:
        raise UnavailableError("no answer")

    with pytest.raises(UnavailableError):
        workers.end_orphans(ledger, is_alive, timeout_s=60)
    assert queue.status_of(ledger, job)["status"] == "running"


@both
def test_old_jobs_are_deleted_with_their_events(
    ledger: Ledger, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FORGET_EVENTS", 3)
    jobs = [start(str(n)).job_id for n in range(6)]
    for job in jobs[:5]:
        workers.mark_running(ledger, job, "run")
    for job in jobs[:4]:
        event_log.append(ledger, job, [events.file_detected("a")])
        workers.end(ledger, job, "completed")
    t = job_tables.indexing_jobs
    with ledger.transaction() as connection:
        connection.execute(t.update().values(created_at=t.c.created_at - 8 * 86_400))
        old = t.update().where(t.c.id.in_(jobs[:3]))
        connection.execute(old.values(completed_at=t.c.completed_at - 8 * 86_400))
    assert workers.forget_old(ledger, 7) == 3
    assert workers.forget_old(ledger, 7) == 0
    assert {job["job_id"] for job in queue.list_jobs(ledger)} == set(jobs[3:])
    with ledger.reading() as connection:
        assert set(connection.scalars(sa.select(job_tables.indexing_job_events.c.job_id))) == {jobs[3]}
    for wrong in (-1, float("nan")):
        with pytest.raises(ConfigurationError):
            workers.forget_old(ledger, wrong)
