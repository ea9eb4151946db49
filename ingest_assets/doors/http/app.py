"""The table of routes, and the application made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from ingest_assets.doors.http import events, health, jobs, metrics, page, searches
from ingest_assets.doors.http.admission import Admitted, Refused
from ingest_assets.doors.http.answers import Alive, JobList, Status
from ingest_assets.doors.http.front import Front, nothing_there
from ingest_assets.doors.http.openapi import document
from ingest_assets.doors.http.operations import Operation, Resource
from ingest_assets.doors.http.problems import Problem
from ingest_assets.doors.http.requests import (
    EventsQuery,
    IngestQuery,
    JobBody,
    JobsQuery,
    SearchBody,
    SearchQuery,
)
from ingest_assets.doors.jobs_port import Jobs, JobStatus
from ingest_assets.doors.limits import Buckets
from ingest_assets.doors.tokens import Scope, Tokens
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.search import Hits
from ingest_assets.settings import Settings
from ingest_assets.status import status as status_of
from ingest_assets.workbench import Workbench

STREAM = "text/event-stream"
KEEP_ALIVE_S = 15.0

OPERATIONS = (
    Operation("GET", "/health", "Is it alive", None, health.health, answers={200: Alive}),
    Operation(
        "GET", "/ready", "Can it search", None, health.ready,
        answers={200: health.Readiness, 503: health.Readiness},
    ),
    Operation("GET", "/search", "Search", "read", searches.search, SearchQuery, answers={200: Hits}),
    Operation("POST", "/search", "Search", "read", searches.search, body=SearchBody, answers={200: Hits}),
    Operation("GET", "/status", "What the index holds", "read", health.status, answers={200: Status}),
    Operation(
        "GET", "/ingest", "Index a repository and stream the events", "ingest", events.ingest, IngestQuery,
        answers={200: STREAM, 204: "All events were seen."},
    ),
    Operation("GET", "/jobs", "The newest jobs", "read", jobs.list_jobs, JobsQuery, answers={200: JobList}),
    Operation(
        "POST", "/jobs", "Index a repository in the background", "ingest", jobs.start,
        body=JobBody, answers={202: JobStarted},
    ),
    Operation("GET", "/jobs/{job_id}", "How far a job is", "read", jobs.show, answers={200: JobStatus}),
    Operation("DELETE", "/jobs/{job_id}", "Cancel a job", "ingest", jobs.cancel, answers={202: JobStatus}),
    Operation(
        "POST", "/jobs/{job_id}/cancel", "Cancel a job", "ingest", jobs.cancel, answers={202: JobStatus}
    ),
    Operation(
        "GET", "/jobs/{job_id}/events", "Stream or replay a job's events", "read", events.events, EventsQuery,
        answers={200: STREAM, 204: "All events were seen."},
    ),
    Operation("GET", "/metrics", "For Prometheus", "read", metrics.metrics, answers={200: "text/plain"}),
    Operation("GET", "/openapi.json", "This document", None, page.openapi, answers={200: dict[str, Any]}),
    Operation("GET", "/", "The search page", None, page.page, documented=False),
    *(
        Operation("GET", f"/page/{name}", "A part of the page", None, page.asset, documented=False)
        for name in page.ASSETS
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mounted:
    """Another application at a path of ours, behind the same tokens and limits.

    It gets its requests with the paths as they came. Who asks is in the ASGI scope, under
    `admission.CALLER`: a `Caller`, whose scopes it may look at further. `refused` is told who was not let in,
    and why: for want of a token, too often, or with too large a body.
    """

    path: str
    app: ASGIApp
    scope: Scope = "read"
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    refused: Refused | None = None
    max_body: int | None = None  # bytes of a request; None: as for ours


class Door:
    """What the handlers work with. One a server; `open` and `close` are called by the application."""

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs | None = None,
        heartbeat: health.Heartbeat | None = None,
        operations: Sequence[Operation] = OPERATIONS,
    ) -> None:
        self.settings, self._jobs, self.operations = settings, jobs, operations
        self.tokens = Tokens.of(settings.ingest_api_tokens)
        self.buckets = Buckets(settings.ingest_http_rate_per_s)
        self.bench = Workbench(settings)
        self._looking = self.bench.twin()
        workers, queue = settings.ingest_http_search_workers, settings.ingest_http_search_queue
        self.pool = searches.SearchPool(self.bench, workers, queue)
        self.status = health.Shared(lambda: status_of(self._looking.ledger))
        self.readiness = health.Shared(
            lambda: health.readiness(self._looking, heartbeat), seconds=health.READY_FOR_S
        )
        self.metrics = metrics.Metrics()
        self.metrics.watch(self)
        self.document = document(operations)
        self.closing = asyncio.Event()  # set when the server is told to end: streams end by themselves
        self.streams = 0
        self.keep_alive_s = KEEP_ALIVE_S

    def require_jobs(self) -> Jobs:
        """The jobs. Raises a Problem where this server has none."""
        if self._jobs is None:
            raise Problem(501, "no_jobs", "This server runs no background jobs.")
        return self._jobs

    def close(self) -> None:
        """Wait for searches that run, and close what is open."""
        self.pool.close()
        self._looking.close()
        self.bench.close()


def create_app(door: Door, mounted: Sequence[Mounted] = ()) -> ASGIApp:
    """The ASGI application."""

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        door.pool.warm_up()
        try:
            async with AsyncExitStack() as stack:
                for other in mounted:
                    if other.lifespan is not None:
                        await stack.enter_async_context(other.lifespan())
                yield
        finally:
            await asyncio.to_thread(door.close)

    routes: list[BaseRoute] = [
        Route(path, Resource(door, path, tuple(operations)))
        for path, operations in groupby(door.operations, key=lambda operation: operation.path)
    ]
    for other in mounted:
        app = Admitted(door, other)
        routes += [Route(other.path, app), Route(f"{other.path}/{{rest:path}}", app)]
    router = Router(routes, default=nothing_there, redirect_slashes=False, lifespan=lifespan)
    return Front(door, router)
