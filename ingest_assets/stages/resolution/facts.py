"""Facts about a source's entities as a whole: sizes, weights, what may be wrong. Read only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from ingest_assets.entities import block_keys, cut_blocks
from ingest_assets.entities.blocking import BOUNDS
from ingest_assets.entities.clusters import Contradiction, Pair, cluster, weakest_links
from ingest_assets.entities.decisions import Decisions
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import batched
from ingest_assets.model import IdentityKind
from ingest_assets.stages.resolution.match_rows import MatchRows, block_number

LOOK_UP = 5_000  # ids per query
WEIGHTS = 100_000  # how many pairs the histogram is drawn from

_document, _member, _entity = tables.document, tables.entity_member, tables.entity
_block, _pair, _state = tables.match_block, tables.match_pair, tables.match_state


@dataclass(frozen=True, slots=True)
class EntityFacts:
    """Counts of one source."""

    entities: int
    sizes: Counter[int]  # number of records: how many entities have it
    weights: list[float]  # of pairs that were compared and kept, in bits
    candidates: Mapping[str, int]  # pairs that the last run compared, by blocking rule
    cut: Mapping[str, int]  # blocks too large to use: how many records


@dataclass(frozen=True, slots=True)
class Large:
    """An entity with suspiciously many records, and its weakest links."""

    entity_id: str
    records: int
    weakest: list[Pair]


def entity_facts(ledger: Ledger, source: str) -> EntityFacts:
    """The facts about a source's recorded entities."""
    with ledger.reading() as connection:
        weights = sa.select(_pair.c.weight).filter_by(source=source).limit(WEIGHTS)
        compared = connection.scalar(sa.select(_state.c.candidates).filter_by(source=source))
        sizes = _sizes(connection, source)
        return EntityFacts(
            entities=sizes.total(),
            sizes=sizes,
            weights=list(connection.scalars(weights)),
            candidates=json.loads(compared or "{}"),
            cut=_cut(connection, source),
        )


def _sizes(connection: sa.Connection, source: str) -> Counter[int]:
    each = sa.select(sa.func.count().label("records")).where(_member.c.source == source)
    grouped = each.group_by(_member.c.entity_id).subquery()
    query = sa.select(grouped.c.records, sa.func.count()).group_by(grouped.c.records)
    return Counter(dict(connection.execute(query).tuples().all()))


def _cut(connection: sa.Connection, source: str) -> dict[str, int]:
    """The blocks above the bound, by key. Any member of a block has its key."""
    query = sa.select(_block.c.block, sa.func.count(), sa.func.min(_block.c.document_id))
    query = query.where(_block.c.source == source).group_by(_block.c.block)
    rows = connection.execute(query.having(sa.func.count() > min(BOUNDS))).all()
    members = MatchRows(source, connection).features({member for *_, member in rows})
    names = {block_number(key): key for features in members.values() for key in block_keys(features)}
    return cut_blocks({names[block]: size for block, size, _ in rows if block in names})


def without_entity(connection: sa.Connection, source: str) -> int:
    """Records of people and organisations that belong to no entity."""
    member = sa.exists().where(
        _member.c.source == _document.c.source, _member.c.document_id == _document.c.document_id
    )
    query = sa.select(sa.func.count()).select_from(_document)
    where = (_document.c.source == source, _document.c.identity.is_not(None), ~member)
    return connection.scalar(query.where(*where)) or 0


def without_member(connection: sa.Connection, source: str) -> int:
    """Living entities that no record belongs to."""
    member = sa.exists().where(
        _member.c.source == _entity.c.source, _member.c.entity_id == _entity.c.entity_id
    )
    query = sa.select(sa.func.count()).select_from(_entity)
    return connection.scalar(query.where(_entity.c.source == source, ~_entity.c.retired, ~member)) or 0


def of_ended_entity(connection: sa.Connection, source: str) -> int:
    """Records whose entity does not exist or has ended."""
    living = sa.exists().where(
        _entity.c.source == _member.c.source, _entity.c.entity_id == _member.c.entity_id, ~_entity.c.retired
    )
    query = sa.select(sa.func.count()).select_from(_member)
    return connection.scalar(query.where(_member.c.source == source, ~living)) or 0


def large_entities(connection: sa.Connection, source: str, bound: int, links: int) -> list[Large]:
    """Entities of more than `bound` records, the largest first."""
    query = sa.select(_member.c.entity_id, sa.func.count()).where(_member.c.source == source)
    query = query.group_by(_member.c.entity_id).having(sa.func.count() > bound)
    rows = MatchRows(source, connection)
    found = []
    for entity_id, records in connection.execute(query).all():
        ids = connection.scalars(
            sa.select(_member.c.document_id).filter_by(source=source, entity_id=entity_id)
        ).all()
        found.append(Large(entity_id, records, weakest_links(ids, rows.pairs(ids), links)))
    return sorted(found, key=lambda large: (-large.records, large.entity_id))


def entity_of(connection: sa.Connection, source: str) -> dict[str, str]:
    """Every record's entity."""
    query = sa.select(_member.c.document_id, _member.c.entity_id).filter_by(source=source)
    return dict(connection.execute(query).tuples().all())


def records_by_kind(connection: sa.Connection, source: str) -> dict[IdentityKind, int]:
    """How many records of people, and of organisations, are resolved."""
    query = sa.select(_member.c.kind, sa.func.count()).filter_by(source=source).group_by(_member.c.kind)
    return dict(connection.execute(query).tuples().all())


def without_effect(connection: sa.Connection, source: str, decisions: Decisions) -> list[Contradiction]:
    """Decisions that cannot hold: about missing records or two kinds, or contradicting each other."""
    named = {record for decision in decisions.made for record in (decision.left, decision.right)}
    kinds: dict[str, str] = {}
    for part in batched(sorted(named), LOOK_UP):
        query = sa.select(_member.c.document_id, _member.c.kind)
        here = (_member.c.source == source, _member.c.document_id.in_(part))
        kinds |= dict(connection.execute(query.where(*here)).tuples().all())
    found = []
    for decision in decisions.made:
        sides = (decision.left, decision.right)
        if missing := [record for record in sides if record not in kinds]:
            reason = f"there is no record of a person or organisation {', '.join(missing)}"
            found.append(Contradiction(*sides, reason))
        elif decision.verdict == "same" and kinds[decision.left] != kinds[decision.right]:
            found.append(Contradiction(*sides, "one is a person and the other an organisation"))
    same = [(left, right) for left, right in decisions.same if kinds.get(left) == kinds.get(right)]
    set_aside = cluster(kinds, (), same, decisions.different, join_at=0).contradictions
    return [*found, *set_aside]
