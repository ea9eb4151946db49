"""What every request and web socket for Dagster's UI goes through.

- None comes from another site's page (`http.same_site`); links to the UI are fine.
- No GraphQL by GET: Dagster would run mutations that way, which anything that loads a URL can cause.
- With tokens, it has one: in the Authorization header, or in the cookie of `login`.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_assets.interfaces.http.connections import ADMITTED
from ingest_assets.interfaces.http.problems import Problem
from ingest_assets.interfaces.http.same_site import require_same_site
from ingest_assets.interfaces.limits import Buckets
from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.interfaces.ui.login import LOGIN, Login

SAFE = {"GET", "HEAD"}
# Of those without a token, by address. People need one page and its style; programs that guess need more.
REQUESTS_PER_S = 5.0
# Dagster's page has a stricter content policy of its own. Its scripts run workers, whose policy would be
# that of their file, so there is none by default.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'self'; object-src 'none'; base-uri 'self'",
}
_FILES = ("text/javascript", "application/javascript", "text/css", "image/", "font/")


class Guard:
    """Lets requests to Dagster's application through, or answers them itself."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app, self._tokens = app, tokens
        self._login = Login(tokens) if tokens else None
        self._buckets = Buckets(REQUESTS_PER_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sending = _with_headers(send)
        try:
            self._require_allowed(scope)
            if self._is_known(scope):
                scope[ADMITTED] = True
                await self._app(scope, receive, sending)
            else:
                await self._stranger(scope, receive, sending)
        except Problem as problem:
            await _refuse(problem, scope, receive, sending)

    def _require_allowed(self, scope: Scope) -> None:
        """Raises a Problem for what nobody may do, with or without a token."""
        method = scope.get("method", "WEBSOCKET")
        require_same_site(
            scope, local_only=not self._tokens, changes=method not in SAFE, linked=_is_link(scope)
        )
        if method in SAFE and scope["path"].rstrip("/").endswith("/graphql") and scope["query_string"]:
            raise Problem(405, "method_not_allowed", "GraphQL takes POST only.", {"Allow": "POST"})

    def _is_known(self, scope: Scope) -> bool:
        if self._login is None:
            return True
        headers = Headers(scope=scope)
        given = self._tokens.caller(headers.get("authorization")) or self._login.caller(headers)
        return given is not None and not scope["path"].startswith(LOGIN)

    async def _stranger(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request without a token."""
        assert self._login is not None
        if wait := self._buckets.take((scope.get("client") or ("nobody",))[0]):
            message = "You are sending too many requests. Wait a moment."
            raise Problem(429, "too_many_requests", message, {"Retry-After": str(int(wait) + 1)})
        if scope["type"] == "http" and scope["path"].startswith(LOGIN):
            await self._login(scope, receive, send)
            return
        wants_page = scope.get("method") == "GET" and "text/html" in Headers(scope=scope).get("accept", "")
        if not wants_page:
            challenge = {"WWW-Authenticate": 'Bearer realm="ingest ui"'}
            raise Problem(401, "unauthorized", "Log in, or send a token.", challenge)
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        back = quote(scope["path"] + query, safe="/")
        await RedirectResponse(f"{LOGIN}?next={back}", 303)(scope, receive, send)


def _is_link(scope: Scope) -> bool:
    """Whether a browser goes to a page, rather than a page loading something."""
    headers = Headers(scope=scope)
    goes = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return scope["type"] == "http" and scope["method"] == "GET" and goes


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: 403
    else:
        await problem.response()(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            is_file = headers.get("content-type", "").startswith(_FILES)
            headers.setdefault("Cache-Control", "private, no-cache" if is_file else "no-store")
        await send(message)

    return sending
