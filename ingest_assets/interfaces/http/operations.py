"""Operations, and what each request for one goes through: admission, validation and a time limit.

An `Operation` is one method of one path, as data. The routes and the OpenAPI document are both made from it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ingest_assets.interfaces.http.admission import ROUTE, admit, read_body, time_limit
from ingest_assets.interfaces.http.problems import Problem, invalid
from ingest_assets.interfaces.http.same_site import require_same_site
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.tokens import Caller, Scope

Handler = Callable[[Service, Request, Any], Awaitable[Response]]


class NoParameters(BaseModel, extra="forbid"):
    """The parameters of an operation that takes none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `scope` None means that it needs no token and is not rate limited."""

    method: str
    path: str
    summary: str
    scope: Scope | None
    handler: Handler
    query: type[BaseModel] = NoParameters
    body: type[BaseModel] | None = None
    # By status: the type of the JSON, a media type, or a description of an empty response.
    answers: Mapping[int, Any] = field(default_factory=dict)
    documented: bool = True
    linked: bool = False  # whether other sites may link to it
    in_path: tuple[str, ...] = ()  # the fields of `query` or `body` that are in the path, all of them texts
    refusals: Mapping[int, str] = field(default_factory=dict)  # its own error responses, with the reasons
    # Whether it keeps within the reach of a caller that is bound to projects. Any other one is closed to
    # them, unless it is of a source that is within their reach.
    keeps_within: bool = False
    of_source: str = ""
    name: str = ""  # for programs, in the OpenAPI document
    description: str = ""

    @property
    def changes(self) -> bool:
        """Whether it changes something, whatever its method."""
        return self.scope not in {None, "read"}


class Resource:
    """All operations on one path, as an ASGI application."""

    def __init__(self, service: Service, path: str, operations: Sequence[Operation]) -> None:
        self._service, self._path = service, path
        self._by_method = {operation.method: operation for operation in operations}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        request = Request(scope, receive)
        operation = self._by_method.get("GET" if request.method == "HEAD" else request.method)
        if operation is None or (request.method == "HEAD" and operation.changes):
            allowed = ", ".join(self._by_method)
            message = f"{self._path} takes {allowed}."
            raise Problem(405, "method_not_allowed", message, {"Allow": allowed})
        require_same_site(
            scope,
            local_only=not self._service.tokens,
            changes=operation.changes,
            linked=operation.linked,
        )
        if operation.scope is not None:
            require_reach(operation, admit(self._service, scope, operation.scope))
        async with time_limit(self._service):
            given = await self._given(operation, request)
            response = await operation.handler(self._service, request, given)
        await response(scope, receive, send)

    async def _given(self, operation: Operation, request: Request) -> BaseModel:
        """The validated parameters: the body where the operation has one, else the query string."""
        in_path: dict[str, Any] = {name: request.path_params[name] for name in operation.in_path}
        if operation.body is None:
            given = _query(operation, request)
            _require_once(given, in_path)
            return _validated(operation.query, lambda: operation.query.model_validate(given | in_path))
        if request.query_params:
            raise invalid("This operation takes its parameters in the JSON body.")
        model, raw = operation.body, await _json(request, self._service.settings.ingest_http_max_body_bytes)
        raw = _with_path(raw, in_path) if in_path else raw
        return _validated(model, lambda: model.model_validate_json(raw, strict=True))


def require_reach(operation: Operation, caller: Caller) -> None:
    """Raises a Problem for a bound caller and an operation that could show it more than it may see."""
    reach = caller.reach
    if reach is not None and not operation.keeps_within and operation.of_source not in reach.sources:
        message = f"The token of {caller.name} is bound to projects, and this is outside of its reach."
        raise Problem(403, "out_of_reach", message)


async def _json(request: Request, max_bytes: int) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "unsupported_media_type", "Send JSON: Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_media_type", "Send the JSON uncompressed.")
    return await read_body(request, max_bytes)


def _with_path(raw: bytes, in_path: dict[str, Any]) -> bytes:
    """The body with the values that are in the path. One that is no JSON object stays as it is."""
    try:
        given = from_json(raw)
    except ValueError:
        return raw  # validating it says what is wrong
    if not isinstance(given, dict):
        return raw
    _require_once(given, in_path)
    return json.dumps(given | in_path).encode()


def _require_once(given: Mapping[str, Any], in_path: Mapping[str, Any]) -> None:
    for name in in_path:
        if name in given:
            raise invalid(f"{name!r} is in the path already.")


def _query(operation: Operation, request: Request) -> dict[str, Any]:
    """The query string as a dict. Only parameters that are lists in the model may be repeated."""
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        known = operation.query.model_fields.get(name)
        if known is not None and _is_list(known.annotation):
            given[name] = values
        elif len(values) > 1:
            raise invalid(f"{name[:100]!r} is given more than once.")
        else:
            given[name] = values[0]
    return given


def _is_list(annotation: Any) -> bool:
    """Whether it is a list, or may be one."""
    return get_origin(annotation) is list or any(get_origin(each) is list for each in get_args(annotation))


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
