"""The OpenAPI document, made from the table of routes and from the types of requests and responses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from ingest_assets.document_text import EXPLANATION
from ingest_assets.interfaces.http.answers import Error
from ingest_assets.interfaces.http.operations import Operation

REF = "#/components/schemas/{model}"
# Responses that operations have besides their own, with the reason for each.
ALWAYS = {
    400: "The request is invalid.",
    403: "The request comes from another site's page.",
    421: "The server has no tokens, and the Host header does not name this machine.",
    500: "The server failed; its log has the details under the id of the error.",
    504: "The request took too long.",
}
GUARDED = {
    401: "The token is missing or unknown.",
    403: "The token lacks the scope, or the request comes from another site's page.",
    429: "Too many requests (see Retry-After), or too many pending jobs.",
    503: "The server is busy, or something that it needs is not available.",
}
WITH_BODY = {413: "The body is too large.", 415: "The body is not JSON."}


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document, as OpenAPI 3.1."""
    operations = [operation for operation in operations if operation.documented]
    schemas, refs = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ingest Assets",
            "version": version("ingest-assets"),
            "description": "Search a hybrid index, see what it holds, and index repositories.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


Refs = dict[Any, dict[str, Any]]


def _schemas(operations: Sequence[Operation]) -> tuple[dict[str, Any], Refs]:
    bodies = {o.body for o in operations if o.body}
    answers = {a for o in operations for a in o.answers.values() if not isinstance(a, str)} | {Error}
    inputs: list[Any] = [(t, "validation", TypeAdapter(t)) for t in sorted(bodies, key=_place)]
    inputs += [(t, "serialization", TypeAdapter(t)) for t in sorted(answers, key=_place)]
    found, shared = TypeAdapter.json_schemas(inputs, ref_template=REF)
    schemas = shared.get("$defs", {})
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
            schema["properties"].pop(EXPLANATION, None)  # programs get no marks to be explained
    return schemas, {kind: schema for (kind, _), schema in found.items()}


def _place(kind: Any) -> tuple[str, str]:
    return str(kind.__name__), str(getattr(kind, "__module__", ""))


def _operation(operation: Operation, refs: Refs) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip("_"),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {str(status): _answer(status, kind, refs) for status, kind in _answers(operation)},
    }
    if operation.name:
        shown["operationId"] = operation.name
    if operation.scope is not None:
        shown["security"] = [{"token": [operation.scope]}]
        needs = f"Needs the scope `{operation.scope}` where the server has tokens."
        shown["description"] = f"{operation.description} {needs}".strip()
    if operation.body is not None:
        content = {"application/json": {"schema": _body(operation, refs)}}
        shown["requestBody"] = {"required": True, "content": content}
    return shown


def _answers(operation: Operation) -> Iterable[tuple[int, Any]]:
    errors = dict(ALWAYS)
    if operation.scope is not None:
        errors |= GUARDED
    if operation.body is not None:
        errors |= WITH_BODY
    return sorted((errors | dict(operation.refusals) | dict(operation.answers)).items())


def _answer(status: int, kind: Any, refs: Refs) -> dict[str, Any]:
    if status == HTTPStatus.NO_CONTENT:
        return {"description": str(kind)}
    if isinstance(kind, str) and "/" in kind and " " not in kind:
        return {"description": "Success.", "content": {kind: {"schema": {"type": "string"}}}}
    schema = refs[Error] if isinstance(kind, str) else refs[kind]
    text = kind if isinstance(kind, str) else (kind.__doc__ or "").partition("\n")[0]
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _body(operation: Operation, refs: Refs) -> dict[str, Any]:
    """The schema of the body, without what is in the path."""
    assert operation.body is not None
    if not operation.in_path:
        return refs[operation.body]
    schema = _inputs(operation)
    schema.pop("$defs", None)  # they are among the components
    schema["required"] = [name for name in schema.get("required", ()) if name not in operation.in_path]
    schema["properties"] = {
        name: field for name, field in schema["properties"].items() if name not in operation.in_path
    }
    return schema


def _inputs(operation: Operation) -> dict[str, Any]:
    return (operation.body or operation.query).model_json_schema(ref_template=REF)


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    known = _inputs(operation).get("properties", {})
    return [
        _parameter(name, "path", known.get(name, {"type": "string"}), required=True)
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = operation.query.model_json_schema(ref_template=REF)
    return [
        _parameter(name, "query", field, required=name in schema.get("required", ()))
        for name, field in schema.get("properties", {}).items()
        if name not in operation.in_path
    ]


def _parameter(name: str, place: str, field: dict[str, Any], *, required: bool) -> dict[str, Any]:
    said = field.pop("description", "")
    return {"name": name, "in": place, "required": required, "description": said, "schema": field}
