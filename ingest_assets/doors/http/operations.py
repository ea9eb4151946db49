"""What every route goes through: who is it, may it, not too often, is what it says well-formed, not too long.

An `Operation` is one method of one path, as data: the routes and the OpenAPI document are both made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from ingest_assets.doors.http.problems import Problem, busy, invalid
from ingest_assets.doors.tokens import Caller, Scope

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

Handler = Callable[["Door", Request, Any], Awaitable[Response]]
# Told of a request that was not let in, and why.
Refused = Callable[[AsgiScope, str], Awaitable[None]]
# A body that is too large, but not by far, is read to its end and thrown away: a client that is still sending
# when the connection is closed is told of that, and not of our answer.
DRAINED_BYTES = 4 << 20
CALLER, ROUTE = "ingest.caller", "ingest.route"  # where a request's scope keeps them


class NoParameters(BaseModel, extra="forbid"):
    """Of an operation that takes none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `scope` None: open to all, and not counted against a client's rate."""

    method: str
    path: str
    summary: str
    scope: Scope | None
    handler: Handler
    query: type[BaseModel] = NoParameters
    body: type[BaseModel] | None = None
    answers: Mapping[int, Any] = field(
        default_factory=dict
    )  # status: what the JSON is; a str is a media type
    documented: bool = True


class Resource:
    """All operations on one path, as an ASGI application."""

    def __init__(self, door: Door, path: str, operations: Sequence[Operation]) -> None:
        self._door, self._path = door, path
        self._by_method = {operation.method: operation for operation in operations}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        request = Request(scope, receive)
        operation = self._by_method.get("GET" if request.method == "HEAD" else request.method)
        if operation is None or (request.method == "HEAD" and operation.scope == "ingest"):
            allowed = ", ".join(self._by_method)
            message = f"{self._path} takes {allowed}."
            raise Problem(405, "method_not_allowed", message, {"Allow": allowed})
        if operation.scope is not None:
            admit(self._door, scope, operation.scope)
        try:
            async with asyncio.timeout(self._door.settings.ingest_http_timeout_s):
                given = await self._given(operation, request)
                response = await operation.handler(self._door, request, given)
        except TimeoutError:
            raise Problem(504, "timeout", "It took too long. Ask for less, or again later.") from None
        await response(scope, receive, send)

    async def _given(self, operation: Operation, request: Request) -> BaseModel:
        if operation.body is None:
            return _validated(
                operation.query, lambda: operation.query.model_validate(_query(operation, request))
            )
        if request.query_params:
            raise invalid("The parameters belong into the JSON body.")
        model, raw = operation.body, await _body(request, self._door.settings.ingest_http_max_body_bytes)
        return _validated(model, lambda: model.model_validate_json(raw, strict=True))


class Admitted:
    """Another application behind the same tokens and limits."""

    def __init__(
        self, door: Door, path: str, app: ASGIApp, scope: Scope, refused: Refused | None = None
    ) -> None:
        self._door, self._path, self._app, self._scope, self._refused = door, path, app, scope, refused

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        try:
            admit(self._door, scope, self._scope)
        except Problem as problem:
            if self._refused is not None and problem.status in {401, 403}:
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


async def _body(request: Request, most: int) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "unsupported_media_type", "Send JSON: Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_media_type", "Send the JSON as it is, not compressed.")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > max(most, DRAINED_BYTES):
        raise too_large(most)
    raw, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > max(most, DRAINED_BYTES):
            raise too_large(most)
        if size <= most:
            raw += part
    if size > most:
        raise too_large(most)
    return bytes(raw)


def _query(operation: Operation, request: Request) -> dict[str, Any]:
    """The query string: lists where the model has lists, and nothing said twice elsewhere."""
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        known = operation.query.model_fields.get(name)
        if known is not None and get_origin(known.annotation) is list:
            given[name] = values
        elif len(values) > 1:
            raise invalid(f"{name[:100]!r} is given more than once.")
        else:
            given[name] = values[0]
    return given


def _validated(model: type[BaseModel], validate: Callable[[], BaseModel]) -> BaseModel:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:100]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields) or "none"
            raise invalid(f"There is no parameter {place!r}. Parameters: {known}.") from None
        raise invalid(f"{place}: {message}." if place else f"{message}.") from None
