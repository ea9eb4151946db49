"""The search page: files of this package, served as they are. The page loads nothing from other sites."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.service import Service

# No inline scripts or styles, nothing from other sites, no framing; the page talks to this server only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
ASSETS = ("page.css", "page.js", "hits.js", "icon.svg")


@cache
def _file(name: str) -> bytes:
    return (files(__package__) / "page" / name).read_bytes()


def _response(name: str) -> Response:
    kind = KINDS[name.rpartition(".")[2]]
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(_file(name), media_type=kind, headers=headers)


async def page(_service: Service, _request: Request, _given: object) -> Response:
    """The search page."""
    return _response("index.html")


async def asset(_service: Service, request: Request, _given: object) -> Response:
    """A file that the search page loads."""
    return _response(request.url.path.rpartition("/")[2])
