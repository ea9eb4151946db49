"""`/health`, `/ready`, `/status` and `/sources`: whether the server works, and what it serves."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.interfaces.failures import told
from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.requests import StatusQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.queries.reach import narrowed
from ingest_assets.queries.sources import describe_sources
from ingest_assets.queries.status import status as index_status


async def health(_service: Service, _request: Request, _given: object) -> Response:
    """The process responds. Checks nothing else."""
    return JSONResponse({"status": "ok"})


async def status(service: Service, request: Request, given: StatusQuery) -> Response:
    """What the index holds, of what is within the caller's reach."""
    reach = narrowed(request.scope[CALLER].reach, given.project_id)
    if reach is None:
        return JSONResponse(await service.status.get())
    work = service.operations.submit(lambda bench: index_status(bench, partial(told, "GET /status"), reach))
    return JSONResponse(await asyncio.wrap_future(work))


async def sources(service: Service, request: Request, _given: object) -> Response:
    """The sources, and the fields that each can be filtered by."""
    described = await asyncio.to_thread(describe_sources, service.bench, request.scope[CALLER].reach)
    return JSONResponse({"sources": [asdict(each) for each in described]})


async def ready(service: Service, _request: Request, _given: object) -> Response:
    """Whether a search would be answered."""
    found = await service.readiness.get()
    return JSONResponse(asdict(found), 200 if found.status == "ready" else 503)
