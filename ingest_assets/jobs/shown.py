"""What callers may know of a failed job: every interface and every source says the same.

What belongs here: which reasons are shown. What does not: how a job is written (`interfaces`).
"""

from __future__ import annotations

from ingest_assets.jobs.errors import IncompleteError, JobTargetError
from ingest_assets.jobs.rows import JobRow
from ingest_assets.model import ContentError

# The types of the errors whose messages are about the request, or about the job itself.
SHOWN_REASONS = frozenset(
    {
        *(JobTargetError.__name__, ContentError.__name__, IncompleteError.__name__),
        *("NotAllowedError", "JobTimeoutError", "RemovalsHeldError", "WorkerLostError"),
    }
)


def shown_reason(found: JobRow) -> str | None:
    """Why a job failed, as callers may know it; None if it has not failed.

    Other reasons may name files of this machine, or what another system said.
    """
    if found["error_message"] is None or found["error_type"] in SHOWN_REASONS:
        return found["error_message"]
    return f"The job failed. The operator finds the reason under its id, {found['job_id']}."
