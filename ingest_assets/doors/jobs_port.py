"""What the doors need of background jobs, and how jobs read to whoever comes through one of them.

A job is one indexing of one repository. Its events are the ones of `ingest.started.v1` to
`ingest.completed.v1`, kept in order, so that a stream of them can be resumed and replayed. `queued_jobs`
provides the jobs; agents and programs get the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from ingest_assets.jobs.events import Event
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.jobs.rows import Status
from ingest_assets.model import ConfigurationError

SETTLED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})


class JobRefusedError(ConfigurationError):
    """What was to be indexed is not allowed, or not there. The message is for whoever asked."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What to index: a repository by its URL, or an absolute path."""

    repo: str
    git_ref: str | None = (
        None  # without one as it is kept, or as a job is at it; "HEAD" is the default branch
    )
    project_id: str | None = None
    force_reindex: bool = False


class JobStatus(BaseModel, frozen=True):
    """How far a job is. Times are ISO 8601 in UTC."""

    job_id: str
    repo: str
    repository_id: str
    git_ref: str | None
    project_id: str
    status: Status
    progress_percentage: int
    progress_message: str
    files_scanned: int
    files_indexed: int
    chunks_created: int
    error_message: str | None
    cancel_requested: bool
    created_at: str
    started_at: str | None
    completed_at: str | None


class Jobs(Protocol):
    """The jobs, wherever they run. Methods are called from several threads, and return soon.

    Those that take a job's id raise UnknownJobError when there is none of it (any more).
    """

    def start(self, request: JobRequest) -> JobStarted:
        """Note the job down; somebody else does it. Raises JobRefusedError."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """How the job is, now."""
        ...

    def cancel(self, job_id: str) -> JobStatus:
        """Ask that it ends. Raises JobStateError when it has ended."""
        ...

    def list(
        self,
        *,
        status: Status | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        """The newest first. `git_ref` counts only with `repo`, and stands for the same as in a start."""
        ...

    def events(self, job_id: str, *, after: int, limit: int) -> Sequence[Event]:
        """Up to `limit` events that follow the one numbered `after` (-1: from the first), in order.

        Does not wait for any.
        """
        ...
