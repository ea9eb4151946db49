"""Dagster's daemon under a supervisor: one process that runs it and says over HTTP whether it works.

`GET /health` answers 200 while the daemon's heartbeats come, else 503. A container's probe needs no more, so
callers from other machines get the state alone. To callers on this machine it also says when each source was
last refreshed, and how each schedule and sensor ended its latest tick, which may name files and hosts.

`GET /metrics` is for Prometheus, on this machine, or with a token of INGEST_API_TOKENS that may read.

What belongs here: that server. What does not: what the daemon did (`orchestration.supervision`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest_assets.interfaces import listening as addresses
from ingest_assets.interfaces.daemon_metrics import DaemonMetrics
from ingest_assets.interfaces.first_look import say_what_is_wrong
from ingest_assets.interfaces.http.server import NotifyingServer, bounded_config, serve_beside
from ingest_assets.interfaces.http.shared_result import SharedResult
from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.orchestration import webserver
from ingest_assets.orchestration.hosts import require_right_clock
from ingest_assets.orchestration.instance import open_instance
from ingest_assets.orchestration.supervision import Health, Watched
from ingest_assets.process import ends_in_order
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

# Of an answer: nobody can make the process look more often.
MAX_AGE_S = 2.0
METRICS_MAX_AGE_S = 10.0  # they read Dagster's records
MAX_CONNECTIONS = 32


def listen(settings: Settings) -> socket.socket:
    """Bind the address. Raises ConfigurationError when that fails. It needs no tokens: see above."""
    host, port = settings.ingest_daemon_host, settings.ingest_daemon_port
    return addresses.listen(addresses.Address(host, port, has_tokens=True, prefix="INGEST_DAEMON", tokens=""))


def run(settings: Settings, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Run the daemon and serve its health until SIGTERM or SIGINT.

    Raises UnavailableError when the daemon ends by itself.
    """
    with (
        ends_in_order(),
        open_instance(settings) as instance,
        Workbench(settings) as bench,
        webserver.daemon(settings) as daemon,
    ):
        watched = Watched(instance, bench)
        tokens = Tokens.of(settings.ingest_api_tokens)
        first_look = partial(say_what_is_wrong, settings, lambda own: require_right_clock(own.ledger))
        app = application(watched.health, DaemonMetrics(watched).text, tokens, at_start=first_look)
        server = NotifyingServer(bounded_config(app, MAX_CONNECTIONS, ws="none", lifespan="on"), ready)
        serve_beside(daemon, server, listening)


def application(
    look: Callable[[], Health],
    metrics_text: Callable[[], bytes],
    tokens: Tokens | None = None,
    at_start: Callable[[], None] = lambda: None,
) -> Starlette:
    """The two pages. `at_start` is called in a thread when they are served."""
    found = SharedResult(look, MAX_AGE_S)
    measured = SharedResult(metrics_text, METRICS_MAX_AGE_S)

    async def health(request: Request) -> JSONResponse:
        state = await found.get()
        return JSONResponse(
            asdict(state) if _is_here(request) else {"status": state.status},
            200 if state.status == "ok" else 503,
        )

    async def metrics(request: Request) -> Response:
        caller = tokens.caller(request.headers.get("authorization")) if tokens else None
        if not _is_here(request) and (caller is None or "read" not in caller.scopes or caller.reach):
            return Response("A token of INGEST_API_TOKENS with the scope read is needed.\n", 401)
        return Response(await measured.get(), media_type=CONTENT_TYPE_LATEST)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        looking = asyncio.create_task(asyncio.to_thread(at_start))
        yield
        await looking

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
    )


def _is_here(request: Request) -> bool:
    return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
