"""Connections: how many there may be, and how long each may take over each step.

    waiting for a head    HEAD_TIMEOUT_S until it is complete, KEEP_ALIVE_S while nothing arrives
    a request             as long as the application allows
    an answer             SEND_TIMEOUT_S in which the client reads nothing
    closing               LINGER_S in which up to LINGER_BYTES of an unread body are discarded,
                          then SEND_TIMEOUT_S until the client has read the answer

A body that nobody reads is discarded for a moment after the answer because a connection that is closed while
the client is sending is reset, and the client may then never see the answer.

When there are too many connections, one that is not working on an admitted request is closed: the oldest of
the address that has most of these. A flood from one address thus displaces itself, and whoever has a token
and is being answered is left alone.

What belongs here: uvicorn's protocol with these bounds. What does not: who is admitted (`admission`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingest_assets.interfaces.http.strict import MAX_HEAD_BYTES, StrictConnection

ADMITTED = "ingest.admitted"  # key in the ASGI scope of a request that was let in
HEAD_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 5
SEND_TIMEOUT_S = 60.0
LINGER_S = 2.0
LINGER_BYTES = 16 << 20
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_REASONS = {
    400: "This is not a valid HTTP request.",
    431: f"The request line and the headers are too large: at most {MAX_HEAD_BYTES} bytes.",
    501: "Only Transfer-Encoding: chunked is supported.",
}


def closing_unread(app: ASGIApp) -> ASGIApp:
    """An application whose clients are told when a connection is closed because a body was not read."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def receiving() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            if unread and message["type"] == "http.response.start":
                MutableHeaders(raw=message.setdefault("headers", []))["Connection"] = "close"
            await send(message)

        await app(scope, receiving, sending)

    return closing


class Connections:
    """The open connections of one server. Used on the event loop only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Connection, str] = {}  # and their addresses, oldest first

    def __len__(self) -> int:
        return len(self._open)

    def add(self, added: Connection, address: str) -> bool:
        """Whether there is room for a connection; if necessary another one is closed."""
        if len(self._open) >= self._most and not self._displace():
            return False
        self._open[added] = address
        return True

    def remove(self, closed: Connection) -> None:
        """A connection is closed."""
        self._open.pop(closed, None)

    def _displace(self) -> bool:
        idle = [(each, address) for each, address in self._open.items() if not each.at_work]
        if not idle:
            return False
        most = Counter(address for _, address in idle).most_common(1)[0][0]
        displaced = next(each for each, address in idle if address == most)
        self.remove(displaced)  # now: its loss is only reported later
        displaced.abort()
        return True


class Connection(H11Protocol):
    """One HTTP/1.1 connection, within the bounds above. Errors in HTTP itself are JSON too."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.conn = StrictConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._connections = connections
        self._socket: asyncio.Transport
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closing, self._discarded = False, 0

    @property
    def at_work(self) -> bool:
        """Whether a request that was let in is being answered."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return answering and not self._closing and ADMITTED in self.scope

    def abort(self) -> None:
        """Close it at once."""
        self._closing = True
        self._socket.abort()

    # What asyncio reports.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._socket = transport
        super().connection_made(_Closing(transport, self._close, lambda: self._closing))  # type: ignore[arg-type]
        if self._connections.add(self, self.client[0] if self.client else ""):
            self._start("head", HEAD_TIMEOUT_S, self._close_if_idle)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._connections.remove(self)
        for what in tuple(self._timers):
            self._stop(what)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._closing:
            super().data_received(data)
            return
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._socket.abort()

    def eof_received(self) -> None:
        # asyncio now closes the connection once the answer, as far as there is one, has been sent.
        self._closing = True
        self._start("send", SEND_TIMEOUT_S, self._socket.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("send", SEND_TIMEOUT_S, self._socket.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._closing:
            self._stop("send")

    # What uvicorn does.

    def on_response_complete(self) -> None:
        if self.conn.their_state is h11.SEND_BODY:
            self._close()
        super().on_response_complete()
        if not self._closing:
            self._start("head", HEAD_TIMEOUT_S, self._close_if_idle)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        for what in tuple(self._timers):
            self._stop(what)
        self._connections.remove(self)
        self.transport = self._socket
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it is the same for every error
        """Called when h11 cannot parse a request."""
        assert isinstance(self.conn, StrictConnection)
        status = self.conn.status if self.conn.status in _REASONS else 400
        if self.conn.our_state is h11.IDLE:
            text = json.dumps({"error": {"code": "invalid_http", "message": _REASONS[status]}}).encode()
            headers: list[Any] = [(name.lower(), value) for name, value in HEADERS.items()]
            headers += [("content-type", "application/json"), ("content-length", str(len(text)))]
            reason = HTTPStatus(status).phrase.encode()
            head = h11.Response(
                status_code=status, headers=[*headers, ("connection", "close")], reason=reason
            )
            for part in (head, h11.Data(data=text), h11.EndOfMessage()):
                self._socket.write(self.conn.send(part) or b"")
        self._close(unread=True)

    # Ours.

    def _close(self, *, unread: bool = False) -> None:
        """Send what is left of the answer, discard what is left of the request, and close."""
        if self._closing:
            return
        self._closing = True
        self._stop("head")
        unread = unread or self.conn.their_state is h11.SEND_BODY
        if unread and self._socket.can_write_eof():
            self._socket.write_eof()
            self._socket.resume_reading()
            self._start("linger", LINGER_S, self._close_now)
        else:
            self._close_now()

    def _close_now(self) -> None:
        self._start("send", SEND_TIMEOUT_S, self._socket.abort)
        self._socket.close()

    def _close_if_idle(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.conn.their_state is h11.IDLE:
            self._close()

    def _start(self, what: str, seconds: float, then: Callable[[], object]) -> None:
        self._stop(what)
        self._timers[what] = self.loop.call_later(seconds, then)

    def _stop(self, what: str) -> None:
        if timer := self._timers.pop(what, None):
            timer.cancel()


class _Closing:
    """A transport as uvicorn sees it, whose `close` is ours."""

    def __init__(
        self, transport: asyncio.Transport, close: Callable[[], None], is_closing: Callable[[], bool]
    ) -> None:
        self._transport, self.close, self._is_closing = transport, close, is_closing

    def is_closing(self) -> bool:
        return self._is_closing() or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
