"""What the doors need of background jobs; the jobs library provides it.

A job is one indexing of one repository. Its events are the ones of `ingest.started.v1` to
`ingest.completed.v1`, kept in order, so that a stream of them can be resumed and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from ingest_assets.model import IngestError

JobState = Literal["pending", "running", "completed", "failed", "cancelled"]
JOB_STATES: tuple[JobState, ...] = get_args(JobState)
SETTLED: frozenset[JobState] = frozenset({"completed", "failed", "cancelled"})


class JobRefusedError(IngestError):
    """What was to be indexed is not allowed, or not there. The message is for whoever asked."""


class UnknownJobError(IngestError):
    """There is no job of this id (any more)."""


class JobSettledError(IngestError):
    """A job that has ended cannot be cancelled."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What to index: a repository by its URL, or an absolute path."""

    repo: str
    git_ref: str | None = None
    project_id: str | None = None
    force_reindex: bool = False


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The answer to a start, given at once."""

    job_id: str
    status: JobState
    message: str
    project_id: str | None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is. Times are ISO 8601 in UTC."""

    job_id: str
    repo: str
    git_ref: str | None
    project_id: str | None
    status: JobState
    progress_percentage: int
    progress_message: str
    files_scanned: int
    files_indexed: int
    chunks_created: int
    error_message: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event: its place within its job, from 0, and the whole envelope."""

    sequence: int
    envelope: Mapping[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it."""
        return str(self.envelope.get("event_type", "")).startswith("ingest.completed.")


class Jobs(Protocol):
    """The jobs, wherever they run. Methods are called from several threads, and return soon."""

    def start(self, request: JobRequest) -> JobStarted:
        """Note the job down; somebody else does it. Raises JobRefusedError."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """Raises UnknownJobError."""
        ...

    def cancel(self, job_id: str) -> JobStatus:
        """Ask that it ends. Raises UnknownJobError, and JobSettledError when it has ended."""
        ...

    def list(
        self,
        *,
        status: JobState | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        """The newest first. `git_ref` counts only with `repo`, and must then be equal, None too."""
        ...

    def events(self, job_id: str, *, after: int, limit: int) -> Sequence[JobEvent]:
        """Up to `limit` events that follow the one numbered `after` (-1: from the first), in order.

        Does not wait for any. Raises UnknownJobError.
        """
        ...
