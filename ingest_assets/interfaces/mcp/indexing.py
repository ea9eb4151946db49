"""`index_status`, and the tools that start, watch and cancel indexing jobs. Starting a job only queues it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ingest_assets.interfaces.failures import told
from ingest_assets.interfaces.job_service import JobRequest, JobStatus
from ingest_assets.interfaces.mcp.answers import JobsAnswer, StatusAnswer
from ingest_assets.interfaces.mcp.arguments import IndexStatus, JobId, ListJobs, StartIndexing
from ingest_assets.interfaces.mcp.calls import Call
from ingest_assets.interfaces.mcp.fetching import require_allowed
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs.errors import UnknownJobError
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.model import RequestError
from ingest_assets.paging import BUDGET, fitting
from ingest_assets.queries.reach import narrowed
from ingest_assets.queries.status import status

# What a job failed of may name folders, hosts and what a backend said.
FAILED = "The job failed. The operator finds the reason under the job's id: `ingest job show ID`."


def index_status(call: Call, asked: IndexStatus) -> StatusAnswer:
    """What the index holds, of what is within reach."""
    tell = partial(told, "the tool index_status")
    return StatusAnswer.model_validate(status(call.bench, tell, narrowed(call.reach, asked.project_id)))


def start(call: Call, asked: StartIndexing) -> JobStarted:
    """Queue a job for a repository. Once it has been fetched, it is kept in step."""
    require_allowed(asked.repo_path, call.bench.settings, here=_is_here(call))
    request = JobRequest(
        asked.repo_path,
        project_id=asked.project_id,
        force_reindex=asked.force_reindex,
        source=asked.source,
        committed_only=asked.committed_only,
    )
    return _jobs(call).start(request)


def list_jobs(call: Call, asked: ListJobs) -> JobsAnswer:
    """The newest jobs."""
    # One more than is shown tells whether there are older ones.
    found = _jobs(call).list(status=asked.status, project_id=asked.project_id, limit=asked.limit + 1)
    shown = fitting([_for_agents(each) for each in found[: asked.limit]], BUDGET - 1_000)
    return JobsAnswer(jobs=shown, more=len(found) > len(shown))


def job_status(call: Call, asked: JobId) -> JobStatus:
    """The status of a job."""
    return _answer(_jobs(call).status, asked)


def cancel(call: Call, asked: JobId) -> JobStatus:
    """Ask a job to stop."""
    return _answer(_jobs(call).cancel, asked)


def _jobs(call: Call) -> QueuedJobs:
    return QueuedJobs.of(call.bench, call.transport, call.caller, here=_is_here(call))


def _is_here(call: Call) -> bool:
    """Whether the agent runs this process, so that it may read what this machine's user may."""
    return call.transport == "stdio"


def _answer(action: Callable[[str], JobStatus], asked: JobId) -> JobStatus:
    """The job as an agent may see it. Raises RequestError when there is no such job."""
    try:
        found = action(asked.job_id)
    except UnknownJobError:
        raise RequestError(
            "There is no such job: it never existed, or ended longer ago than jobs are kept. "
            "The ids of jobs come from start_indexing_background."
        ) from None
    return _for_agents(found)


def _for_agents(found: JobStatus) -> JobStatus:
    return found.model_copy(
        update={
            "repo": found.repo if "://" in found.repo else found.repository_id,
            "error_message": found.error_message and FAILED,
        }
    )
