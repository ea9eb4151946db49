"""The process that serves: the address, its guard, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingest_assets.doors.http.app import Door
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import Settings

# A client that has not said within so many seconds what it wants is let go.
HEAD_S = 10.0
# How long requests that run may go on after the server was told to end; streams end at once.
GRACE_S = 10
# Bytes of a request's line and headers.
MAX_HEAD_BYTES = 32_768
# How long what a client still sends is thrown away after it was refused: closed at once, it might not get to
# read why.
LINGER_S = 1.0
BACKLOG = 512


def listen(settings: Settings) -> socket.socket:
    """Take the address. Raises ConfigurationError when it cannot be had, or needs tokens and has none."""
    host, port = settings.ingest_http_host, settings.ingest_http_port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"INGEST_HTTP_HOST={host}: there is no such address.") from error
    if settings.ingest_api_tokens is None and not ipaddress.ip_address(address[0]).is_loopback:
        raise ConfigurationError(
            f"INGEST_HTTP_HOST={host} can be reached from other machines, and INGEST_API_TOKENS is not set: "
            "set tokens, or listen on 127.0.0.1."
        )
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections that a server left behind when it ended must not keep the next one from starting.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} on {host} is taken: end what listens there, or set INGEST_HTTP_PORT."
        else:
            message = f"Cannot listen on port {port} of {host}: {error.strerror}."
        raise ConfigurationError(message) from error
    return found


def url_of(listening: socket.socket) -> str:
    """What to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(door: Door, app: ASGIApp, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called when requests are answered."""
    server_of(door, app, ready).run(sockets=[listening])


def server_of(door: Door, app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """A server that is not started yet."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # queries are people's words; the metrics count them
        proxy_headers=False,  # anybody could write them
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Server(config, door, ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, door: Door, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._door, self._ready = door, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.closing.set()
        await super().shutdown(sockets)


class Protocol(H11Protocol):
    """HTTP/1.1 with a bounded head: in size through h11, in time here. What is no HTTP gets JSON too."""

    _too_late: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_head()

    def send_400_response(self, msg: str) -> None:
        """What h11 could not read."""
        text = f'{{"error":{{"code":"invalid_http","message":"{msg}"}}}}'.encode()
        headers: list[Any] = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(text)),
            (b"connection", b"close"),
        ]
        if self.conn.our_state is h11.IDLE:
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=text), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._refused = True
        self.loop.call_later(LINGER_S, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._too_late = self.loop.call_later(HEAD_S, self._close_if_silent)

    def _stop_waiting(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _close_if_silent(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
