"""What every request goes through, whatever it asks for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_assets.doors.http.admission import CALLER, ROUTE
from ingest_assets.doors.http.problems import Problem, problem_of

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

log = logging.getLogger(__name__)
UNMATCHED = "unmatched"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Front:
    """Names the caller, counts, and turns whatever goes wrong into an answer."""

    def __init__(self, door: Door, app: ASGIApp) -> None:
        self._door, self._app = door, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                route = scope.get(ROUTE, UNMATCHED)
                self._door.metrics.answered(route, scope["method"], status, time.perf_counter() - started)
            await send(message)

        try:
            scope[CALLER] = self._door.tokens.caller(Headers(scope=scope).get("authorization"))
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return  # nobody is there to be told
        except Exception as error:
            # The last resort, whatever it is: no caller sees a stack trace.
            if status:
                # The answer has begun: all that is left is to end it, so that it is seen to be cut off.
                log.exception("An answer was cut off.")
                raise
            await problem_of(error).response()(scope, receive, sending)


async def nothing_there(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    """Where no route leads."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    raise Problem(404, "not_found", "There is nothing at this address. /openapi.json lists what there is.")
