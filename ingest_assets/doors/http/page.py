"""The search page: files of the package, served as they are, and nothing from anywhere else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

# Nothing inline, nothing from elsewhere, in no frame, and what is asked goes to this server only.
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


async def page(_door: Door, _request: Request, _given: object) -> Response:
    """For people."""
    return _response("index.html")


async def asset(_door: Door, request: Request, _given: object) -> Response:
    """What the page is made of."""
    return _response(request.url.path.rpartition("/")[2])


async def openapi(door: Door, _request: Request, _given: object) -> Response:
    """What there is, for programs."""
    return JSONResponse(door.document)
