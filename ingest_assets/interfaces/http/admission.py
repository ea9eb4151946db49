"""Which requests are let in: by origin, token, scope, rate and size.

On a server without tokens, everyone who can reach it may do everything, and so could a web page open in a
browser on this machine. Such a server therefore requires a Host header that names this machine (which stops
DNS rebinding), and refuses requests that come from another site's page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from ingest_assets.interfaces.http.problems import Problem, busy
from ingest_assets.interfaces.http.service import Mounted, Service
from ingest_assets.interfaces.tokens import Caller, Scope

CALLER, ROUTE = "ingest.caller", "ingest.route"  # keys in a request's ASGI scope
# A body that is too large, but no larger than this, is read to its end and discarded. If the connection were
# closed while the client is still sending, the client would see that instead of our response.
DRAINED_BYTES = 64 << 20


class Admitted:
    """A mounted application, behind the same tokens and limits as the server's own routes.

    It is called once the whole request has been read, because how it would handle an exception while reading
    is unknown. A body that is too large is thus refused like anything else, and `refused` is called.
    """

    def __init__(self, service: Service, mounted: Mounted) -> None:
        self._service, self._mounted = service, mounted
        self._max_bytes = mounted.max_body or service.settings.ingest_http_max_body_bytes

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._mounted.path
        try:
            body = await self._admit(Request(scope, receive))
        except Problem as problem:
            if self._mounted.refused is not None:
                await self._mounted.refused(scope, problem.message)
            raise
        await self._mounted.app(scope, _replay(body, receive), send)

    async def _admit(self, request: Request) -> bytes:
        require_same_site(self._service, request.scope)
        admit(self._service, request.scope, self._mounted.scope)
        async with time_limit(self._service):
            return await read_body(request, self._max_bytes)


def admit(service: Service, scope: AsgiScope, needed: Scope) -> Caller:
    """The caller. Raises a Problem when it is unknown, lacks the scope or sends too many requests."""
    caller: Caller | None = scope.get(CALLER)
    address = (scope.get("client") or ("nobody",))[0]
    wait = service.buckets.take(f"token {caller.name}" if caller and service.tokens else f"address {address}")
    if wait:
        problem = busy("You are sending too many requests. Wait a moment.", wait)
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


def require_same_site(service: Service, scope: AsgiScope) -> None:
    """On a server without tokens, refuse what another site's page may have sent."""
    if service.tokens:
        return
    headers, path = Headers(scope=scope), scope["path"]
    host = headers.get("host", "")
    if _hostname(host) not in {"localhost", "127.0.0.1", "::1"}:
        message = "Without tokens this server only answers to localhost, not to the name in the Host header."
        raise Problem(421, "host_not_allowed", message)
    origin = headers.get("origin")
    # Following a link to the search page is harmless. What the page then requests is same-origin.
    cross_site = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and path != "/"
    if cross_site or (origin is not None and origin.lower() != f"http://{host.lower()}"):
        raise Problem(403, "cross_origin", "Without tokens this server answers no other site's pages.")


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


@asynccontextmanager
async def time_limit(service: Service) -> AsyncIterator[None]:
    """Cancels what takes longer than a request may. Raises a Problem."""
    try:
        async with asyncio.timeout(service.settings.ingest_http_timeout_s):
            yield
    except TimeoutError:
        raise Problem(504, "timeout", "It took too long. Ask for less, or try again later.") from None


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body of a request. Raises a Problem when it is larger than that."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > max(max_bytes, DRAINED_BYTES):
        raise _too_large(max_bytes)
    raw, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > max(max_bytes, DRAINED_BYTES):
            raise _too_large(max_bytes)
        if size <= max_bytes:
            raw += part
    if size > max_bytes:
        raise _too_large(max_bytes)
    return bytes(raw)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The messages of a request whose body has already been read."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _too_large(max_bytes: int) -> Problem:
    # The rest of the body may be unread, so the connection cannot be used again.
    message = f"The request is too large: at most {max_bytes} bytes."
    return Problem(413, "too_large", message, {"Connection": "close"})
