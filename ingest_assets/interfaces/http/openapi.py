"""The OpenAPI document, made from the table of routes and from the types of requests and responses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, TypeAdapter

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
OF_JOBS = {
    404: "There is no such job.",
    409: "The job has already ended.",
    501: "This server runs no background jobs.",
}


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
    inputs: list[Any] = [(t, "validation", TypeAdapter(t)) for t in sorted(bodies, key=_name)]
    inputs += [(t, "serialization", TypeAdapter(t)) for t in sorted(answers, key=_name)]
    found, shared = TypeAdapter.json_schemas(inputs, ref_template=REF)
    schemas = shared.get("$defs", {})
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return schemas, {kind: schema for (kind, _), schema in found.items()}


def _name(kind: Any) -> str:
    return str(kind.__name__)


def _operation(operation: Operation, refs: Refs) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip("_"),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query)],
        "responses": {str(status): _answer(status, kind, refs) for status, kind in _answers(operation)},
    }
    if operation.scope is not None:
        shown["security"] = [{"token": [operation.scope]}]
        shown["description"] = f"Needs the scope `{operation.scope}` where the server has tokens."
    if operation.body is not None:
        content = {"application/json": {"schema": refs[operation.body]}}
        shown["requestBody"] = {"required": True, "content": content}
    return shown


def _answers(operation: Operation) -> Iterable[tuple[int, Any]]:
    errors = dict(ALWAYS)
    if operation.scope is not None:
        errors |= GUARDED
    if operation.body is not None:
        errors |= WITH_BODY
    if operation.scope == "ingest" or operation.path.startswith("/jobs"):
        errors |= OF_JOBS
    return sorted((errors | dict(operation.answers)).items())


def _answer(status: int, kind: Any, refs: Refs) -> dict[str, Any]:
    if status == HTTPStatus.NO_CONTENT:
        return {"description": str(kind)}
    if isinstance(kind, str) and "/" in kind and " " not in kind:
        return {"description": "Success.", "content": {kind: {"schema": {"type": "string"}}}}
    schema = refs[Error] if isinstance(kind, str) else refs[kind]
    text = kind if isinstance(kind, str) else (kind.__doc__ or "").partition("\n")[0]
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=REF)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field.pop("description", ""),
            "schema": field,
        }
        for name, field in schema.get("properties", {}).items()
    ]
