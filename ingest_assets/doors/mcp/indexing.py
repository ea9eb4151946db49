"""`index_status`, and indexing jobs: start, watch, cancel. Starting one only queues it."""

from __future__ import annotations

from collections.abc import Callable

from ingest_assets.doors.jobs_port import JobRequest, JobStatus
from ingest_assets.doors.mcp.answers import StatusAnswer
from ingest_assets.doors.mcp.arguments import IndexStatus, JobId, StartIndexing
from ingest_assets.doors.mcp.calls import Call, without_paths
from ingest_assets.doors.queued_jobs import QueuedJobs
from ingest_assets.jobs.errors import UnknownJobError
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.model import ConfigurationError
from ingest_assets.status import status


def index_status(call: Call, _asked: IndexStatus) -> StatusAnswer:
    """What the index holds."""
    return StatusAnswer.model_validate(status(call.bench.ledger))


def start(call: Call, asked: StartIndexing) -> JobStarted:
    """Queue a job for a repository, which is kept in step once it was fetched."""
    request = JobRequest(asked.repo_path, project_id=asked.project_id, force_reindex=asked.force_reindex)
    return _jobs(call).start(request)


def job_status(call: Call, asked: JobId) -> JobStatus:
    """How a job is, now."""
    return _known(_jobs(call).status, asked)


def cancel(call: Call, asked: JobId) -> JobStatus:
    """Have a job stop."""
    return _known(_jobs(call).cancel, asked)


def _jobs(call: Call) -> QueuedJobs:
    return QueuedJobs(call.bench, call.transport, {"started_by": call.caller.name})


def _known(look: Callable[[str], JobStatus], asked: JobId) -> JobStatus:
    """A job as an agent may see it; one that there is not, in an agent's words."""
    try:
        found = look(asked.job_id)
    except UnknownJobError:
        raise ConfigurationError(
            "There is no such job: it never was, or ended longer ago than jobs are kept. "
            "start_indexing_background gives the ids of jobs."
        ) from None
    return found.model_copy(update={"error_message": without_paths(found.error_message)})
