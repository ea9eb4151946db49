"""`index_status`, and indexing jobs: start, watch, cancel. Starting one only queues it."""

from __future__ import annotations

from ingest_assets.doors.mcp.answers import Cancelled, JobAnswer, Started, StatusAnswer
from ingest_assets.doors.mcp.arguments import IndexStatus, JobId, StartIndexing
from ingest_assets.doors.mcp.calls import Call, without_paths
from ingest_assets.jobs import queue
from ingest_assets.jobs.errors import UnknownJobError
from ingest_assets.model import ConfigurationError
from ingest_assets.repositories import Repository, bounds_of
from ingest_assets.status import status


def index_status(call: Call, _asked: IndexStatus) -> StatusAnswer:
    """What the index holds."""
    return StatusAnswer.model_validate(status(call.bench.ledger))


def start(call: Call, asked: StartIndexing) -> Started:
    """Queue a job for a repository, which is kept in step from then on."""
    from ingest_assets.sources.repositories.origin import parse_origin

    bench = call.bench
    origin = parse_origin(asked.repo_path, bounds_of(bench.settings).policy)
    known = _known(call, origin.id)
    # One that is there keeps its ref.
    kept = known if known and not known.removed else bench.repositories.add(asked.repo_path)
    started = queue.start(
        bench.ledger,
        queue.Repository(origin.id, origin.url or str(origin.path), origin.name),
        project_id=asked.project_id,
        git_ref=kept.ref,
        force_reindex=asked.force_reindex,
        connection_id=call.transport,
        metadata={"started_by": call.caller.name},
    )
    return Started.model_validate(started)


def job_status(call: Call, asked: JobId) -> JobAnswer:
    """How a job is, now."""
    try:
        found = queue.status_of(call.bench.ledger, asked.job_id)
    except UnknownJobError:
        raise _unknown() from None
    found["error_message"] = without_paths(found["error_message"])
    return JobAnswer.model_validate(found)


def cancel(call: Call, asked: JobId) -> Cancelled:
    """Have a job stop."""
    try:
        return Cancelled.model_validate(queue.cancel(call.bench.ledger, asked.job_id))
    except UnknownJobError:
        raise _unknown() from None


def _known(call: Call, repository_id: str) -> Repository | None:
    return next((one for one in call.bench.repositories.all() if one.id == repository_id), None)


def _unknown() -> ConfigurationError:
    return ConfigurationError(
        "There is no such job: it never was, or ended longer ago than jobs are kept. "
        "start_indexing_background gives the ids of jobs."
    )
