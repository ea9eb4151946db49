"""The server process: the address it listens on, its options, and its shutdown."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from subprocess import Popen
from threading import Event, Thread
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ingest_assets.interfaces import listening as addresses
from ingest_assets.interfaces.http.connections import KEEP_ALIVE_S, Connection, Connections, closing_unread
from ingest_assets.interfaces.http.service import Service
from ingest_assets.model import UnavailableError
from ingest_assets.settings import Settings

# How long running requests may continue after the server was told to stop; event streams end at once.
GRACE_S = 10


def listen(settings: Settings) -> socket.socket:
    """Bind the address. Raises ConfigurationError when that fails, or when tokens are needed and not set."""
    has_tokens = settings.ingest_api_tokens is not None
    host, port = settings.ingest_http_host, settings.ingest_http_port
    return addresses.listen(addresses.Address(host, port, has_tokens, "INGEST_HTTP", "INGEST_API_TOKENS"))


def serve(service: Service, app: ASGIApp, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once requests are answered."""
    server_of(service, app, ready).run(sockets=[listening])


def server_of(service: Service, app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """A server that has not been started."""
    config = bounded_config(app, service.settings.ingest_http_max_connections, ws="none", lifespan="on")
    return NotifyingServer(config, ready, service.closing.set)


def serve_beside(daemon: Popen[bytes], server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, or until Dagster's daemon ends by itself: raises UnavailableError."""
    failed = Event()

    def end_together() -> None:
        daemon.wait()
        if not server.should_exit:  # else a signal, which ends both
            failed.set()
            server.should_exit = True

    Thread(target=end_together, daemon=True).start()
    server.run(sockets=[listening])
    if failed.is_set():
        raise UnavailableError("Dagster's daemon ended; its output above says why.")


def bounded_config(app: ASGIApp, max_connections: int, **options: Any) -> uvicorn.Config:
    """The configuration of servers that strangers can reach."""
    return uvicorn.Config(
        closing_unread(app),
        # uvicorn calls it as it would the class.
        http=partial(Connection, Connections(max_connections)),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,  # it would contain what people search for; the metrics count requests
        proxy_headers=False,  # any client could forge them
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        **options,
    )


class NotifyingServer(uvicorn.Server):
    """A server that says when it is ready, and when it begins to shut down."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], closing: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._ready, self._closing = ready, closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing()
        await super().shutdown(sockets)
