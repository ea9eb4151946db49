"""`index_status`, and the tools that start, watch and cancel indexing jobs. Starting a job only queues it."""

from __future__ import annotations

from collections.abc import Callable

from ingest_assets.interfaces.job_service import JobRequest, JobStatus
from ingest_assets.interfaces.mcp.answers import StatusAnswer
from ingest_assets.interfaces.mcp.arguments import IndexStatus, JobId, StartIndexing
from ingest_assets.interfaces.mcp.calls import Call, shown_to_agents
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs.errors import UnknownJobError
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.model import ConfigurationError
from ingest_assets.queries.status import status


def index_status(call: Call, _asked: IndexStatus) -> StatusAnswer:
    """What the index holds."""
    return StatusAnswer.model_validate(status(call.bench))


def start(call: Call, asked: StartIndexing) -> JobStarted:
    """Queue a job for a repository. Once it has been fetched, it is kept in step."""
    request = JobRequest(
        asked.repo_path,
        project_id=asked.project_id,
        force_reindex=asked.force_reindex,
        source=asked.source,
    )
    return _jobs(call).start(request)


def job_status(call: Call, asked: JobId) -> JobStatus:
    """The status of a job."""
    return _answer(_jobs(call).status, asked)


def cancel(call: Call, asked: JobId) -> JobStatus:
    """Ask a job to stop."""
    return _answer(_jobs(call).cancel, asked)


def _jobs(call: Call) -> QueuedJobs:
    return QueuedJobs(call.bench, call.transport, {"started_by": call.caller.name})


def _answer(action: Callable[[str], JobStatus], asked: JobId) -> JobStatus:
    """The job as an agent may see it. Raises ConfigurationError when there is no such job."""
    try:
        found = action(asked.job_id)
    except UnknownJobError:
        raise ConfigurationError(
            "There is no such job: it never existed, or ended longer ago than jobs are kept. "
            "The ids of jobs come from start_indexing_background."
        ) from None
    return found.model_copy(update={"error_message": shown_to_agents(found.error_message)})
