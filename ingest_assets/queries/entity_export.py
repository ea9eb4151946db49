"""Which record belongs to which entity, for other systems to join with: everything, or what changed since.

What belongs here: rows, read in pages. What does not: how they are written.

The view `entity_members_v1` in the ledger's database gives the same to whoever can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import pages
from ingest_assets.model import RequestError

PAGE = 2_000

_entity, _event, _member = tables.entity, tables.entity_event, tables.entity_member

# Documented in docs/matching.md, made by the migration 0013.
entity_members = sa.table(
    "entity_members_v1",
    *(sa.column(name, sa.String) for name in ("source", "document_id", "canonical_id", "kind")),
    sa.column("revision", sa.Integer),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """One record's entity, or something that is gone.

    A record that belongs to no entity any more has an empty `canonical_id`. An entity of which nothing is
    left has no record: it is in `retired_ids` alone.
    """

    document_id: str
    canonical_id: str
    kind: str
    retired_ids: tuple[str, ...]  # ids that stood for the entity before; of one that ended, its own too
    revision: int


def latest_revision(ledger: Ledger, source: str) -> int:
    """The number of the last event of a source's entities; 0 if there was none."""
    query = sa.select(sa.func.max(_event.c.number)).where(_event.c.source == source)
    with ledger.reading() as connection:
        return connection.scalar(query) or 0


def exported(ledger: Ledger, source: str, since: int | None = None) -> Iterator[Exported]:
    """Every record of a person or organisation, by id; with `since`, those of entities that changed after it.

    With `since`, what is gone follows. No row's revision exceeds the one that there was at the beginning, so
    the greatest of them is where the next export goes on, whatever happens during this one. Raises
    RequestError for a revision that is yet to come.
    """
    now = latest_revision(ledger, source)
    if since is not None and since > now:
        raise RequestError(
            f"There is no revision {since} of {source} yet: the last one is {now}. Export everything, if the "
            "ledger is a new one."
        )
    return _rows(ledger, source, since, now)


def _rows(ledger: Ledger, source: str, since: int | None, now: int) -> Iterator[Exported]:
    v = entity_members
    query = sa.select(v).where(v.c.source == source)
    if since is not None:
        query = query.where(v.c.canonical_id.in_(_touched(source, since)))
    for page in pages(ledger, query, v.c.document_id, PAGE):
        earlier = _earlier(ledger, source, {row.canonical_id for row in page})
        for row in page:
            retired = earlier.get(row.canonical_id, ())
            yield Exported(row.document_id, row.canonical_id, row.kind, retired, min(row.revision or 0, now))
    if since is not None:
        yield from _left(ledger, source, since, now)
        yield from _ended(ledger, source, since, now)


def _touched(source: str, since: int) -> sa.CompoundSelect[Any]:
    """The entities that had an event."""
    later = (_event.c.source == source, _event.c.number > since)
    return sa.union(
        sa.select(_event.c.entity_id).where(*later),
        sa.select(_event.c.other_id).where(*later, _event.c.other_id.is_not(None)),
    )


def _left(ledger: Ledger, source: str, since: int, now: int) -> Iterator[Exported]:
    """Records that belong to no entity any more, though the entity goes on."""
    there = sa.exists().where(_member.c.source == source, _member.c.document_id == _event.c.document_id)
    query = (
        sa.select(_event.c.document_id, sa.func.max(_event.c.number).label("number"))
        .where(_event.c.source == source, _event.c.number > since, _event.c.kind == "leave", ~there)
        .group_by(_event.c.document_id)
    )
    for page in pages(ledger, query, _event.c.document_id, PAGE):
        for row in page:
            yield Exported(row.document_id, "", "", (), min(row.number, now))


def _ended(ledger: Ledger, source: str, since: int, now: int) -> Iterator[Exported]:
    """Entities of which nothing is left, each with the ids that led to it."""
    query = (
        sa.select(_entity.c.entity_id, _entity.c.kind, sa.func.max(_event.c.number).label("number"))
        .join(_event, sa.and_(_event.c.source == source, _event.c.entity_id == _entity.c.entity_id))
        .where(_event.c.number > since, _event.c.kind == "retire")
        .where(_entity.c.source == source, _entity.c.retired, _entity.c.successor.is_(None))
        .group_by(_entity.c.entity_id, _entity.c.kind)
    )
    for page in pages(ledger, query, _entity.c.entity_id, PAGE):
        earlier = _earlier(ledger, source, {row.entity_id for row in page})
        for row in page:
            ids = (row.entity_id, *earlier.get(row.entity_id, ()))
            yield Exported("", "", row.kind, ids, min(row.number, now))


def _earlier(ledger: Ledger, source: str, entity_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The ids that lead to some entities, sorted."""
    found: dict[str, set[str]] = {}
    leads_to = {entity: entity for entity in entity_ids}
    frontier = set(leads_to)
    with ledger.reading() as connection:
        while frontier:
            query = sa.select(_entity.c.entity_id, _entity.c.successor).where(
                _entity.c.source == source, _entity.c.successor.in_(sorted(frontier))
            )
            rows = [row for row in connection.execute(query) if row.entity_id not in leads_to]
            for row in rows:
                leads_to[row.entity_id] = leads_to[row.successor]
                found.setdefault(leads_to[row.successor], set()).add(row.entity_id)
            frontier = {row.entity_id for row in rows}
    return {entity: tuple(sorted(ids)) for entity, ids in found.items()}


def columns() -> Sequence[str]:
    """The names of an exported row's values, in order."""
    return tuple(Exported.__dataclass_fields__)
