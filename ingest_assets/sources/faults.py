"""What keeps the definition of a source from working, each fault as a clause about the source.

What belongs here: checks of one definition by itself. What does not: clashes between definitions (registry).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from ingest_assets.fields import BOUNDS, COMMON_FIELDS, FIELD_TYPES, NAME, PROJECT, FilterField
from ingest_assets.model import ConfigurationError
from ingest_assets.sources.definition import (
    INTERFACE_VERSION,
    Partitioning,
    Projects,
    SourceDefinition,
    StageDefinition,
    Triggers,
    Words,
)
from ingest_assets.stages.shapes import CHUNKS, SHARED_STAGES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_NOUN = re.compile(r"[a-z][a-z-]{0,39}\Z")
# The names of a search's other parameters, in a URL or as arguments.
RESERVED = frozenset({"query", "mode", "limit", "filters", "filter", "cursor", "token"})
# Options of the commands that take a part; the noun of the part is one more.
OPTIONS = frozenset({"source", "part", "retry-parked", "retry", "json", "help", "version"})

_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "title": str,
    "words": Words,
    "collection": str,
    "partitions": (Partitioning, type(None)),
    "projects": (Projects, type(None)),
    "triggers": Triggers,
    "refresh_job": str,
    "build_job": str,
    "hidden_by": str,
    "shows_samples": bool,
}
_TYPES_OF_EACH: dict[str, type] = {"stages": StageDefinition, "attributes": str, "fields": FilterField}
_FUNCTIONS = (
    "open",
    "missing",
    "origin",
    "chunker",
    "more_fields",
    "checks",
    "doctor",
    "required",
    "hidden",
    "vectors",
    "settle",
    "operations",
    "streams",
)


_HIDES_NOTHING = next(each.default for each in fields(SourceDefinition) if each.name == "hidden")


def require_usable(definition: SourceDefinition) -> None:
    """Raises ConfigurationError, with one clause, for a definition that cannot work."""
    for fault in _faults(definition):
        raise ConfigurationError(fault)


def require_usable_fields(fields: Iterable[FilterField]) -> None:
    """The same for the fields that a source has under some settings."""
    for fault in _field_faults(fields):
        raise ConfigurationError(fault)


def _faults(d: SourceDefinition) -> Iterator[str]:
    if d.interface != INTERFACE_VERSION:
        yield (
            f"it was written for version {d.interface} of the interface, and this is version "
            f"{INTERFACE_VERSION}"
        )
    yield from _type_faults(d)
    for what, name in (("name", d.name), ("collection's name", d.collection)):
        if not _NAME.fullmatch(name):
            yield f"its {what} {name!r} is not made of up to 40 lower-case letters, digits and underscores"
    if d.partitions and (not _NOUN.fullmatch(d.partitions.noun) or d.partitions.noun in OPTIONS):
        yield f"its parts are called {d.partitions.noun!r}, which cannot be the name of an option"
    yield from _stage_faults(d)
    yield from _field_faults(d.fields)
    for each in d.fields:
        if each.name not in d.attributes:
            yield f"its filter field {each.name!r} is not one of the attributes that its points carry"
    yield from _hiding_faults(d)
    yield from _project_faults(d)


def _hiding_faults(d: SourceDefinition) -> Iterator[str]:
    if not d.hidden_by:
        if d.hidden is not _HIDES_NOTHING:
            yield "it hides parts, and hidden_by does not say which of its fields holds a point's part"
        return
    if (d.hidden_by, "keyword") not in {(each.name, each.type) for each in d.fields}:
        yield f"it hides parts by {d.hidden_by!r}, which is not one of its filter fields of the type keyword"
    if d.names_entities:
        yield "it hides parts and has entities, which are made of hidden documents too"
    if d.takes_notes:
        yield "it hides parts and takes notes, which are of no part"


def _project_faults(d: SourceDefinition) -> Iterator[str]:
    if d.projects is None:
        return
    if (d.projects.held_by, "keyword") not in {(each.name, each.type) for each in d.fields}:
        yield (
            f"its parts belong to projects by {d.projects.held_by!r}, which is not one of its filter fields "
            "of the type keyword"
        )
    if PROJECT.name in {each.name for each in d.fields}:
        yield f"it has a filter field {PROJECT.name!r}, by which its projects are asked for"
    if d.names_entities:
        yield "its parts belong to projects and it has entities, which are made of the documents of all"


def _type_faults(d: SourceDefinition) -> Iterator[str]:
    for name, kind in _TYPES.items():
        if not isinstance(getattr(d, name), kind):
            yield _of_type(name, getattr(d, name))
    for name, kind in _TYPES_OF_EACH.items():
        values = getattr(d, name)
        if not isinstance(values, tuple) or not all(isinstance(each, kind) for each in values):
            yield f"its {name} are not a tuple of {kind.__name__}"
    for name in _FUNCTIONS:
        if not callable(getattr(d, name)):
            yield _of_type(name, getattr(d, name))


def _of_type(name: str, value: Any) -> str:
    return f"its {name} cannot be of the type {type(value).__name__}"


def _stage_faults(d: SourceDefinition) -> Iterator[str]:
    names = [stage.name for stage in d.stages]
    if not names:
        yield "it lacks a stage that reads its documents"
    if CHUNKS not in names or names[0] == CHUNKS:
        yield f"it lacks a stage {CHUNKS!r} after the one that reads its documents"
    for name in names:
        if not _NAME.fullmatch(name) or name in SHARED_STAGES or names.count(name) > 1:
            yield f"its stage {name!r} has a name that is taken or cannot be used"
    for stage in d.stages:
        if stage.in_parts and not d.partitions:
            yield f"its stage {stage.name!r} is in parts, but the source has none"
        if unknown := [dep for dep in stage.deps if dep not in names[: names.index(stage.name)]]:
            yield f"its stage {stage.name!r} depends on {unknown[0]!r}, which is not a stage before it"


def _field_faults(fields: Iterable[FilterField]) -> Iterator[str]:
    common = {each.name for each in (*COMMON_FIELDS, *BOUNDS)}
    seen: set[str] = set()
    for each in fields:
        if not NAME.fullmatch(each.name) or each.type not in FIELD_TYPES:
            yield f"its filter field {each.name!r} has a name or a type ({each.type!r}) that cannot be used"
        if each.name in RESERVED:
            yield f"its filter field {each.name!r} has a name that requests use for something else"
        if each.name in common:
            yield f"its filter field {each.name!r} is one that every source has"
        if each.name in seen:
            yield f"its filter field {each.name!r} is there twice"
        seen.add(each.name)
