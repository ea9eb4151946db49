"""Logging in to the UI with a token, and the cookie that a browser gets for it.

The cookie holds a name, a time and a signature, and never the token. It is signed with the token: when the
token is removed from the settings, its cookies are no longer valid. Nothing is kept on the server.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ingest_assets.interfaces.http.admission import read_body
from ingest_assets.interfaces.http.problems import Problem
from ingest_assets.interfaces.tokens import Caller, Tokens

LOGIN = "/login"
COOKIE = "ingest_ui"
SECONDS = 12 * 3_600  # a working day
MAX_BODY = 4_096
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
# A path of this server. Two slashes, or a backslash, would lead to another one.
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")


class Login:
    """`/login`: the page, its style, and the form that it sends."""

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._tokens, self._clock = tokens, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path == f"{LOGIN}.css":
            response: Response = Response(_file("login.css"), media_type="text/css")
        elif request.url.path != LOGIN:
            raise Problem(404, "not_found", "There is nothing at this path.")
        elif request.method == "POST":
            response = await self._logged_in(request)
        elif request.method in {"GET", "HEAD"}:
            response = _page("", request.query_params.get("next", "/"))
        else:
            raise Problem(405, "method_not_allowed", "Logging in takes GET or POST.", {"Allow": "GET, POST"})
        await response(scope, receive, send)

    def caller(self, headers: Headers) -> Caller | None:
        """The person that a cookie was given to, while it is valid."""
        value = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        name, _, rest = value.partition(":")
        until, _, signature = rest.partition(":")
        expected = self._tokens.signature(name, f"{name}:{until}") or ""
        right = hmac.compare_digest(signature.encode(), expected.encode()) and expected != ""
        return self._tokens.named(name) if right and int(until) > self._clock() else None

    async def _logged_in(self, request: Request) -> Response:
        form = parse_qs((await read_body(request, MAX_BODY)).decode("latin-1"))
        given, back = form.get("token", [""])[0], form.get("next", ["/"])[0]
        person = self._tokens.caller(f"Bearer {given}")
        if person is None:
            return _page("This token is not known here.", back, 401)
        signed = f"{person.name}:{int(self._clock()) + SECONDS}"
        response = RedirectResponse(_own_path(back), 303)
        response.set_cookie(
            COOKIE,
            f"{signed}:{self._tokens.signature(person.name, signed)}",
            max_age=SECONDS,
            httponly=True,
            samesite="strict",
            # A proxy in front says so. A client that does too only harms itself.
            secure=request.headers.get("x-forwarded-proto", request.url.scheme) == "https",
        )
        return response


def _own_path(given: str) -> str:
    return given if _PATH.fullmatch(given) else "/"


def _page(said: str, back: str, status: int = 200) -> Response:
    page = Template(_file("login.html").decode()).substitute(said=escape(said), next=escape(_own_path(back)))
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Frame-Options": "DENY"}
    return Response(page, status, headers, "text/html")


def _file(name: str) -> bytes:
    return (files(__package__) / "page" / name).read_bytes()
