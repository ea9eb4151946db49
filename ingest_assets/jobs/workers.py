"""What those do who run jobs: launch those that wait, take one, settle it, find those left behind, forget.

A launcher asks again and again which jobs may be launched, and may launch the same job twice: only the first
worker can take it. A worker takes its job (`mark_running`), works, and settles it; when it cannot any more,
whoever looks after orphans does. The first settlement is the one that counts.

What belongs here: the workers' side. What does not: clients (queue), Dagster, and doing the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ConfigurationError, IngestError

# Events that are deleted in one transaction: other writers wait for about 0.1 s.
FORGET_EVENTS = 20_000
FORGET_JOBS = 500
DAY_S = 86_400.0


class Settled(NamedTuple):
    """A job that was settled for its worker. That worker, should it still live, is to be ended."""

    job_id: str
    worker_task_id: str | None
    outcome: Outcome
    reason: str


def to_launch(
    ledger: Ledger, *, max_concurrent: int, limit: int | None = None, launcher: str = "default"
) -> list[Job]:
    """The pending jobs that may be launched now, the oldest first; also those launched but not yet taken.

    Two jobs of one repository never run at once: they would wait for each other. Notes that this launcher
    looked, so that a job that waits can tell when nobody does.
    """
    if max_concurrent < 1:
        raise ConfigurationError(f"MAX_CONCURRENT_INDEXING_JOBS is at least 1, not {max_concurrent}.")
    if limit is not None and limit < 1:
        raise ConfigurationError(f"The limit of jobs to launch is at least 1, not {limit}.")
    t = tables.indexing_jobs
    with ledger.transaction() as connection:
        row = {"name": checked_text("The launcher's name", launcher, 200), "looked_at": time.time()}
        upsert(connection, tables.indexing_job_launcher, [row])
    with ledger.reading() as connection:
        busy = list(connection.scalars(sa.select(t.c.repository_id).where(sa.text(RUNNING))))
        places = max_concurrent - len(busy)
        taken, ids = set(busy), list[str]()
        waiting = (
            sa.select(t.c.id, t.c.repository_id).where(sa.text(PENDING)).order_by(t.c.created_at, t.c.id)
        )
        for job_id, repository_id in connection.execute(waiting) if places > 0 else ():
            if repository_id not in taken:
                taken.add(repository_id)
                ids.append(job_id)
            if len(ids) == min(places, limit or places):
                break
        return [job_of(require(connection, job_id)) for job_id in ids]


def active_repositories(ledger: Ledger) -> set[str]:
    """The ids of the repositories that a job waits or works for."""
    with ledger.reading() as connection:
        ids = sa.select(tables.indexing_jobs.c.repository_id).where(sa.text(ACTIVE))
        return set(connection.scalars(ids))


def mark_running(ledger: Ledger, job_id: str, worker_task_id: str) -> Job:
    """Take a job, as its worker. The same worker may take it again.

    Raises JobCancelledError when it was cancelled before, JobStateError when another worker has it or it has
    ended, UnknownJobError when there is none.
    """
    job_id = checked_id(job_id)
    worker = checked_text("The worker's id", worker_task_id, 500)
    t = tables.indexing_jobs
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
    if taken or (row.status == "running" and row.worker_task_id == worker):
        return job_of(row)
    if row.status == "cancelled":
        raise JobCancelledError("The job was cancelled before it began.")
    if row.status == "running":
        raise JobStateError(f"Another worker has the job: {row.worker_task_id}.")
    raise JobStateError(f"The job is {row.status}: start a new one.")


def settle(
    ledger: Ledger,
    job_id: str,
    outcome: Outcome,
    error: BaseException | str | None = None,
    *,
    totals: Tally | None = None,
) -> bool:
    """End a job, with its completed event. False when it had ended before: the first settlement counts.

    A running job ends in any way; a pending one fails or is cancelled. `totals` are the job's counts; without
    them the event has those of the events so far, or where there were none those of the row. Raises
    JobStateError for a pending job that is to be completed, UnknownJobError when there is none.
    """
    job_id = checked_id(job_id)
    failure = Failure.of(error) if outcome == "failed" else None
    while_: Any = "running" if outcome == "completed" else "active"
    with ledger.transaction() as connection:
        if finish(
            connection, job_id, outcome, while_=while_, now=time.time(), failure=failure, totals=totals
        ):
            return True
        row = require(connection, job_id)
    if row.status == "pending":
        raise JobStateError("The job has not begun: it cannot be completed.")
    return False


@contextmanager
def working(ledger: Ledger, job_id: str, worker_task_id: str) -> Iterator[Job]:
    """Take a job for the length of the block, and settle it however the block ends, which is raised on.

    Completed at its end; cancelled by JobCancelledError, or by whatever ends the block when a cancellation
    had been asked for (a run that is terminated for it); else failed. Raises what `mark_running` raises.
    """
    job = mark_running(ledger, job_id, worker_task_id)
    with failing(ledger, job.id):
        yield job
    settle(ledger, job.id, "completed")


@contextmanager
def failing(ledger: Ledger, job_id: str) -> Iterator[None]:
    """Settle a job when the block ends in an exception, which is raised on: as cancelled, or as failed."""
    try:
        yield
    except BaseException as error:
        # An interrupt too: a job is not to wait for somebody to find that its worker is gone.
        try:
            stopped = isinstance(error, JobCancelledError) or _cancel_requested(ledger, job_id)
            settle(ledger, job_id, "cancelled" if stopped else "failed", error)
        except IngestError as also:
            # The ledger does not answer: the job is left to be found as an orphan. The first error counts.
            error.add_note(f"The job could not be settled: {also}")
        raise


def settle_orphans(ledger: Ledger, is_alive: Callable[[str], bool], *, timeout_s: float) -> list[Settled]:
    """Settle the jobs that nobody works on any more, and those that took longer than `timeout_s`.

    `is_alive(worker_task_id)` tells whether a worker still works; what it raises is raised, after those that
    timed out were settled. A job ends as failed; as cancelled, when that had been asked for. A pending job
    whose run ended before it took the job comes back from `to_launch`, whose caller settles it.
    """
    t = tables.indexing_jobs
    with ledger.reading() as connection:
        running = connection.execute(sa.select(t).where(sa.text(RUNNING)).order_by(t.c.started_at)).all()
    settled: list[Settled] = []
    late = [row for row in running if time.time() - row.started_at > timeout_s]
    for row in late:
        reason = f"The job took longer than {timeout_s:g} s (INDEXING_JOB_TIMEOUT_SECONDS)."
        settled += _settle_orphan(ledger, row, Failure(reason, "JobTimeoutError"))
    for row in running:
        if row not in late and not is_alive(row.worker_task_id):
            reason = "The process that worked on the job is gone. Nothing recorded is lost: start it again."
            settled += _settle_orphan(ledger, row, Failure(reason, "WorkerLostError"))
    return settled


def forget_old(ledger: Ledger, days: float) -> int:
    """Delete the jobs that ended more than `days` ago, with their events; how many."""
    if not days >= 0:
        raise ConfigurationError(f"JOB_STATUS_RETENTION_DAYS is 0 or more, not {days}.")
    t, events = tables.indexing_jobs, tables.indexing_job_events
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
            room = FORGET_EVENTS
            for job_id, count in connection.execute(old).all():
                if ids and count > room:
                    break
                ids.append(job_id)
                room -= count
            if not ids:
                return forgotten
            connection.execute(events.delete().where(events.c.job_id.in_(ids)))
            forgotten += connection.execute(t.delete().where(t.c.id.in_(ids))).rowcount


def _cancel_requested(ledger: Ledger, job_id: str) -> bool:
    with ledger.reading() as connection:
        return require(connection, job_id).cancel_requested_at is not None


def _settle_orphan(ledger: Ledger, row: Any, failure: Failure) -> list[Settled]:
    # It may end well, or be cancelled, between our look and this: the update decides.
    outcome: Outcome = "failed" if row.cancel_requested_at is None else "cancelled"
    reason = None if outcome == "cancelled" else failure
    with ledger.transaction() as connection:
        done = finish(connection, row.id, outcome, while_="running", now=time.time(), failure=reason)
    return [Settled(row.id, row.worker_task_id, outcome, failure.message)] if done else []
