"""What the interfaces need from background jobs, and how they present a job.

A job is one indexing of one repository. Its events, `ingest.started.v1` to `ingest.completed.v1`, are stored
in order, so that a stream of them can be resumed and replayed. `queued_jobs` implements this; programs and
agents get the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from ingest_assets.jobs.events import JobEvent
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.model import ConfigurationError, RequestError


class JobRefusedError(RequestError, ConfigurationError):
    """The request names something that is not allowed or does not exist. The caller may see the message."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What to index: a repository, by URL or absolute path."""

    repo: str
    # None: the reference of an unfinished job for the repository, or else the one it is kept in step with.
    # "HEAD" is the default branch.
    git_ref: str | None = None
    project_id: str | None = None  # None: the only one that the caller is bound to, or else the target's id
    force_reindex: bool = False
    source: str | None = None  # None: the source whose jobs are the default
    allow_removals: bool = False  # however many documents are gone
    # Of a folder on disk, what is committed alone. None: as it is kept, or as the settings say.
    committed_only: bool | None = None
    streamed: bool = False  # whoever asks waits for the events: the limits of a stream hold


class JobStatus(BaseModel, frozen=True):
    """The state and progress of a job. Times are ISO 8601 in UTC."""

    job_id: str
    source: str
    repo: str
    repository_id: str
    git_ref: str | None
    project_id: str
    force_reindex: bool  # everything of it is read, cut and embedded again
    status: str  # the name that its source shows to users
    progress_percentage: int
    progress_message: str
    files_scanned: int
    files_indexed: int
    chunks_created: int
    error_message: str | None
    error_type: str | None
    missing: dict[str, int]  # how much of the target is not in the index, by kind, once it has ended
    cancel_requested: bool
    created_at: str
    started_at: str | None
    completed_at: str | None  # when it ended, in whichever way
    cancelled_at: str | None

    @property
    def has_ended(self) -> bool:
        return self.completed_at is not None


class Jobs(Protocol):
    """The jobs, wherever they run. Methods are called from several threads, and return quickly.

    Those that take a job's id raise UnknownJobError when there is no such job, or no longer, or it is out of
    the caller's reach. A project that is out of reach raises OutOfReachError.
    """

    def why_none_run(self) -> str | None:
        """Why nothing would run a job that is started now; None if something would."""
        ...

    def start(self, request: JobRequest) -> JobStarted:
        """Queue the job, which another process runs. Raises JobRefusedError."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """The job's current status."""
        ...

    def cancel(self, job_id: str) -> JobStatus:
        """Ask the job to stop. Raises JobStateError when it has already ended."""
        ...

    def list(
        self,
        *,
        status: str | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        project_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        """The newest jobs first. Raises JobRefusedError for an unknown status.

        `git_ref` is used only together with `repo`, and means the same as in a `JobRequest`.
        """
        ...

    def events(self, job_id: str, *, after: int, limit: int) -> Sequence[JobEvent]:
        """Up to `limit` events after the sequence number `after` (-1: from the first), in order.

        Does not wait for new events.
        """
        ...
