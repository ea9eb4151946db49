"""The server process: the address it listens on, limits on connections, and its shutdown."""

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

from ingest_assets.interfaces.http.service import Service
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import Settings

# A connection is closed when its request line and headers do not arrive within this time.
HEAD_TIMEOUT_S = 10.0
# How long running requests may continue after the server was told to stop; event streams end at once.
GRACE_S = 10
# Maximum size of the request line and headers.
MAX_HEAD_BYTES = 32_768
# How long a refused connection stays open while its client is still sending. If it were closed at once, the
# client might never read the response.
LINGER_S = 1.0
BACKLOG = 512


def listen(settings: Settings) -> socket.socket:
    """Bind the address. Raises ConfigurationError when that fails, or when tokens are needed and not set."""
    host, port = settings.ingest_http_host, settings.ingest_http_port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"INGEST_HTTP_HOST={host}: there is no such host or address.") from error
    if settings.ingest_api_tokens is None and not ipaddress.ip_address(address[0]).is_loopback:
        raise ConfigurationError(
            f"INGEST_HTTP_HOST={host} can be reached from other machines, and INGEST_API_TOKENS is not set. "
            "Set tokens, or listen on 127.0.0.1."
        )
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections left behind by an earlier server must not prevent this one from starting.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} on {host} is in use. Stop the other program, or set INGEST_HTTP_PORT."
        else:
            message = f"Cannot listen on port {port} of {host}: {error.strerror}."
        raise ConfigurationError(message) from error
    return found


def url_of(listening: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(service: Service, app: ASGIApp, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once requests are answered."""
    server_of(service, app, ready).run(sockets=[listening])


def server_of(service: Service, app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """A server that has not been started."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would contain what people search for; the metrics count requests
        proxy_headers=False,  # any client could forge them
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Server(config, service, ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.closing.set()
        await super().shutdown(sockets)


class Protocol(H11Protocol):
    """HTTP/1.1 with limits on the size (by h11) and time (here) of the head. Errors are JSON here too."""

    _head_timer: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_head_timer()

    def send_400_response(self, msg: str) -> None:
        """Called when h11 cannot parse a request."""
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

    def _start_head_timer(self) -> None:
        self._cancel_head_timer()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_idle)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_if_idle(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
