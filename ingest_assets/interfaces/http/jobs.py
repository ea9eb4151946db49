"""`/jobs`: start, list, show and cancel background jobs."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.requests import JobBody, JobsQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.job_service import JobRequest, Jobs
from ingest_assets.jobs.errors import UnknownJobError


async def start(service: Service, request: Request, given: JobBody) -> Response:
    """Queue a job, which runs in the background."""
    wanted = JobRequest(
        given.repo,
        given.git_ref,
        given.project_id,
        given.force_reindex,
        given.source,
        given.allow_removals,
        given.committed_only,
    )
    started = await asyncio.to_thread(jobs_of(service, request).start, wanted)
    return JSONResponse(started.model_dump(), 202, {"Location": f"/jobs/{started.job_id}"})


async def list_jobs(service: Service, request: Request, given: JobsQuery) -> Response:
    """The newest jobs."""
    find = partial(jobs_of(service, request).list, status=given.status, project_id=given.project_id)
    found = await asyncio.to_thread(find, limit=given.limit)
    return JSONResponse({"jobs": [job.model_dump() for job in found]})


async def show(service: Service, request: Request, _given: object) -> Response:
    """The status of a job."""
    found = await asyncio.to_thread(jobs_of(service, request).status, job_id(request))
    return JSONResponse(found.model_dump())


async def cancel(service: Service, request: Request, _given: object) -> Response:
    """Ask a job to stop."""
    found = await asyncio.to_thread(jobs_of(service, request).cancel, job_id(request))
    return JSONResponse(found.model_dump(), 202)


def jobs_of(service: Service, request: Request) -> Jobs:
    """The jobs as the caller may see them. Raises a Problem when this server has none."""
    return service.require_jobs(request.scope[CALLER])


def job_id(request: Request) -> str:
    """The id in the path. Raises UnknownJobError for one that no job can have."""
    found = str(request.path_params["job_id"])
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", found):
        raise UnknownJobError(found)
    return found
