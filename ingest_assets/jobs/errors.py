"""The failures of jobs, each with what to do about it."""

from __future__ import annotations

from ingest_assets.model import ConfigurationError, IngestError, RequestError

_SHOWN = 60  # characters of a wrong id


class UnknownJobError(RequestError, ConfigurationError):
    """There is no job with this id."""

    def __init__(self, job_id: object) -> None:
        shown = repr(job_id[:_SHOWN]) if isinstance(job_id, str) else type(job_id).__name__
        super().__init__(
            f"There is no job {shown}: it never existed, or ended longer ago than jobs are kept. "
            "List the jobs, or start one."
        )


class JobArgumentError(RequestError, ConfigurationError):
    """A text or the metadata of a job is empty, too long or not valid."""


class JobStateError(RequestError, ConfigurationError):
    """The request is not possible in the job's current state."""


class JobTargetError(RequestError, ConfigurationError):
    """What a job is asked to index may not be indexed. The message is about the request only."""


class TooManyJobsError(RequestError, ConfigurationError):
    """The caller has as many pending jobs as it may have."""


class IncompleteError(RequestError, ConfigurationError):
    """A job did all it could, and something of its target is missing from the index nevertheless."""


class JobCancelledError(IngestError):
    """A job must stop: it was cancelled, or has ended in the meantime. Not a failure of the work."""
