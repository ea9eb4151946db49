"""Which requests are let in: by origin, token, scope, rate and size.

Requests of another site's page are always refused (`same_site`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from ingest_assets.interfaces.http.connections import ADMITTED
from ingest_assets.interfaces.http.problems import Problem, busy
from ingest_assets.interfaces.http.same_site import require_same_site
from ingest_assets.interfaces.http.service import Mounted, Service
from ingest_assets.interfaces.tokens import Caller, Scope

CALLER, ROUTE = "ingest.caller", "ingest.route"  # keys in a request's ASGI scope


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
        require_same_site(request.scope, local_only=not self._service.tokens)
        admit(self._service, request.scope, self._mounted.scope)
        async with time_limit(self._service):
            return await read_body(request, self._max_bytes)


def admit(service: Service, scope: AsgiScope, needed: Scope | None) -> Caller:
    """The caller. Raises a Problem when it is unknown, lacks the scope or sends too many requests.

    Without a needed scope, any caller with a token is admitted.
    """
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
    if needed is not None and needed not in caller.scopes:
        challenge = f'Bearer realm="ingest", error="insufficient_scope", scope="{needed}"'
        message = f"The token of {caller.name} lacks the scope {needed}."
        raise Problem(403, "forbidden", message, {"WWW-Authenticate": challenge})
    scope[ADMITTED] = True
    return caller


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
    too_large = Problem(413, "too_large", f"The request is too large: at most {max_bytes} bytes.")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > max_bytes:
        raise too_large
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > max_bytes:
            raise too_large
    return bytes(raw)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The messages of a request whose body has already been read."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
