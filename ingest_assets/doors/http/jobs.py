"""Background jobs: start, list, look, cancel."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.doors.http.requests import JobBody, JobsQuery
from ingest_assets.doors.jobs_port import JobRequest, UnknownJobError

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door


async def start(door: Door, _request: Request, given: JobBody) -> Response:
    """Note down a job; it is done in the background."""
    wanted = JobRequest(given.repo, given.git_ref, given.project_id, given.force_reindex)
    started = await asyncio.to_thread(door.require_jobs().start, wanted)
    return JSONResponse(asdict(started), 202, {"Location": f"/jobs/{started.job_id}"})


async def list_jobs(door: Door, _request: Request, given: JobsQuery) -> Response:
    """The newest jobs."""
    found = await asyncio.to_thread(door.require_jobs().list, status=given.status, limit=given.limit)
    return JSONResponse({"jobs": [asdict(job) for job in found]})


async def show(door: Door, request: Request, _given: object) -> Response:
    """How far a job is."""
    return JSONResponse(asdict(await asyncio.to_thread(door.require_jobs().status, job_id(request))))


async def cancel(door: Door, request: Request, _given: object) -> Response:
    """Ask a job to end."""
    return JSONResponse(asdict(await asyncio.to_thread(door.require_jobs().cancel, job_id(request))), 202)


def job_id(request: Request) -> str:
    """The one in the path."""
    found = str(request.path_params["job_id"])
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", found):
        raise UnknownJobError("There is no job of this id.")
    return found
