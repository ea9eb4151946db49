"""Background jobs: start, list, look, cancel."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.doors.http.requests import JobBody, JobsQuery
from ingest_assets.doors.jobs_port import JobRequest
from ingest_assets.jobs.errors import UnknownJobError

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door


async def start(door: Door, _request: Request, given: JobBody) -> Response:
    """Note down a job; it is done in the background."""
    wanted = JobRequest(given.repo, given.git_ref, given.project_id, given.force_reindex)
    started = await asyncio.to_thread(door.require_jobs().start, wanted)
    return JSONResponse(started.model_dump(), 202, {"Location": f"/jobs/{started.job_id}"})


async def list_jobs(door: Door, _request: Request, given: JobsQuery) -> Response:
    """The newest jobs."""
    found = await asyncio.to_thread(door.require_jobs().list, status=given.status, limit=given.limit)
    return JSONResponse({"jobs": [job.model_dump() for job in found]})


async def show(door: Door, request: Request, _given: object) -> Response:
    """How far a job is."""
    found = await asyncio.to_thread(door.require_jobs().status, job_id(request))
    return JSONResponse(found.model_dump())


async def cancel(door: Door, request: Request, _given: object) -> Response:
    """Ask a job to end."""
    found = await asyncio.to_thread(door.require_jobs().cancel, job_id(request))
    return JSONResponse(found.model_dump(), 202)


def job_id(request: Request) -> str:
    """The one in the path."""
    found = str(request.path_params["job_id"])
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", found):
        raise UnknownJobError(found)
    return found
