"""The outermost layer, which every request goes through whatever its route."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_assets.interfaces.http.admission import CALLER, ROUTE
from ingest_assets.interfaces.http.connections import HEADERS
from ingest_assets.interfaces.http.problems import Problem, problem_of
from ingest_assets.interfaces.http.request_metrics import METHODS
from ingest_assets.interfaces.http.service import Service
from ingest_assets.tracing import context_of, span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)
UNMATCHED = "unmatched"


class Front:
    """Identifies the caller, counts the request, adds security headers, and turns errors into responses."""

    def __init__(self, service: Service, app: ASGIApp) -> None:
        self._service, self._app = service, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with span("request", context_of(headers), "SERVER") as traced:
            await self._serve(scope, receive, send, traced)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, traced: Span | None) -> None:
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
                seconds = time.perf_counter() - started
                self._service.metrics.answered(route, scope["method"], status, seconds)
                if traced is not None:
                    _describe(traced, route, scope["method"], status)
                # The route's pattern: paths and queries contain what people search for.
                log.debug("%s %s: %s in %.3f s", scope["method"][:10], route, status, seconds)
            await send(message)

        try:
            scope[CALLER] = self._service.tokens.caller(Headers(scope=scope).get("authorization"))
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception as error:
            # The last resort for any error: no client ever sees a traceback.
            if status:
                # The response has begun. Raising closes the connection, so that it is seen to be incomplete.
                log.exception("A response was cut off.")
                raise
            what = f"{scope['method'][:10]} {scope.get(ROUTE, UNMATCHED)}"
            await problem_of(error, what).response()(scope, receive, sending)


def _describe(traced: Span, route: str, method: str, status: int) -> None:
    """By OpenTelemetry's conventions, without what stands in paths and queries."""
    method = method if method in METHODS else "_OTHER"
    traced.update_name(f"{method} {route}")
    traced.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    """For paths that no route matches."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    raise Problem(404, "not_found", "There is nothing at this path. /openapi.json lists all paths.")
