"""What clients do with jobs: start one, look one up, list them, cancel one. Each is a few short queries.

What belongs here: the clients' side. What does not: running jobs (workers), and checking a target's URL
or path, which the caller does before it starts a job.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, get_args

import sqlalchemy as sa
from pydantic import BaseModel, Field

from ingest_assets.jobs.errors import JobArgumentError, JobStateError, TooManyJobsError
from ingest_assets.jobs.events import NAMESPACE, iso
from ingest_assets.jobs.rows import (
    ACTIVE,
    PENDING,
    RUNNING,
    JobRow,
    Status,
    checked_id,
    checked_metadata,
    checked_text,
    require,
    status_row,
)
from ingest_assets.jobs.transitions import finish
from ingest_assets.jobs.workers import LAUNCHER_SILENT_S
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.ledger.store import count_up
from ingest_assets.model import digest_of

MAX_LISTED = 1_000
CALLER = "caller"  # the name of who asked for a job, in its metadata
ALLOW_REMOVALS = "allow_removals"  # true in the metadata of a job that may remove however much is gone
OWN_FOLDER = "own_folder"  # true in the metadata of a job that somebody at this machine asked for
COMMITTED_ONLY = "committed_only"  # in the metadata of a job: whether what is committed is read alone
# True in the metadata of a job whose result somebody waits for: smaller limits are those of a stream.
STREAMED = "streamed"
START_ONE = (
    "Start the Dagster daemon, and switch on its sensor for indexing jobs; or run `ingest job run`; or serve "
    "with `ingest serve --run-jobs`."
)


@dataclass(frozen=True, slots=True)
class JobTarget:
    """What a job is to index."""

    source: str
    id: str  # the part of the source
    path: str  # where it is: a URL without credentials, or an absolute path
    name: str


class JobStarted(BaseModel, frozen=True):
    """The answer to a start, given immediately."""

    job_id: str
    status: str  # by the name that the users of its source know
    message: str
    project_id: str
    repository_id: str
    repo_path: str
    git_ref: str | None
    force_reindex: bool
    existing: bool = Field(description="Whether the job already existed.")
    created_at: str


class CancelledJob(TypedDict):
    """The answer to a cancel. `status` is "running" until the worker has stopped."""

    job_id: str
    status: Status
    message: str


class JobsOf(NamedTuple):
    """Some of all jobs: all of some sources, and those of some projects of others."""

    sources: frozenset[str]
    with_projects: frozenset[str]  # sources
    projects: frozenset[str]

    def holds(self, source: str, project_id: str) -> bool:
        """Whether a job is one of them."""
        return source in self.sources or (source in self.with_projects and project_id in self.projects)

    @property
    def rows(self) -> sa.ColumnElement[bool]:
        """SQL: a row is one of them."""
        t = job_tables.indexing_jobs
        mine = sa.and_(t.c.source.in_(sorted(self.with_projects)), t.c.project_id.in_(sorted(self.projects)))
        return sa.or_(t.c.source.in_(sorted(self.sources)), mine)


class JobCaller(NamedTuple):
    """Who asks for a job, and how many pending jobs it may have."""

    name: str
    max_pending: int | None = None


def start(
    ledger: Ledger,
    target: JobTarget,
    *,
    project_id: str | None = None,
    git_ref: str | None = None,
    force_reindex: bool = False,
    connection_id: str | None = None,
    caller: JobCaller | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> JobStarted:
    """Queue a job and return at once. The project defaults to the target's id.

    The caller's name is recorded in the metadata. Raises TooManyJobsError if the caller has as many pending
    jobs as it may have.

    Starting twice gives one job: while a job for the same target, ref and project is pending or running,
    that job is returned (`existing`), unless the new one forces a reindex, or allows removals, and that one
    does not; or that one has the limits of a stream, and the new one does not. A job that is being cancelled
    is not reused. A running job may have fetched before the last push: to index that push,
    start again when the job is done, or leave it to the next refresh. Raises JobArgumentError for strings
    that are empty, too long or not valid text.
    """
    row: dict[str, Any] = {
        "source": target.source,
        "repository_id": checked_text("The target's id", target.id, 500),
        "repo_path": checked_text("The target's URL or path", target.path, 4_096),
        "repo_name": checked_text("The target's name", target.name, 500),
        "project_id": checked_text("The project's id", project_id or target.id, 500),
        "git_ref": checked_text("The ref", git_ref, 1_000) if git_ref else None,
        "force_reindex": bool(force_reindex),
        "connection_id": checked_text("The connection's id", connection_id, 500) if connection_id else None,
        "metadata": checked_metadata({**(metadata or {}), **({CALLER: caller.name} if caller else {})}),
    }
    with ledger.transaction() as connection:
        # From here on, starts for one target take turns: two at once would not see each other.
        counter = job_tables.indexing_job_counter.c.last_number
        number = count_up(connection, counter, {"repository_id": target.id})
        if (existing := _same(connection, row)) is not None:
            message = (
                f"A job for this target and ref is already {existing.status}: that job is returned, and "
                "no other was started."
            )
            return _started(existing._mapping, message, existing=True)
        if caller is not None and caller.max_pending is not None:
            _require_room(connection, caller.name, caller.max_pending)
        row |= _new(row, number)
        connection.execute(job_tables.indexing_jobs.insert(), [row])
    return _started(row, "Queued. Ask for its status by its id.", existing=False)


def status_of(ledger: Ledger, job_id: str) -> JobRow:
    """The current status of a job; a pending one's message says what it waits for. Raises UnknownJobError."""
    job_id = checked_id(job_id)
    with ledger.reading() as connection:
        row = require(connection, job_id)
        status = status_row(row)
        if row.status == "pending":
            status["progress_message"] = _waiting(connection, row)
    return status


def why_none_run(ledger: Ledger) -> str | None:
    """Why a job that is started now would wait for no one knows how long; None if something runs jobs."""
    with ledger.reading() as connection:
        return _silence(connection)


def list_jobs(
    ledger: Ledger,
    *,
    source: str | None = None,
    status: Status | None = None,
    repository_id: str | None = None,
    project_id: str | None = None,
    within: JobsOf | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[JobRow]:
    """Jobs, newest first; for the next page, those that were started before the job `before`.

    Raises JobArgumentError for a limit outside 1 to 1,000 or an unknown status, UnknownJobError for an
    unknown `before`.
    """
    if not isinstance(limit, int) or not 1 <= limit <= MAX_LISTED:
        raise JobArgumentError(f"The limit of jobs must be 1 to {MAX_LISTED:,}.")
    if status is not None and status not in get_args(Status):
        raise JobArgumentError(f"The status of a job must be one of {', '.join(get_args(Status))}.")
    t = job_tables.indexing_jobs
    query = sa.select(t).order_by(t.c.created_at.desc(), t.c.id.desc()).limit(limit)
    if source is not None:
        query = query.where(t.c.source == source)
    if status is not None:
        query = query.where(t.c.status == status)
    if repository_id is not None:
        query = query.where(t.c.repository_id == checked_text("The target's id", repository_id, 500))
    if project_id is not None:
        query = query.where(t.c.project_id == checked_text("The project's id", project_id, 500))
    if within is not None:
        query = query.where(within.rows)
    with ledger.reading() as connection:
        if before is not None:
            last = require(connection, checked_id(before))
            query = query.where(sa.tuple_(t.c.created_at, t.c.id) < sa.tuple_(last.created_at, last.id))
        return [status_row(row) for row in connection.execute(query)]


def cancel(ledger: Ledger, job_id: str) -> CancelledJob:
    """End a pending job, or ask a running one to stop, which it does between two batches.

    Asking again changes nothing. Raises UnknownJobError, and JobStateError for a job that has ended.
    """
    job_id = checked_id(job_id)
    t = job_tables.indexing_jobs
    now = time.time()
    with ledger.transaction() as connection:
        # In the order of the states, so that no change in between is missed.
        if finish(connection, job_id, "cancelled", expected="pending", now=now):
            return CancelledJob(job_id=job_id, status="cancelled", message="Cancelled before it began.")
        asking = (
            t.update()
            .where(t.c.id == job_id, sa.text(RUNNING))
            .values(cancel_requested_at=sa.func.coalesce(t.c.cancel_requested_at, now), updated_at=now)
        )
        if connection.execute(asking).rowcount:
            message = "Asked to stop, which takes a few seconds. Check its status."
            return CancelledJob(job_id=job_id, status="running", message=message)
        row = require(connection, job_id)
    raise JobStateError(f"The job cannot be cancelled: it ended as {row.status} at {iso(row.completed_at)}.")


def _same(connection: sa.Connection, row: Mapping[str, Any]) -> Any:
    """The newest job that has not ended and does what the new one would do."""
    t = job_tables.indexing_jobs
    query = (
        sa.select(t)
        .where(
            sa.text(ACTIVE),
            t.c.source == row["source"],
            t.c.repository_id == row["repository_id"],
            t.c.project_id == row["project_id"],
            t.c.git_ref.is_not_distinct_from(row["git_ref"]),
            t.c.cancel_requested_at.is_(None),
        )
        .order_by(t.c.created_at.desc(), t.c.id)
        .limit(1)
    )
    if row["force_reindex"]:
        query = query.where(t.c.force_reindex.is_(True))
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    asked, there = json.loads(row["metadata"]), json.loads(found.metadata)
    if asked.get(ALLOW_REMOVALS) and not there.get(ALLOW_REMOVALS):
        return None
    if asked.get(COMMITTED_ONLY) != there.get(COMMITTED_ONLY):
        return None
    return None if there.get(STREAMED) and not asked.get(STREAMED) else found


def _require_room(connection: sa.Connection, caller: object, most: int) -> None:
    """Raises TooManyJobsError. Pending jobs are few, because every caller's are limited."""
    pending = connection.scalars(sa.select(job_tables.indexing_jobs.c.metadata).where(sa.text(PENDING)))
    if sum(json.loads(each).get(CALLER) == caller for each in pending) >= most:
        raise TooManyJobsError(
            f"You have {most:,} pending jobs, and may not have more. Wait until some of them have run, or "
            "cancel some."
        )


def _new(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    now = time.time()
    anchor = digest_of("job", row["repository_id"], row["project_id"], str(number))
    return {
        "id": str(uuid.uuid5(NAMESPACE, anchor)),
        "status": "pending",
        "progress_percentage": 0,
        "progress_message": "Waiting.",
        "files_scanned": 0,
        "files_indexed": 0,
        "chunks_created": 0,
        "created_at": now,
        "updated_at": now,
        "event_count": 0,
        "result": "{}",
    }


def _started(row: Mapping[str, Any], message: str, *, existing: bool) -> JobStarted:
    return JobStarted(
        job_id=row["id"],
        status=row["status"],
        message=message,
        project_id=row["project_id"],
        repository_id=row["repository_id"],
        repo_path=row["repo_path"],
        git_ref=row["git_ref"],
        force_reindex=row["force_reindex"],
        existing=existing,
        created_at=iso(row["created_at"]),
    )


def _silence(connection: sa.Connection) -> str | None:
    looked_at = connection.scalar(sa.select(sa.func.max(job_tables.indexing_job_launcher.c.looked_at)))
    if looked_at is not None and time.time() - looked_at <= LAUNCHER_SILENT_S:
        return None
    since = "" if looked_at is None else f" since {iso(looked_at)}"
    return f"Nothing runs jobs at the moment: nobody has looked for any{since}. {START_ONE}"


def _waiting(connection: sa.Connection, row: Any) -> str:
    t = job_tables.indexing_jobs
    if (silence := _silence(connection)) is not None:
        return f"Waiting for a daemon: {silence[0].lower()}{silence[1:]}"
    ahead = connection.scalar(
        sa.select(sa.func.count())
        .select_from(t)
        .where(sa.text(PENDING), sa.tuple_(t.c.created_at, t.c.id) < sa.tuple_(row.created_at, row.id))
    )
    return f"Waiting for its turn; jobs before it: {ahead}." if ahead else "Waiting: it is the next to run."
