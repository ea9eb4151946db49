"""Who is let in: from where, by which token, for what, how often, and with how much.

On a server without tokens everybody who reaches it may do everything, and a web page that somebody looks at
reaches it too: so there a request must name this machine as its host (or a name that points here would do,
"DNS rebinding"), and must not come from another site's page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from ingest_assets.doors.http.problems import Problem, busy
from ingest_assets.doors.tokens import Caller, Scope

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

# Told of a request that was not let in, and why.
Refused = Callable[[AsgiScope, str], Awaitable[None]]
CALLER, ROUTE = "ingest.caller", "ingest.route"  # where a request's scope keeps them


class Admitted:
    """Another application behind the same tokens and limits."""

    def __init__(
        self, door: Door, path: str, app: ASGIApp, scope: Scope, refused: Refused | None = None
    ) -> None:
        self._door, self._path, self._app, self._scope, self._refused = door, path, app, scope, refused

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        try:
            guard(self._door, scope)
            admit(self._door, scope, self._scope)
        except Problem as problem:
            if self._refused is not None:
                await self._refused(scope, problem.message)
            raise
        await self._app(scope, limited(receive, self._door.settings.ingest_http_max_body_bytes), send)


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


def limited(receive: Receive, most: int) -> Receive:
    """A request's body, up to a size."""
    seen = 0

    async def counted() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise too_large(most)
        return message

    return counted


def too_large(most: int) -> Problem:
    """The body is."""
    # The rest of it may not have been read: the connection cannot be used again.
    message = f"The request is too large: at most {most} bytes."
    return Problem(413, "too_large", message, {"Connection": "close"})
