"""What a caller that is bound to projects may see: documents of these projects, and sources that are named.

Everything else is as if it were not there: a source without projects is out of reach, and so is another
project, whether or not it exists. A document that several projects share is within reach of each.

What belongs here: what a reach means to a search, to the tables, and to the choice of a source. What does
not: who is bound to what (`interfaces.tokens`), and which parts a project has (a source's definition).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ingest_assets.fields import PROJECT, Condition
from ingest_assets.ledger import tables
from ingest_assets.ledger.json_lists import strings_in
from ingest_assets.model import ConfigurationError, RequestError

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

# No part has this id: what must be of one of no parts is nothing.
_NO_PART = ""


class OutOfReachError(RequestError, ConfigurationError):
    """The caller is bound to projects, and asks for something else. The message names nothing that exists."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a bound caller may see. None, in its place, is everything."""

    projects: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()  # all of them, whatever their documents belong to

    def of_project(self, project: str) -> Reach:
        """One of the projects alone. Raises OutOfReachError for another one."""
        if project not in self.projects:
            raise OutOfReachError("Your token is not bound to this project.")
        return Reach(frozenset({project}))


def narrowed(reach: Reach | None, project: str | None) -> Reach | None:
    """What is within reach of a project, if one is named. Raises as `Reach.of_project` does."""
    if project is None:
        return reach
    return Reach(frozenset({project})) if reach is None else reach.of_project(project)


def sees(reach: Reach | None, source: str) -> bool:
    """Whether all that is of a source is within reach."""
    return reach is None or source in reach.sources


def sources_within(bench: Workbench, reach: Reach | None) -> list[str]:
    """The sources of which something may be within reach, in their order."""
    if reach is None:
        return list(bench.sources)
    return [
        name
        for name, source in bench.sources.items()
        if name in reach.sources or (source.projects is not None and reach.projects)
    ]


def require_source(bench: Workbench, source: str, reach: Reach | None) -> None:
    """Raises OutOfReachError for a source of which nothing is within reach."""
    if source not in sources_within(bench, reach):
        raise OutOfReachError(f"Your token is bound to projects, and {source} is outside of its reach.")


def parts_within(bench: Workbench, source: str, reach: Reach | None) -> Sequence[str] | None:
    """The parts of a source that are within reach; None for all of it."""
    if reach is None or sees(reach, source):
        return None
    projects = bench.sources[source].projects
    return projects.parts(bench, reach.projects) if projects is not None and reach.projects else ()


def documents_within(bench: Workbench, source: str, reach: Reach | None) -> list[sa.ColumnElement[bool]]:
    """SQL: a row of `document` of this source is within reach. Empty if all are."""
    return _of_parts(bench, tables.document.c.part, parts_within(bench, source, reach))


def parked_within(bench: Workbench, source: str, reach: Reach | None) -> list[sa.ColumnElement[bool]]:
    """SQL: a row of `parked` of this source is a document within reach. Empty if all are."""
    return _of_parts(bench, tables.parked.c.part, parts_within(bench, source, reach))


def conditions_within(
    bench: Workbench, source: str, asked: Sequence[Condition], reach: Reach | None
) -> list[Condition]:
    """What is asked for, with projects as their parts, and nothing that is out of reach.

    Raises OutOfReachError for a project that is.
    """
    own = bench.sources[source].projects
    found: list[Condition] = []
    for each in asked:
        if each.field != PROJECT.name or own is None:
            found.append(each)
            continue
        wanted = frozenset(str(value) for value in each.values)
        if reach is not None and source not in reach.sources:
            for project in sorted(wanted):
                reach.of_project(project)
        found.append(_held(own.held_by, own.parts(bench, wanted)))
    parts = parts_within(bench, source, reach)
    if parts is not None:
        require_source(bench, source, reach)
        assert own is not None  # else the source is out of reach
        found.append(_held(own.held_by, parts))
    return found


def _held(field: str, parts: Sequence[str]) -> Condition:
    return Condition(field, values=tuple(parts) or (_NO_PART,))


def _of_parts(
    bench: Workbench, part: sa.ColumnElement[str], parts: Sequence[str] | None
) -> list[sa.ColumnElement[bool]]:
    # As one value: there may be more of them than a statement takes values.
    return [] if parts is None else [part.in_(strings_in(bench.ledger, sa.literal(json.dumps(list(parts)))))]
