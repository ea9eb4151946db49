"""What keeps an operation or a stream of a source from working, each fault as a clause about it.

What belongs here: checks of one by itself and beside others. What does not: checks of a definition
(`faults`), and what becomes of a faulty one (`registry`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, get_args

from pydantic import BaseModel

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.operations import Method, OperationScope, SourceOperation, SourceStream

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_PLACE = r"/[a-z][a-z0-9_-]{0,63}"
_PATH = re.compile(rf"{_PLACE}({_PLACE}|/{{[a-z][a-z0-9_]{{0,63}}}})*\Z")
_STATUSES = frozenset({200, 201, 202})
# The tools that every server has.
TOOLS = frozenset(
    {
        "add_note",
        "cancel_indexing_background",
        "entity_history",
        "find_entities",
        "flag_record",
        "get_document",
        "get_entity",
        "get_indexing_status",
        "index_status",
        "list_documents",
        "list_indexing_jobs",
        "search",
        "start_indexing_background",
    }
)
# The first parts of the paths that every server has.
PLACES = frozenset(
    {
        "health",
        "ingest",
        "jobs",
        "mcp",
        "metrics",
        "openapi.json",
        "page",
        "ready",
        "search",
        "sources",
        "status",
    }
)

# An operation or a stream, and the name of the source that declares it.
Declared = tuple[str, SourceOperation | SourceStream]


def require_usable_operation(operation: Any, source: str, others: Iterable[Declared]) -> None:
    """Raises ConfigurationError, with one clause, for an operation that cannot work beside these."""
    if not isinstance(operation, SourceOperation):
        raise ConfigurationError(f"an operation cannot be of the type {type(operation).__name__}")
    for fault in chain(_faults(operation), _clashes(operation, source, others)):
        raise ConfigurationError(f"its operation {operation.name!r} {fault}")


def require_usable_stream(stream: Any, source: str, others: Iterable[Declared]) -> None:
    """The same for a stream."""
    if not isinstance(stream, SourceStream):
        raise ConfigurationError(f"a stream cannot be of the type {type(stream).__name__}")
    for fault in chain(_stream_faults(stream), _clashes(stream, source, others)):
        raise ConfigurationError(f"its stream {stream.name!r} {fault}")


def _stream_faults(s: SourceStream) -> Iterator[str]:
    yield from _text_faults(s)
    if "{" in s.path:
        yield f"has a path {s.path!r} with names in it"
    if s.scope not in get_args(OperationScope):
        yield f"has a scope ({s.scope!r}) that there is not"
    for name in ("after", "newest"):
        if not callable(getattr(s, name)):
            yield f"has {name} of the type {type(getattr(s, name)).__name__}"


def _faults(o: SourceOperation) -> Iterator[str]:
    yield from _type_faults(o)
    yield from _text_faults(o)
    if o.method not in get_args(Method) or o.scope not in get_args(OperationScope):
        yield f"has a method ({o.method!r}) or a scope ({o.scope!r}) that there is not"
    if o.status not in _STATUSES:
        yield f"has a status ({o.status!r}) that is none of 200, 201 and 202"
    if o.scope == "read" and (o.method == "DELETE" or o.destructive):
        yield "only reads by its scope, but not by what it does"
    if o.scope == "gate" and o.for_agents:
        yield "is for agents, which may not open gates"
    if o.scope != "read" and o.method == "GET":
        yield "changes something by its scope, which a GET must not"
    yield from _argument_faults(o)


def _text_faults(o: SourceOperation | SourceStream) -> Iterator[str]:
    for name in ("name", "title", "description", "path"):
        if not isinstance(getattr(o, name), str) or not getattr(o, name).strip():
            yield f"lacks a {name}"
    if not _NAME.fullmatch(o.name):
        yield "has a name that is not made of up to 64 lower-case letters, digits and underscores"
    if not _PATH.fullmatch(o.path):
        yield (
            f"has a path {o.path!r} that is not made of parts such as /letters and /{{letter_id}}, in lower "
            "case and the first one without braces"
        )


def _type_faults(o: SourceOperation) -> Iterator[str]:
    for name in ("takes", "answers"):
        kind = getattr(o, name)
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            yield f"has {name} that are not a model of pydantic"
    if not callable(o.run):
        yield f"has a run of the type {type(o.run).__name__}"


def _argument_faults(o: SourceOperation) -> Iterator[str]:
    if o.takes.model_config.get("extra") != "forbid":
        yield "ignores unknown arguments (derive what it takes from Arguments)"
    fields = o.takes.model_json_schema()
    known = fields.get("properties", {})
    for name in o.in_path:
        if known.get(name, {}).get("type") != "string" or name not in fields.get("required", ()):
            yield f"has {name!r} in its path, which is not an argument that must be given and is a text"
    if len(set(o.in_path)) < len(o.in_path):
        yield "has a name in its path twice"
    for name in _unbounded(fields, "", fields):
        yield f"takes {name!r} without a bound on its length"
    if o.method == "GET":
        nested = sorted(name for name, field in known.items() if _is_nested(field))
        if nested or "$defs" in fields:
            yield f"takes {', '.join(nested) or 'a type of its own'}, which cannot be in a query string"


def _is_nested(field: Any) -> bool:
    kinds = [field, *field.get("anyOf", ())]
    items = [kind.get("items", {}) for kind in kinds if kind.get("type") == "array"]
    scalar = {"string", "integer", "number", "boolean"}
    return any(kind.get("type") == "object" or "$ref" in kind for kind in kinds) or any(
        "enum" not in item and "const" not in item and item.get("type") not in scalar for item in items
    )


def _unbounded(schema: Any, name: str, whole: Any) -> Iterator[str]:
    """The arguments whose texts or lists may have any length, so that not every call would fit a request."""
    if "$ref" in schema:
        schema = whole.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
    for each in schema.get("anyOf", ()):
        yield from _unbounded(each, name, whole)
    if schema.get("type") == "string" and not {"maxLength", "enum", "const", "format"} & set(schema):
        yield name
    if schema.get("type") == "array":
        if "maxItems" not in schema:
            yield name
        yield from _unbounded(schema.get("items", {}), name, whole)
    for key, value in schema.get("properties", {}).items():
        yield from _unbounded(value, key, whole)


def _clashes(o: SourceOperation | SourceStream, source: str, others: Iterable[Declared]) -> Iterator[str]:
    if o.name in TOOLS:
        yield "has the name of a tool that there is without it"
    if o.place in PLACES:
        yield f"has a path below /{o.place}, where the server has paths of its own"
    for of, other in others:
        if o.name == other.name:
            yield f"has the name of one of the source {of}"
        if o.place == other.place and of != source:
            yield f"has a path below /{o.place}, which the source {of} has"
        if o.shape == other.shape and (o.path != other.path or o.method == other.method):
            yield f"has the path of {other.name!r}, with the same method or with other names in it"
