"""`/health`, `/ready`, `/status` and `/sources`: whether the server works, and what it serves."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.interfaces.http.service import Service
from ingest_assets.queries.sources import describe_sources


async def health(_service: Service, _request: Request, _given: object) -> Response:
    """The process responds. Checks nothing else."""
    return JSONResponse({"status": "ok"})


async def status(service: Service, _request: Request, _given: object) -> Response:
    """What the index holds."""
    return JSONResponse(await service.status.get())


async def sources(service: Service, _request: Request, _given: object) -> Response:
    """The sources, and the fields that each can be filtered by."""
    described = await asyncio.to_thread(describe_sources, service.bench)
    return JSONResponse({"sources": [asdict(each) for each in described]})


async def ready(service: Service, _request: Request, _given: object) -> Response:
    """Whether a search would be answered."""
    found = await service.readiness.get()
    return JSONResponse(asdict(found), 200 if found.status == "ready" else 503)
