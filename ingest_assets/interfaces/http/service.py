"""The state of one server: settings, tokens, rate limits, the workbench, searches, jobs and metrics.

What belongs here: what handlers work with. What does not: routes and handlers. They import this module, and
it imports none of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.types import ASGIApp
from starlette.types import Scope as AsgiScope

from ingest_assets.cache.lookups import LOOKUPS
from ingest_assets.interfaces.failures import told
from ingest_assets.interfaces.http.bounded_pool import BoundedPool
from ingest_assets.interfaces.http.problems import Problem
from ingest_assets.interfaces.http.readiness import MAX_AGE_S, Heartbeat, check_readiness
from ingest_assets.interfaces.http.request_metrics import RequestMetrics
from ingest_assets.interfaces.http.search_pool import SearchPool
from ingest_assets.interfaces.http.shared_result import SharedResult
from ingest_assets.interfaces.job_service import Jobs
from ingest_assets.interfaces.limits import Buckets, Slots
from ingest_assets.interfaces.tokens import Caller, Scope, Tokens
from ingest_assets.jobs.totals import job_totals
from ingest_assets.queries.status import status
from ingest_assets.settings import Settings
from ingest_assets.sources.operations import SourceStream
from ingest_assets.sources.registry import Sources
from ingest_assets.workbench import Workbench

log = logging.getLogger(__name__)
KEEP_ALIVE_S = 15.0
# Of the operations that sources declare: how many run at once, each in a thread with a workbench, and how
# many wait for their turn. They read the ledger, mostly; more threads would not make them faster.
OPERATION_THREADS, OPERATION_QUEUE = 4, 32
# How many threads look for new events of sources, and how old the sequence of the newest one may be.
STREAM_THREADS, NEWEST_S = 2, 0.2

# Called with a request that was refused, and the reason.
OnRefused = Callable[[AsgiScope, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Mounted:
    """Another application that is served below a path, behind the same tokens and limits.

    It gets the full path of each request, and its caller in the ASGI scope under `admission.CALLER`: a
    `Caller`, whose scopes it may check further. `refused` is called for every request that is not let in:
    no valid token, too many requests, or too large a body.
    """

    path: str
    app: ASGIApp
    scope: Scope | None = "read"  # None: any, if the application itself checks scopes
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    refused: OnRefused | None = None
    max_body: int | None = None  # bytes of a request; None: the server's own limit


class Service:
    """What the handlers work with, one per server. The application closes it when it shuts down."""

    def __init__(
        self,
        settings: Settings,
        jobs: Callable[[Caller], Jobs] | None = None,
        heartbeat: Heartbeat | None = None,
        sources: Sources | None = None,
    ) -> None:
        """`jobs` gives a caller the jobs as it may see them. By default all sources are served."""
        self.settings, self._jobs = settings, jobs
        self.tokens = Tokens.of(settings.ingest_api_tokens)
        self.buckets = Buckets(settings.ingest_http_rate_per_s)
        self.bench = Workbench(settings, sources)
        self._status_bench = self.bench.twin()  # for the threads that compute status and readiness
        self.pool = SearchPool(
            self.bench, settings.ingest_http_search_workers, settings.ingest_http_search_queue
        )
        self.operations = BoundedPool(
            "operation",
            [self.bench.twin() for _ in range(OPERATION_THREADS)],
            OPERATION_QUEUE,
            "Too many requests at once. Try again in a moment.",
        )
        # Each open stream waits for one call at a time.
        self.following = BoundedPool(
            "stream",
            [self.bench.twin() for _ in range(STREAM_THREADS)],
            2 * settings.ingest_http_max_streams,
            "Too many event streams are open.",
        )
        self.newest = {each.name: self._newest_of(each) for each in self.bench.sources.streams()}
        self.status = SharedResult(lambda: status(self._status_bench, partial(told, "GET /status")))
        self.job_totals = SharedResult(lambda: job_totals(self.bench.ledger))
        self.readiness = SharedResult(
            lambda: check_readiness(self._status_bench, heartbeat), max_age_s=MAX_AGE_S
        )
        self.closing = asyncio.Event()  # set when the server begins to shut down: event streams then end
        most = settings.ingest_http_max_streams
        # Without tokens everybody is the same caller.
        each = settings.ingest_http_max_streams_per_caller if self.tokens else most
        self.streams = Slots(most, each)  # of open event streams
        self.keep_alive_s = KEEP_ALIVE_S
        self.metrics = RequestMetrics()
        self.metrics.gauge("ingest_searches_taken", "Searches running or queued.", lambda: self.pool.taken)
        self.metrics.gauge(
            "ingest_operations_taken",
            "Operations of sources running or queued.",
            lambda: self.operations.taken,
        )
        if self.bench.cache is not None:
            text = "Searches that looked into the cache, by what they found."
            self.metrics.counter("ingest_cache_lookups", text, "found", LOOKUPS.counts)
        self.metrics.gauge("ingest_event_streams", "Open event streams.", lambda: len(self.streams))

    def require_jobs(self, caller: Caller) -> Jobs:
        """The jobs, as a caller may see them. Raises a Problem when this server has none."""
        if self._jobs is None:
            raise Problem(501, "no_jobs", "This server runs no background jobs.")
        return self._jobs(caller)

    def _newest_of(self, stream: SourceStream) -> SharedResult[int]:
        """The sequence of its last event, which all who follow it share: mostly there is nothing new."""
        return SharedResult(lambda: self.following.submit(stream.newest).result(), NEWEST_S)

    def probe_cache(self) -> None:
        """Look, in the background, whether the cache is as it should be, and warn if it is not."""
        if self.bench.cache is not None:
            self.operations.submit(lambda bench: _warn_of_cache(bench.settings))

    def close(self) -> None:
        """Wait for running searches and operations, then close everything that is open."""
        self.pool.close()
        for pool in (self.operations, self.following):
            pool.shut_down()
            for bench in pool.workers:
                bench.close()
        self._status_bench.close()
        self.bench.close()


def _warn_of_cache(settings: Settings) -> None:
    from ingest_assets.cache.probing import probe

    found = probe(settings)
    if not found.well:
        log.warning("%s Searches go on without it.", found.message)
