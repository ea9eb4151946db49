"""Who is let in: from where, by which token, for what, how often, and with how much.

On a server without tokens everybody who reaches it may do everything, and a web page that somebody looks at
reaches it too: so there a request must name this machine as its host (or a name that points here would do,
"DNS rebinding"), and must not come from another site's page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from ingest_assets.doors.http.problems import Problem, busy
from ingest_assets.doors.tokens import Caller, Scope

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door, Mounted

# Told of a request that was not let in, and why.
Refused = Callable[[AsgiScope, str], Awaitable[None]]
CALLER, ROUTE = "ingest.caller", "ingest.route"  # where a request's scope keeps them
# A body that is too large, but not by far, is read to its end and thrown away: a client that is still sending
# when the connection is closed is told of that, and not of our answer.
DRAINED_BYTES = 64 << 20


class Admitted:
    """Another application behind the same tokens and limits.

    It is called when a request is here in full. What it would make of an exception while it reads is not
    known; here a body that is too large is refused like anything else, and `refused` is told.
    """

    def __init__(self, door: Door, mounted: Mounted) -> None:
        self._door, self._mounted = door, mounted
        self._most = mounted.max_body or door.settings.ingest_http_max_body_bytes

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._mounted.path
        try:
            body = await self._let_in(Request(scope, receive))
        except Problem as problem:
            if self._mounted.refused is not None:
                await self._mounted.refused(scope, problem.message)
            raise
        await self._mounted.app(scope, _again(body, receive), send)

    async def _let_in(self, request: Request) -> bytes:
        guard(self._door, request.scope)
        admit(self._door, request.scope, self._mounted.scope)
        async with in_time(self._door):
            return await body_of(request, self._most)


def admit(door: Door, scope: AsgiScope, needed: Scope) -> Caller:
    """Let a request in, or say why not: too many, unknown, or not allowed to."""
    caller: Caller | None = scope.get(CALLER)
    address = (scope.get("client") or ("nobody",))[0]
    wait = door.buckets.take(f"token {caller.name}" if caller and door.tokens else f"address {address}")
    if wait:
        problem = busy("Too many requests from you. Wait a little.", wait)
        raise Problem(429, "too_many_requests", problem.message, problem.headers)
    if caller is None:
        given = any(name == b"authorization" for name, _ in scope["headers"])
        challenge = 'Bearer realm="ingest"' + (', error="invalid_token"' if given else "")
        message = "This token is not known here." if given else "Send a token: Authorization: Bearer TOKEN."
        raise Problem(401, "unauthorized", message, {"WWW-Authenticate": challenge})
    if needed not in caller.scopes:
        challenge = f'Bearer realm="ingest", error="insufficient_scope", scope="{needed}"'
        message = f"The token of {caller.name} lacks the scope {needed}."
        raise Problem(403, "forbidden", message, {"WWW-Authenticate": challenge})
    return caller


def guard(door: Door, scope: AsgiScope) -> None:
    """On a server without tokens, refuse what a page of another site may have sent."""
    if door.tokens:
        return
    headers, path = Headers(scope=scope), scope["path"]
    host = headers.get("host", "")
    if _name_of(host) not in {"localhost", "127.0.0.1", "::1"}:
        message = "Without tokens this server answers to localhost only, not to the name in the Host header."
        raise Problem(421, "host_not_allowed", message)
    origin = headers.get("origin")
    # Following a link to the page itself does no harm, and is told apart from what the page then asks.
    elsewhere = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and path != "/"
    if elsewhere or (origin is not None and origin.lower() != f"http://{host.lower()}"):
        raise Problem(403, "cross_origin", "Without tokens this server answers no other site's pages.")


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


@asynccontextmanager
async def in_time(door: Door) -> AsyncIterator[None]:
    """What takes longer than a request may is given up."""
    try:
        async with asyncio.timeout(door.settings.ingest_http_timeout_s):
            yield
    except TimeoutError:
        raise Problem(504, "timeout", "It took too long. Ask for less, or again later.") from None


async def body_of(request: Request, most: int) -> bytes:
    """All of a request's body. Raises a Problem for one that is larger."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > max(most, DRAINED_BYTES):
        raise _too_large(most)
    raw, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > max(most, DRAINED_BYTES):
            raise _too_large(most)
        if size <= most:
            raw += part
    if size > most:
        raise _too_large(most)
    return bytes(raw)


def _again(body: bytes, receive: Receive) -> Receive:
    """A request's messages, for one more who reads it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _too_large(most: int) -> Problem:
    """The body is."""
    # The rest of it may not have been read: the connection cannot be used again.
    message = f"The request is too large: at most {most} bytes."
    return Problem(413, "too_large", message, {"Connection": "close"})
