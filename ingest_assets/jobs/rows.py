"""Rows of the jobs table: looking one up, what may be stored in them, and how clients see them.

What belongs here: what queue, workers and events share. What does not: changes of state.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import sqlalchemy as sa

from ingest_assets.jobs.errors import JobArgumentError, UnknownJobError
from ingest_assets.jobs.events import iso
from ingest_assets.ledger import job_tables

Status = Literal["pending", "running", "completed", "failed", "cancelled"]

# Spelled exactly as the conditions of the partial indexes: otherwise SQLite does not use these.
PENDING = "status = 'pending'"
RUNNING = "status = 'running'"
ACTIVE = "status in ('pending', 'running')"
FINISHED = "status in ('completed', 'failed', 'cancelled')"

MISSING = "missing"  # in a job's result: how much of its target is not in the index, by kind
MAX_METADATA = 16_384  # characters of JSON
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class JobRow(TypedDict):
    """A job as clients see it. Times are ISO 8601 in UTC, None for what has not happened yet."""

    job_id: str
    source: str
    status: Status
    progress_percentage: int
    progress_message: str
    files_scanned: int
    files_indexed: int
    chunks_created: int
    error_message: str | None
    error_type: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    cancelled_at: str | None
    updated_at: str
    cancel_requested: bool
    project_id: str
    repository_id: str
    repo_path: str
    repo_name: str
    git_ref: str | None
    force_reindex: bool
    worker_task_id: str | None
    connection_id: str | None
    metadata: dict[str, Any]
    missing: dict[str, int]  # how much of its target is not in the index, by kind; known once it has ended
    result: dict[str, Any]  # what its source says of it


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to know about a job."""

    id: str
    source: str
    repository_id: str
    repo_path: str
    repo_name: str
    project_id: str
    git_ref: str | None
    force_reindex: bool
    metadata: Mapping[str, Any]
    created_at: float
    started_at: float | None
    result: Mapping[str, Any] = field(default_factory=dict)  # what its source has said of it so far


def job_of(row: Any) -> Job:
    return Job(
        id=row.id,
        source=row.source,
        repository_id=row.repository_id,
        repo_path=row.repo_path,
        repo_name=row.repo_name,
        project_id=row.project_id,
        git_ref=row.git_ref,
        force_reindex=row.force_reindex,
        metadata=json.loads(row.metadata),
        created_at=row.created_at,
        started_at=row.started_at,
        result=json.loads(row.result),
    )


def status_row(row: Any) -> JobRow:
    asked = row.cancel_requested_at is not None
    stopping = asked and row.status == "running"
    return JobRow(
        job_id=row.id,
        source=row.source,
        status=row.status,
        progress_percentage=row.progress_percentage,
        progress_message="Stopping, as requested." if stopping else row.progress_message,
        files_scanned=row.files_scanned,
        files_indexed=row.files_indexed,
        chunks_created=row.chunks_created,
        error_message=row.error_message,
        error_type=row.error_type,
        created_at=iso(row.created_at),
        started_at=_iso(row.started_at),
        completed_at=_iso(row.completed_at),
        cancelled_at=_iso(row.cancelled_at),
        updated_at=iso(row.updated_at),
        cancel_requested=asked,
        project_id=row.project_id,
        repository_id=row.repository_id,
        repo_path=row.repo_path,
        repo_name=row.repo_name,
        git_ref=row.git_ref,
        force_reindex=row.force_reindex,
        worker_task_id=row.worker_task_id,
        connection_id=row.connection_id,
        metadata=json.loads(row.metadata),
        missing=json.loads(row.result).get(MISSING, {}),
        result=json.loads(row.result),
    )


def require(connection: sa.Connection, job_id: str) -> Any:
    """The row of a job. Raises UnknownJobError."""
    row = connection.execute(sa.select(job_tables.indexing_jobs).filter_by(id=job_id)).one_or_none()
    if row is None:
        raise UnknownJobError(job_id)
    return row


def checked_id(job_id: object) -> str:
    """The id in canonical form. Raises UnknownJobError for what cannot be a job id."""
    try:
        if isinstance(job_id, str) and len(job_id) <= len("urn:uuid:") + 38:
            return str(uuid.UUID(job_id))
    except ValueError:
        pass
    raise UnknownJobError(job_id)


def checked_text(what: str, value: object, limit: int) -> str:
    """A string that may be recorded and shown. Raises JobArgumentError, which does not repeat it."""
    if not isinstance(value, str) or not value.strip():
        raise JobArgumentError(f"{what} is empty, or not a string.")
    if len(value) > limit:
        raise JobArgumentError(f"{what} has {len(value):,} characters; {limit:,} are allowed.")
    if _CONTROLS.search(value) or not _encodable(value):
        raise JobArgumentError(f"{what} contains a control character, or is not valid text.")
    return value


def checked_metadata(metadata: Mapping[str, Any] | None) -> str:
    try:
        text = json.dumps(dict(metadata or {}), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise JobArgumentError(f"The metadata of a job is not JSON: {type(error).__name__}.") from None
    if len(text) > MAX_METADATA:
        raise JobArgumentError(f"The metadata of a job exceeds {MAX_METADATA:,} characters of JSON.")
    return text


def clean(text: str, limit: int, *, tail: bool = False) -> str:
    """Any text of ours as a database accepts it, cut to its beginning or (`tail`) its end."""
    text = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    return text[-limit:] if tail else text[:limit]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)
