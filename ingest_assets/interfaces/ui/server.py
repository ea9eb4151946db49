"""The process that serves the guarded UI, with or without Dagster's daemon."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from ingest_assets.interfaces import listening as addresses
from ingest_assets.interfaces.http.server import NotifyingServer, bounded_config, serve_beside
from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.interfaces.ui.guard import Guard
from ingest_assets.orchestration import webserver
from ingest_assets.process import ends_in_order
from ingest_assets.settings import Settings


def listen(settings: Settings) -> socket.socket:
    """Bind the address. Raises ConfigurationError when that fails, or when tokens are needed and not set."""
    has_tokens = settings.ingest_ui_tokens is not None
    host, port = settings.ingest_ui_host, settings.ingest_ui_port
    return addresses.listen(addresses.Address(host, port, has_tokens, "INGEST_UI", "INGEST_UI_TOKENS"))


def server_of(settings: Settings, app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """A server for Dagster's application, guarded, that has not been started."""
    guarded = Guard(app, Tokens.of_people(settings.ingest_ui_tokens))
    config = bounded_config(guarded, settings.ingest_http_max_connections, ws="auto", lifespan="on")
    return NotifyingServer(config, ready)


def serve(settings: Settings, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once requests are answered."""
    with ends_in_order(), webserver.web_application(settings) as app:
        server_of(settings, app, ready).run(sockets=[listening])


def serve_with_daemon(settings: Settings, listening: socket.socket, ready: Callable[[], None]) -> None:
    """As `serve`, with Dagster's daemon beside it. Raises UnavailableError when the daemon ends by itself."""
    with ends_in_order(), webserver.web_application(settings) as app, webserver.daemon(settings) as daemon:
        serve_beside(daemon, server_of(settings, app, ready), listening)
