"""What workers do with jobs: launch pending ones, take one, end it, find orphans, delete old ones.

A launcher asks again and again which jobs may be launched, and may launch the same job twice: only the first
worker can take it. A worker takes its job (`mark_running`), works, and ends it; if it no longer can,
whoever looks for orphans does. Only the first end of a job counts.

What belongs here: the workers' side. What does not: clients (queue), Dagster, and doing the work.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.jobs.errors import JobCancelledError, JobStateError
from ingest_assets.jobs.events import Tally
from ingest_assets.jobs.rows import (
    ACTIVE,
    FINISHED,
    PENDING,
    RUNNING,
    Job,
    checked_id,
    checked_text,
    job_of,
    require,
)
from ingest_assets.jobs.transitions import Failure, Outcome, finish
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ConfigurationError, IngestError

log = logging.getLogger(__name__)
# A launcher looks for jobs every few seconds. If none has for this long, it is not running, or is stuck. When
# one says that it stops, another one that there may be has so long to look.
LAUNCHER_SILENT_S, ANOTHER_LOOKS_S = 60.0, 10.0
# Events deleted per transaction: other writers wait for about 0.1 s.
FORGET_EVENTS = 20_000
FORGET_JOBS = 500
DAY_S = 86_400.0
# In a job's result: how long it has waited for others, and since when it does.
WAITED_S, WAITING_SINCE = "waited_s", "waiting_since"


class EndedJob(NamedTuple):
    """A job that was ended on behalf of its worker. If the worker is still alive, it must be terminated."""

    job_id: str
    worker_task_id: str | None
    outcome: Outcome
    reason: str


def to_launch(
    ledger: Ledger, *, max_concurrent: int, limit: int | None = None, launcher: str = "default"
) -> list[Job]:
    """The pending jobs that may be launched now, oldest first, including those launched but not yet taken.

    Two jobs for one target never run at once: they would wait for each other. Records that this
    launcher looked, so that the status of a waiting job can say when none does.
    """
    if max_concurrent < 1:
        raise ConfigurationError(f"MAX_CONCURRENT_INDEXING_JOBS must be at least 1, not {max_concurrent}.")
    if limit is not None and limit < 1:
        raise ConfigurationError(f"The limit of jobs to launch must be at least 1, not {limit}.")
    t = job_tables.indexing_jobs
    note_launcher(ledger, launcher)
    with ledger.reading() as connection:
        busy = connection.execute(sa.select(t.c.source, t.c.repository_id).where(sa.text(RUNNING))).all()
        free_slots = max_concurrent - len(busy)
        taken, ids = {(row.source, row.repository_id) for row in busy}, list[str]()
        waiting = (
            sa.select(t.c.id, t.c.source, t.c.repository_id)
            .where(sa.text(PENDING))
            .order_by(t.c.created_at, t.c.id)
        )
        for job_id, *target in connection.execute(waiting) if free_slots > 0 else ():
            if tuple(target) not in taken:
                taken.add(tuple(target))
                ids.append(job_id)
            if len(ids) == min(free_slots, limit or free_slots):
                break
        return [job_of(require(connection, job_id)) for job_id in ids]


def note_launcher(ledger: Ledger, launcher: str = "default") -> None:
    """Record that a launcher looks for jobs, or is about to."""
    row = {"name": checked_text("The launcher's name", launcher, 200), "looked_at": time.time()}
    with ledger.transaction() as connection:
        upsert(connection, job_tables.indexing_job_launcher, [row])


def note_no_launcher(ledger: Ledger, launcher: str = "default") -> None:
    """Record that a launcher stops. Unless another one looks soon, nothing runs jobs."""
    t = job_tables.indexing_job_launcher
    then = time.time() - LAUNCHER_SILENT_S + ANOTHER_LOOKS_S
    with ledger.transaction() as connection:
        connection.execute(
            t.update().where(t.c.name == launcher, t.c.looked_at > then).values(looked_at=then)
        )


def active_targets(ledger: Ledger, source: str) -> set[str]:
    """The ids of the targets of a source that have a pending or running job."""
    t = job_tables.indexing_jobs
    with ledger.reading() as connection:
        ids = sa.select(t.c.repository_id).where(sa.text(ACTIVE), t.c.source == source)
        return set(connection.scalars(ids))


def mark_running(ledger: Ledger, job_id: str, worker_task_id: str) -> Job:
    """Take a job, as its worker. The same worker may take it again.

    Raises JobCancelledError when it was cancelled before it began, JobStateError when another worker has it
    or it has ended, UnknownJobError when there is none.
    """
    job_id = checked_id(job_id)
    worker = checked_text("The worker's id", worker_task_id, 500)
    t = job_tables.indexing_jobs
    now = time.time()
    with ledger.transaction() as connection:
        taking = (
            t.update()
            .where(t.c.id == job_id, sa.text(PENDING))
            .values(
                status="running",
                worker_task_id=worker,
                started_at=now,
                updated_at=now,
                progress_message="Started.",
            )
        )
        taken = connection.execute(taking).rowcount
        row = require(connection, job_id)
    if taken:
        log.info("Job %s of %s: started.", job_id, row.source)
    if taken or (row.status == "running" and row.worker_task_id == worker):
        return job_of(row)
    if row.status == "cancelled":
        raise JobCancelledError("The job was cancelled before it began.")
    if row.status == "running":
        raise JobStateError(f"Another worker has the job: {row.worker_task_id}.")
    raise JobStateError(f"The job is {row.status}: start a new one.")


def end(
    ledger: Ledger,
    job_id: str,
    outcome: Outcome,
    error: BaseException | str | None = None,
    *,
    totals: Tally | None = None,
) -> bool:
    """End a job and write its completed event. False when it had already ended: only the first end counts.

    A running job ends as completed, failed or cancelled; a pending one cannot end as completed. `totals` are
    the job's counts; without them the event has those of the events so far, or, if there were none, those of
    the row. Raises JobStateError for a pending job that is to end as completed, UnknownJobError if there is
    none.
    """
    job_id = checked_id(job_id)
    failure = Failure.of(error) if outcome == "failed" else None
    expected: Any = "running" if outcome == "completed" else "active"
    with ledger.transaction() as connection:
        ended = finish(
            connection, job_id, outcome, expected=expected, now=time.time(), failure=failure, totals=totals
        )
        row = require(connection, job_id)
    if ended:
        log.info("Job %s of %s: %s.", job_id, row.source, outcome)
        return True
    if row.status == "pending":
        raise JobStateError("The job has not begun: it cannot be completed.")
    return False


def add_result(ledger: Ledger, job_id: str, found: Mapping[str, Any]) -> None:
    """Add to the result of a job that is running. A name that is there already gets the new value."""
    if not found:
        return
    t = job_tables.indexing_jobs
    with ledger.transaction() as connection:
        row = require(connection, checked_id(job_id))
        result = json.dumps(json.loads(row.result) | dict(found), ensure_ascii=False, sort_keys=True)
        connection.execute(t.update().where(t.c.id == row.id, sa.text(RUNNING)).values(result=result))


@contextmanager
def working(ledger: Ledger, job_id: str, worker_task_id: str) -> Iterator[Job]:
    """Take a job for the duration of the block, and end it with the block, whose exceptions propagate.

    The job ends as completed if the block does not raise; as cancelled on JobCancelledError, or on any
    exception once a cancellation was requested (a run that is terminated for it); otherwise as failed. Raises
    what `mark_running` raises.
    """
    job = mark_running(ledger, job_id, worker_task_id)
    with failing(ledger, job.id):
        yield job
    end(ledger, job.id, "completed")


@contextmanager
def failing(ledger: Ledger, job_id: str) -> Iterator[None]:
    """End a job as cancelled or failed when the block raises; the exception propagates."""
    try:
        yield
    except BaseException as error:
        # Interrupts too: the job must not wait until somebody finds that its worker is gone.
        try:
            stopped = isinstance(error, JobCancelledError) or cancel_asked_at(ledger, job_id) is not None
            end(ledger, job_id, "cancelled" if stopped else "failed", error)
        except IngestError as also:
            # The ledger does not answer: the job is left to be found as an orphan. The first error counts.
            error.add_note(f"The job could not be ended: {also}")
        raise


def end_orphans(ledger: Ledger, is_alive: Callable[[str], bool], *, timeout_s: float) -> list[EndedJob]:
    """End the jobs whose worker is gone, and those that have worked, not waited, for longer than `timeout_s`.

    `is_alive(worker_task_id)` says whether a worker is still running; what it raises propagates once the jobs
    that timed out have been ended. A job ends as failed, or as cancelled if that was requested. A pending job
    whose run ended before taking it is returned by `to_launch` again, and the caller of that ends it.
    """
    t = job_tables.indexing_jobs
    with ledger.reading() as connection:
        running = connection.execute(sa.select(t).where(sa.text(RUNNING)).order_by(t.c.started_at)).all()
    ended: list[EndedJob] = []
    timed_out = [row for row in running if worked_s(row, time.time()) > timeout_s]
    for row in timed_out:
        reason = f"The job took longer than {timeout_s:g} s (INDEXING_JOB_TIMEOUT_SECONDS)."
        ended += _end_orphan(ledger, row, Failure(reason, "JobTimeoutError"))
    for row in running:
        if row not in timed_out and not is_alive(row.worker_task_id):
            reason = "The process that worked on the job is gone. Nothing recorded is lost: start it again."
            ended += _end_orphan(ledger, row, Failure(reason, "WorkerLostError"))
    return ended


class Wait:
    """A running job's waits for others, which its time limit does not count. Writes nothing without one."""

    def __init__(self, ledger: Ledger, job_id: str) -> None:
        self._ledger, self._job_id, self._since = ledger, job_id, 0.0

    def begin(self) -> None:
        """May be called again and again."""
        if not self._since:
            self._since = time.time()
            add_result(self._ledger, self._job_id, {WAITING_SINCE: self._since})

    def end(self) -> None:
        if self._since:
            with self._ledger.reading() as connection:
                before = json.loads(require(connection, self._job_id).result).get(WAITED_S, 0.0)
            waited = round(before + time.time() - self._since, 3)
            add_result(self._ledger, self._job_id, {WAITED_S: waited, WAITING_SINCE: None})
            self._since = 0.0


def worked_s(row: Any, now: float) -> float:
    """Seconds that a running job has worked."""
    result = json.loads(row.result)
    since = result.get(WAITING_SINCE)
    waited: float = result.get(WAITED_S, 0.0) + (0.0 if since is None else now - since)
    return float(now - row.started_at - waited)


def forget_old(ledger: Ledger, days: float) -> int:
    """Delete the jobs that ended more than `days` ago, with their events. Returns how many."""
    if not days >= 0:
        raise ConfigurationError(f"JOB_STATUS_RETENTION_DAYS must be 0 or more, not {days}.")
    t, events = job_tables.indexing_jobs, job_tables.indexing_job_events
    before = time.time() - days * DAY_S
    old = (
        sa.select(t.c.id, t.c.event_count)
        .where(sa.text(FINISHED), t.c.completed_at < before)
        .order_by(t.c.completed_at)
        .limit(FORGET_JOBS)
    )
    forgotten = 0
    while True:
        with ledger.transaction() as connection:
            ids: list[str] = []
            events_left = FORGET_EVENTS
            for job_id, count in connection.execute(old).all():
                if ids and count > events_left:
                    break
                ids.append(job_id)
                events_left -= count
            if not ids:
                return forgotten
            connection.execute(events.delete().where(events.c.job_id.in_(ids)))
            forgotten += connection.execute(t.delete().where(t.c.id.in_(ids))).rowcount


def cancel_asked_at(ledger: Ledger, job_id: str) -> float | None:
    """When somebody asked a job to stop; None if nobody did."""
    with ledger.reading() as connection:
        at: float | None = require(connection, job_id).cancel_requested_at
    return at


def _end_orphan(ledger: Ledger, row: Any, failure: Failure) -> list[EndedJob]:
    # It may have completed, or been cancelled, since we looked: the update decides.
    outcome: Outcome = "failed" if row.cancel_requested_at is None else "cancelled"
    reason = None if outcome == "cancelled" else failure
    with ledger.transaction() as connection:
        done = finish(connection, row.id, outcome, expected="running", now=time.time(), failure=reason)
    return [EndedJob(row.id, row.worker_task_id, outcome, failure.message)] if done else []
