"""The failures of jobs, each with what to do about it."""

from __future__ import annotations

from ingest_assets.model import ConfigurationError, IngestError

_SHOWN = 60  # characters of what was given


class UnknownJobError(ConfigurationError):
    """There is no job of this id."""

    def __init__(self, job_id: object) -> None:
        shown = repr(job_id[:_SHOWN]) if isinstance(job_id, str) else type(job_id).__name__
        super().__init__(
            f"There is no job {shown}: it never was, or ended longer ago than jobs are kept. "
            "List the jobs, or start one."
        )


class JobStateError(ConfigurationError):
    """What was asked of a job cannot be done in the state that it is in."""


class JobCancelledError(IngestError):
    """A job is to stop: somebody cancelled it, or it was settled meanwhile. No failure of the work."""
