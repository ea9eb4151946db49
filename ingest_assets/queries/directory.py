"""Entities in the ledger, with their members, links and history. Read only.

What belongs here: looking up and explaining. What does not: resolving (see `stages.resolution`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest_assets.entities import Features, FieldWeight, MatchModel, explain
from ingest_assets.entities.clusters import Pair, weakest_links
from ingest_assets.entities.decisions import Decision, Decisions
from ingest_assets.entities.golden import Value, golden_record
from ingest_assets.entities.text import plain
from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import ConfigurationError, Identity, RequestError, when
from ingest_assets.stages.document_rows import identity_of
from ingest_assets.stages.ids_meant import document_meant
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.stages.resolution.match_rows import MatchRows
from ingest_assets.stages.successors import living_id

EXPLAINED = 5  # links that are explained field by field: each takes about a fifth of a second
HISTORY = 50

_document, _member, _entity = tables.document, tables.entity_member, tables.entity
_event = tables.entity_event


@dataclass(frozen=True, slots=True)
class Member:
    """One record of an entity."""

    document_id: str
    title: str
    uri: str


@dataclass(frozen=True, slots=True)
class Link:
    """The evidence that two members are one. `fields` is empty for links that are not explained."""

    left: str
    right: str
    weight: float  # bits
    fields: tuple[FieldWeight, ...] = ()


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of an entity's history."""

    at: str
    kind: str
    entity_id: str
    other_id: str | None
    document_id: str | None
    reason: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EntityView:
    """An entity as it is now. `asked` may be an older id of it."""

    asked: str
    entity_id: str
    kind: str
    earlier_ids: tuple[str, ...]
    golden: dict[str, list[Value]]
    members: tuple[Member, ...]
    links: tuple[Link, ...]  # the fewest that hold all members together, the weakest first
    decisions: tuple[Decision, ...]
    history: tuple[Happened, ...]  # the newest first


@dataclass(frozen=True, slots=True)
class Why:
    """Whether two records are one entity, and why."""

    left: str
    right: str
    entities: tuple[str, str]
    decisions: tuple[Decision, ...]
    weight: float
    prior: float
    fields: tuple[FieldWeight, ...]

    @property
    def same(self) -> bool:
        return self.entities[0] == self.entities[1]


@dataclass(frozen=True, slots=True)
class NameHit:
    """An entity with a matching name."""

    entity_id: str
    kind: str
    name: str
    records: int


class NoEntityError(RequestError, ConfigurationError):
    """No entity has the id, or nothing is left of the entity (`gone`)."""

    def __init__(self, message: str, *, gone: bool) -> None:
        super().__init__(message)
        self.gone = gone


def view(
    ledger: Ledger,
    source: str,
    asked: str,
    decisions: Decisions,
    *,
    explained: int = EXPLAINED,
    happened: int = HISTORY,
) -> EntityView:
    """An entity by its id, an earlier id, or one of its records.

    `explained` and `happened` bound its explained links and its events. Raises NoEntityError when there is no
    such entity, or no longer.
    """
    with ledger.reading() as connection:
        entity_id = _require_entity(connection, source, asked)
        rows = _require_members(connection, source, entity_id, asked)
        ids = [row.document_id for row in rows]
        pairs = MatchRows(source, connection).pairs(ids)
        earlier = _earlier(connection, source, entity_id)
        events = _events(connection, source, {entity_id, *earlier}, happened, None)
        model = models_in_use(connection, source)[rows[0].entity_kind]
        identities = [(row.document_id, _identity(row)) for row in rows]
        compared = MatchRows(source, connection).as_compared(dict(identities))
    tree = weakest_links(ids, pairs, len(ids))
    return EntityView(
        asked=asked,
        entity_id=entity_id,
        kind=rows[0].entity_kind,
        earlier_ids=tuple(sorted(earlier)),
        golden=golden_record(identities),
        members=tuple(Member(row.document_id, row.title, row.uri) for row in rows),
        links=tuple(_link(pair, model, compared, explained=i < explained) for i, pair in enumerate(tree)),
        decisions=tuple(decisions.about(ids)),
        history=tuple(event for _, event in events),
    )


def history(
    ledger: Ledger, source: str, asked: str, *, limit: int, before: int | None = None
) -> tuple[str | None, list[tuple[int, Happened]]]:
    """What an id stands for now, None if nothing is left; and what happened, by number, the newest first.

    Works for an entity that ended too. `before` is a number, for the next page. Raises NoEntityError.
    """
    with ledger.reading() as connection:
        try:
            entity_id: str | None = _require_entity(connection, source, asked)
        except NoEntityError as error:
            if not error.gone:
                raise
            entity_id = None
        it = entity_id or asked
        ids = {it, *_earlier(connection, source, it)}
        return entity_id, _events(connection, source, ids, limit, before)


def why(ledger: Ledger, source: str, left: str, right: str, decisions: Decisions) -> Why:
    """Why two records, or the most similar records of two entities, are one or are not.

    Raises RequestError when one does not exist, or one is a person and the other an organisation.
    """
    with ledger.reading() as connection:
        sides = [_records(connection, source, asked) for asked in (left, right)]
        a, b = _most_alike(connection, source, *sides)
        if a.entity_kind != b.entity_kind:
            raise RequestError(
                f"{left} and {right} are of two kinds ({a.entity_kind}, {b.entity_kind}), never one entity."
            )
        model = models_in_use(connection, source)[a.entity_kind]
        pair = {row.document_id: _identity(row) for row in (a, b)}
        compared = MatchRows(source, connection).as_compared(pair)
    explanation = explain(model, compared[a.document_id], compared[b.document_id])
    both = {a.document_id, b.document_id}
    return Why(
        left=a.document_id,
        right=b.document_id,
        entities=(a.entity_id, b.entity_id),
        decisions=tuple(d for d in decisions.made if both & {d.left, d.right}),
        weight=explanation.weight,
        prior=round(explanation.prior, 6),
        fields=explanation.fields,
    )


def find(ledger: Ledger, source: str, name: str, limit: int) -> list[NameHit]:
    """Entities with a record whose name has words that begin with those of `name`; the closest first."""
    from jellyfish import jaro_winkler_similarity

    words = plain(name).split()
    if not words:
        raise RequestError("The name is empty: say whom to look for.")
    best: dict[str, tuple[float, str, str]] = {}
    records: dict[str, int] = {}
    with ledger.reading() as connection:
        for row in connection.execution_options(yield_per=5_000).execute(_all_members(source)):
            records[row.entity_id] = records.get(row.entity_id, 0) + 1
            found = json.loads(row.identity)["name"]
            folded = plain(found)
            if all(any(part.startswith(word) for part in folded.split()) for word in words):
                likeness = jaro_winkler_similarity(" ".join(words), folded)
                best[row.entity_id] = max(best.get(row.entity_id, (0.0, "", "")), (likeness, found, row.kind))
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[1][1], item[0]))[:limit]
    return [NameHit(entity, kind, name, records[entity]) for entity, (_, name, kind) in ranked]


def _all_members(source: str) -> sa.Select[Any]:
    here = sa.and_(_document.c.source == _member.c.source, _document.c.document_id == _member.c.document_id)
    columns = (_member.c.entity_id, _member.c.kind, _document.c.identity)
    return sa.select(*columns).join(_document, here).where(_member.c.source == source)


def _members(connection: sa.Connection, source: str, entity_id: str) -> Sequence[Any]:
    """An entity's records, the oldest first."""
    here = sa.and_(_document.c.source == _member.c.source, _document.c.document_id == _member.c.document_id)
    query = (
        sa.select(_document, _member.c.entity_id, _member.c.kind.label("entity_kind"))
        .join(_member, here)
        .where(
            _member.c.source == source, _member.c.entity_id == entity_id, _document.c.identity.is_not(None)
        )
    )
    return connection.execute(query.order_by(_member.c.seen)).all()


def _require_entity(connection: sa.Connection, source: str, asked: str) -> str:
    record = document_meant(connection, source, asked)
    of_record = sa.select(_member.c.entity_id).filter_by(source=source, document_id=record)
    entity_id = connection.scalar(of_record) or living_id(connection, source, asked)
    if entity_id is None:
        raise NoEntityError(f"Nothing is left of the entity {asked}: its records were deleted.", gone=True)
    if connection.scalar(
        sa.select(_member.c.entity_id).filter_by(source=source, entity_id=entity_id).limit(1)
    ):
        return entity_id
    raise NoEntityError(
        f"There is no entity, and no record of a person or organisation, {asked!r} in {source}. "
        "`ingest entity search NAME` finds one.",
        gone=False,
    )


def _require_members(connection: sa.Connection, source: str, entity_id: str, asked: str) -> Sequence[Any]:
    """Raises NoEntityError between two stages, when its records are gone but it is not resolved again yet."""
    if members := _members(connection, source, entity_id):
        return members
    raise NoEntityError(
        f"The records of {asked} have gone since it was resolved: run `ingest refresh`.", gone=True
    )


def _records(connection: sa.Connection, source: str, asked: str) -> Sequence[Any]:
    members = _require_members(connection, source, _require_entity(connection, source, asked), asked)
    record = document_meant(connection, source, asked)
    return [row for row in members if row.document_id == record] or members


def _most_alike(
    connection: sa.Connection, source: str, left: Sequence[Any], right: Sequence[Any]
) -> tuple[Any, Any]:
    """The pair from two lists of records with the highest weight; the oldest ones if none is recorded."""
    a, b = ({row.document_id: row for row in side} for side in (left, right))
    pairs = MatchRows(source, connection).pairs(a)
    ranked = sorted(pairs, key=lambda pair: (-pair[2], pair))
    for one, other, _ in ranked:
        if one in a and other in b:
            return a[one], b[other]
        if other in a and one in b:
            return a[other], b[one]
    second = next((row for row in right if row.document_id != left[0].document_id), None)
    if second is None:
        raise RequestError(f"{left[0].document_id} is one record: there is nothing to compare it with.")
    return left[0], second


def _identity(row: Any) -> Identity:
    return identity_of(json.loads(row.identity))


def _link(pair: Pair, model: MatchModel, compared: dict[str, Features], *, explained: bool) -> Link:
    left, right, weight = pair
    if not explained:
        return Link(left, right, weight)
    return Link(left, right, weight, explain(model, compared[left], compared[right]).fields)


def _earlier(connection: sa.Connection, source: str, entity_id: str) -> set[str]:
    """The ids of the entities that were merged into one."""
    earlier: set[str] = set()
    frontier = {entity_id}
    while frontier:
        into = sa.select(_entity.c.entity_id).where(
            _entity.c.source == source, _entity.c.successor.in_(sorted(frontier))
        )
        frontier = set(connection.scalars(into)) - earlier
        earlier |= frontier
    return earlier


def _events(
    connection: sa.Connection, source: str, entity_ids: set[str], limit: int, before: int | None
) -> list[tuple[int, Happened]]:
    """What happened to some entities, by number, the newest first."""
    ids = sorted(entity_ids)
    query = sa.select(_event).where(
        _event.c.source == source, sa.or_(_event.c.entity_id.in_(ids), _event.c.other_id.in_(ids))
    )
    if before is not None:
        query = query.where(_event.c.number < before)
    rows = connection.execute(query.order_by(_event.c.number.desc()).limit(limit))
    return [
        (
            r.number,
            Happened(when(r.at), r.kind, r.entity_id, r.other_id, r.document_id, json.loads(r.reason)),
        )
        for r in rows
    ]
