"""The failures of jobs, each with what to do about it."""

from __future__ import annotations

from ingest_assets.model import ConfigurationError, IngestError

_SHOWN = 60  # characters of a wrong id


class UnknownJobError(ConfigurationError):
    """There is no job with this id."""

    def __init__(self, job_id: object) -> None:
        shown = repr(job_id[:_SHOWN]) if isinstance(job_id, str) else type(job_id).__name__
        super().__init__(
            f"There is no job {shown}: it never existed, or ended longer ago than jobs are kept. "
            "List the jobs, or start one."
        )


class JobStateError(ConfigurationError):
    """The request is not possible in the job's current state."""


class JobCancelledError(IngestError):
    """A job must stop: it was cancelled, or has ended in the meantime. Not a failure of the work."""
