"""Dagster's daemon under a supervisor: one process that runs it and says over HTTP whether it works.

`GET /health` answers 200 while the daemon's heartbeats come, else 503. A container's probe needs no more, so
callers from other machines get the state alone. To callers on this machine it also says when each source was
last refreshed, and how each schedule and sensor ended its latest tick, which may name files and hosts.

What belongs here: that server. What does not: what the daemon did (`orchestration.supervision`).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ingest_assets.interfaces import listening as addresses
from ingest_assets.interfaces.http.server import NotifyingServer, bounded_config, serve_beside
from ingest_assets.interfaces.http.shared_result import SharedResult
from ingest_assets.orchestration import webserver
from ingest_assets.orchestration.instance import open_instance
from ingest_assets.orchestration.supervision import Health, Watched
from ingest_assets.process import ends_in_order
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

MAX_AGE_S = 2.0  # of an answer: nobody can make the process look more often
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
        app = application(Watched(instance, bench).health)
        server = NotifyingServer(bounded_config(app, MAX_CONNECTIONS, ws="none", lifespan="on"), ready)
        serve_beside(daemon, server, listening)


def application(look: Callable[[], Health]) -> Starlette:
    """The one page."""
    found = SharedResult(look, MAX_AGE_S)

    async def health(request: Request) -> JSONResponse:
        state = await found.get()
        here = request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
        return JSONResponse(
            asdict(state) if here else {"status": state.status}, 200 if state.status == "ok" else 503
        )

    return Starlette(routes=[Route("/health", health, methods=["GET"])])
