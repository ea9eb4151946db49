"""The table of routes, and the application made from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from itertools import groupby
from threading import Thread
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from ingest_assets.interfaces.first_look import say_what_is_wrong
from ingest_assets.interfaces.http import events, health, jobs, metrics, page, searches
from ingest_assets.interfaces.http.admission import Admitted
from ingest_assets.interfaces.http.answers import Alive, JobList, SourceList, Status
from ingest_assets.interfaces.http.declared import routes_of
from ingest_assets.interfaces.http.front import Front, not_found
from ingest_assets.interfaces.http.openapi import document
from ingest_assets.interfaces.http.operations import Operation, Resource
from ingest_assets.interfaces.http.readiness import Readiness
from ingest_assets.interfaces.http.requests import (
    EventsQuery,
    IngestQuery,
    JobBody,
    JobsQuery,
    SearchBody,
    SearchQuery,
    StatusQuery,
)
from ingest_assets.interfaces.http.service import Mounted, Service
from ingest_assets.interfaces.http.streaming import MEDIA_TYPE as STREAM
from ingest_assets.interfaces.job_service import JobStatus
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.queries.search import Hits
from ingest_assets.sources.registry import Sources

ALL_READ = "There are no further events, and there will be none."


OF_JOBS = {
    404: "There is no such job.",
    409: "The job has already ended.",
    501: "This server runs no background jobs.",
}

# Those of every server. Sources declare more.
OPERATIONS = (
    Operation("GET", "/health", "Whether the process responds", None, health.health, answers={200: Alive}),
    Operation(
        "GET", "/ready", "Whether searches are answered", None, health.ready,
        answers={200: Readiness, 503: Readiness},
    ),
    Operation("GET", "/search", "Search", "read", searches.search, SearchQuery,
        answers={200: Hits}, keeps_within=True),
    Operation(
        "POST", "/search", "Search, with the parameters as JSON", "read", searches.search,
        body=SearchBody, answers={200: Hits}, keeps_within=True,
    ),
    Operation(
        "GET", "/sources", "The sources, and the fields that each can be filtered by", "read", health.sources,
        answers={200: SourceList}, keeps_within=True,
    ),
    Operation(
        "GET", "/status", "What the index holds", "read", health.status, StatusQuery,
        answers={200: Status}, keeps_within=True,
    ),
    Operation(
        "GET", "/ingest", "Index a repository and stream the job's events", "ingest", events.ingest,
        IngestQuery, answers={200: STREAM, 204: ALL_READ}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "GET", "/jobs", "List jobs", "read", jobs.list_jobs, JobsQuery,
        answers={200: JobList}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "POST", "/jobs", "Index a repository in the background", "ingest", jobs.start,
        body=JobBody, answers={202: JobStarted}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "GET", "/jobs/{job_id}", "Status of a job", "read", jobs.show,
        answers={200: JobStatus}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "DELETE", "/jobs/{job_id}", "Cancel a job", "ingest", jobs.cancel,
        answers={202: JobStatus}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "POST", "/jobs/{job_id}/cancel", "Cancel a job", "ingest", jobs.cancel,
        answers={202: JobStatus}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "GET", "/jobs/{job_id}/events", "Stream or replay a job's events", "read", events.events, EventsQuery,
        answers={200: STREAM, 204: ALL_READ}, refusals=OF_JOBS, keeps_within=True,
    ),
    Operation(
        "GET", "/metrics", "Metrics for Prometheus", "read", metrics.metrics, answers={200: "text/plain"}
    ),
    Operation("GET", "/", "The search page", None, page.page, documented=False, linked=True),
    *(
        Operation("GET", f"/page/{name}", "A file of the search page", None, page.asset, documented=False)
        for name in page.ASSETS
    ),
)  # fmt: skip


def operations_of(sources: Sources) -> tuple[Operation, ...]:
    """The server's own operations, and those that these sources declare."""

    @cache
    def described() -> dict[str, Any]:
        return document(every)

    async def openapi(_service: Service, _request: Request, _given: object) -> Response:
        """The API, for programs."""
        return JSONResponse(await asyncio.to_thread(described))

    itself = Operation("GET", "/openapi.json", "This document", None, openapi, answers={200: dict[str, Any]})
    every = (*OPERATIONS, itself, *routes_of(sources))
    return every


def create_app(service: Service, mounted: Sequence[Mounted] = ()) -> ASGIApp:
    """The ASGI application. It closes the service when it shuts down."""

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        service.pool.warm_up()
        service.probe_cache()
        # In a thread that nobody waits for: the server may be stopped while something does not answer.
        Thread(target=say_what_is_wrong, args=[service.settings], daemon=True).start()
        try:
            async with AsyncExitStack() as stack:
                for other in mounted:
                    if other.lifespan is not None:
                        await stack.enter_async_context(other.lifespan())
                yield
        finally:
            await asyncio.to_thread(service.close)

    every = operations_of(service.bench.sources)
    routes: list[BaseRoute] = [
        Route(path, Resource(service, path, tuple(operations)))
        for path, operations in groupby(every, key=lambda operation: operation.path)
    ]
    for other in mounted:
        app = Admitted(service, other)
        routes += [Route(other.path, app), Route(f"{other.path}/{{rest:path}}", app)]
    router = Router(routes, default=not_found, redirect_slashes=False, lifespan=lifespan)
    return Front(service, router)
