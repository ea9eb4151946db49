"""Canonical entities, one row per member record, and the entities that each document is about."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from ingest_assets.entities import Features, Limits, blocking
from ingest_assets.entities.clusters import ABSENT, MOST
from ingest_assets.entities.continuity import EntityEvent, in_order
from ingest_assets.entities.decisions import Decisions
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.json_lists import holds_one_of
from ingest_assets.ledger.store import batched, delete_keys, pages, upsert
from ingest_assets.model import IdentityKind, digest_of
from ingest_assets.reconcile import Delta, Run, Step, content_sum, last_run_succeeded
from ingest_assets.stages.match_models import KINDS, models_digest, models_in_use
from ingest_assets.stages.resolution.match_rows import MatchRows
from ingest_assets.stages.resolution.members import Members
from ingest_assets.stages.resolution.resolver import Found, Resolver, in_natural_order, lead_on

BATCH = 2_000
ROWS = 20_000  # blocks or pairs per step; they are small
# Bump when the same pairs and decisions give other clusters.
VERSION = "1"
# What the pairs on record depend on besides records and models.
SCORED_BY = (blocking.VERSION, *map(str, (*blocking.BOUNDS, ABSENT)))

_document, _member, _about = tables.document, tables.entity_member, tables.document_entities
_entity, _event, _state = tables.entity, tables.entity_event, tables.match_state
_block, _pair = tables.match_block, tables.match_pair


@dataclass(frozen=True, slots=True)
class Entities:
    """Keeps `entity_member` and `document_entities` in step with `document`.

    Entities are resolved before anything is recorded, and recorded in one transaction, after the links from
    documents to entities. So if a run dies before it has checked the links of every document, the next one
    finds the old members and checks all links again. Outcomes count member records.
    """

    source: str
    documents: str  # the stage that reads them
    limits: Limits
    decisions: Callable[[], Decisions] = Decisions
    name: str = "entities"
    part: str = ""

    @property
    def fingerprint(self) -> str:
        return digest_of("entities", VERSION, str(MOST), *SCORED_BY)

    def input_digest(self, connection: sa.Connection) -> str:
        models = models_digest(connection, self.source)
        records = content_sum(connection, self.source, self.documents)
        return digest_of(self.fingerprint, records, models, self.decisions().digest)

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, connection: sa.Connection) -> int:
        query = sa.select(sa.func.count()).select_from(_member).filter_by(source=self.source)
        return connection.scalar(query) or 0

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        with ledger.reading() as connection:
            now = _Now(connection, ledger, self)
            found = now.resolve(rebuild=run.rebuild)
        if now.rescored and found:
            yield Step(self._forget)
            yield from self._blocks_and_pairs(found)
        # A run that died may have left links to members that it did not record.
        everything = run.rebuild or not now.last_run_succeeded
        yield from self._links(ledger, now, found, None if everything else now.moved(found))
        if found or now.edited or now.gone:
            yield Step(partial(self._record, now=now, found=found))
        yield from self._removals(ledger)

    def _forget(self, connection: sa.Connection) -> Delta:
        """Delete what was compared: until it is complete again, the next run starts over."""
        for table in (_state, _block, _pair):
            connection.execute(table.delete().where(table.c.source == self.source))
        return Delta()

    def _blocks_and_pairs(self, found: Sequence[Found]) -> Iterator[Step]:
        for part in batched(_block_rows(self.source, found), ROWS):
            yield Step(partial(_insert, table=_block, rows=part))
        for part in batched(_pair_rows(self.source, found), ROWS):
            yield Step(partial(_insert, table=_pair, rows=part))

    def _links(
        self, ledger: Ledger, now: _Now, found: Sequence[Found], moved: Collection[str] | None
    ) -> Iterator[Step]:
        """What each document is about: itself if it is a member, and the members it refers to.

        Only documents that changed, and those about a record that `moved`, can have other links; without
        `moved`, all are looked at.
        """
        here = sa.and_(_about.c.source == _document.c.source, _about.c.document_id == _document.c.document_id)
        columns = (
            _document.c.document_id,
            _document.c.digest.label("content"),
            _document.c.refs,
            _about.c.digest,
            _about.c.document_digest.label("linked"),
        )
        query = sa.select(*columns).outerjoin(_about, here).where(_document.c.source == self.source)
        if moved is not None and len(moved) <= BATCH:
            edited = sa.or_(_about.c.document_id.is_(None), _about.c.document_digest != _document.c.digest)
            about = sa.or_(_document.c.document_id.in_(moved), holds_one_of(ledger, _document.c.refs, moved))
            query = query.where(sa.or_(edited, about) if moved else edited)
        for page in pages(ledger, query, _document.c.document_id, BATCH):
            members = {row.document_id: [row.document_id, *json.loads(row.refs)] for row in page}
            entity_of = now.entities_of({key for keys in members.values() for key in keys}, found)
            rows = [(self._link_row(row, members[row.document_id], entity_of), row) for row in page]
            differing = [
                (link, row.digest)
                for link, row in rows
                if link["digest"] != row.digest or row.content != row.linked
            ]
            if differing:
                yield Step(partial(self._record_links, part=differing))

    def _link_row(self, row: Any, about: Iterable[str], entity_of: Mapping[str, str]) -> dict[str, str]:
        ids = json.dumps(sorted({entity_of[key] for key in about if key in entity_of}))
        return {
            "source": self.source,
            "document_id": row.document_id,
            "document_digest": row.content,
            "digest": digest_of(ids),
            "entity_ids": ids,
        }

    def _record_links(
        self, connection: sa.Connection, part: Sequence[tuple[Mapping[str, str], str | None]]
    ) -> Delta:
        upsert(connection, _about, [row for row, _ in part])
        delta = Delta()
        for row, earlier in part:
            if earlier is not None:
                delta.drop(row["document_id"], earlier)
            delta.add(row["document_id"], row["digest"])
        return delta

    def _record(self, connection: sa.Connection, now: _Now, found: Sequence[Found]) -> Delta:
        """Record members, entities and events; and what was compared, unless that was everything."""
        if not now.rescored:
            stale = sorted(set().union(*(f.stale for f in found)))
            for column in (_block.c.document_id, _pair.c.left, _pair.c.right):
                delete_keys(connection, column.table, {"source": self.source}, column.name, stale)
            _insert(connection, _block, _block_rows(self.source, found))
            _insert(connection, _pair, _pair_rows(self.source, found))
        compared: Counter[str] = sum((Counter(one.candidates) for one in found), Counter())
        state = {
            "source": self.source,
            "scored_with": now.scored_with,
            "decided_with": now.decided_with,
            "candidates": json.dumps(compared, sort_keys=True),
        }
        upsert(connection, _state, [state])
        self._record_entities(connection, now, found)
        return self._record_members(connection, now, found)

    def _record_entities(self, connection: sa.Connection, now: _Now, found: Sequence[Found]) -> None:
        rows: list[dict[str, Any]] = []
        for kind, one in zip(KINDS, found, strict=False):
            for entity in one.created:
                rows.append(self._entity_row(entity, kind, now.next_age + len(rows), retired=False))
        upsert(connection, _entity, rows)
        for entity, successor in ((e, s) for one in found for e, s in one.retired.items()):
            ended = _entity.update().where(_entity.c.source == self.source, _entity.c.entity_id == entity)
            connection.execute(ended.values(retired=True, successor=successor))
        # Both kinds in one order: an entity is created before the id of another one leads to it.
        events = sorted((told for one in found for told in one.events), key=lambda told: in_order(told[0]))
        first = (
            connection.scalar(sa.select(sa.func.max(_event.c.number)).filter_by(source=self.source)) or 0
        ) + 1
        at = time.time()
        _insert(connection, _event, [self._event_row(first + i, at, *told) for i, told in enumerate(events)])

    def _entity_row(self, entity: str, kind: str, age: int, *, retired: bool) -> dict[str, Any]:
        return {
            "source": self.source,
            "entity_id": entity,
            "kind": kind,
            "age": age,
            "retired": retired,
            "successor": None,
        }

    def _event_row(
        self, number: int, at: float, event: EntityEvent, reason: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "source": self.source,
            "number": number,
            "at": at,
            **asdict(event),
            "reason": json.dumps(reason, ensure_ascii=False),
        }

    def _record_members(self, connection: sa.Connection, now: _Now, found: Sequence[Found]) -> Delta:
        delta = Delta()
        delete_keys(connection, _member, {"source": self.source}, "document_id", now.gone)
        delta.outcomes.removed = len(now.gone)
        delta.note(f"{key}: removed" for key in sorted(now.gone))
        rows = []
        members = now.entities_of(now.edited.keys() - now.changed.keys(), ())
        for one in found:
            members |= one.entity_of
        recorded = now.members.of_records(members)
        for key, entity in members.items():
            earlier = recorded.get(key)
            row = now.member_row(key, entity, earlier)
            if earlier is None:
                delta.outcomes.added += 1
                delta.note([f"{key}: {entity}"])
            elif earlier.entity_id != entity:
                delta.outcomes.changed += 1
                delta.note([f"{key}: {earlier.entity_id} -> {entity}"])
            elif earlier.document_digest == row["document_digest"]:
                continue
            rows.append(row)
        upsert(connection, _member, rows)
        return delta

    def _removals(self, ledger: Ledger) -> Iterator[Step]:
        with ledger.reading() as connection:
            links = connection.execute(orphans(self.source, _about, sa.true(), _about.c.digest)).all()
        if links:
            yield Step(partial(self._remove, links=links))

    def _remove(self, connection: sa.Connection, links: Sequence[Any]) -> Delta:
        delta = Delta()
        keys = [row.document_id for row in links]
        delete_keys(connection, _about, {"source": self.source}, "document_id", keys)
        for row in links:
            delta.drop(row.document_id, row.digest)
        return delta


class _Now:
    """What is recorded, and how the records differ from it now."""

    def __init__(self, connection: sa.Connection, ledger: Ledger, stage: Entities) -> None:
        self._connection, self._stage, source = connection, stage, stage.source
        self._decisions = stage.decisions()
        self.scored_with = digest_of(models_digest(connection, source), *SCORED_BY)
        self.last_run_succeeded = last_run_succeeded(connection, stage)
        self.decided_with = digest_of(stage.fingerprint, self._decisions.digest)
        self.members = Members(ledger, source)
        self.edited = {row.document_id: row for row in connection.execute(_edited(source))}
        recorded = self.members.of_records(self.edited)
        # Most edits do not change a record's identity.
        self.changed = {
            key: row
            for key, row in self.edited.items()
            if key not in recorded or recorded[key].identity_digest != digest_of(row.identity)
        }
        orphaned = orphans(source, _member, _document.c.identity.is_not(None))
        self.gone = set(connection.scalars(orphaned))
        state = connection.execute(_of(_state, source)).one_or_none()
        self._complete = state is not None and state.scored_with == self.scored_with
        self._decided = state is not None and state.decided_with == self.decided_with
        self.rescored = False
        last_seen, last_age = self.members.last()
        self.next_age = last_age + 1
        new = in_natural_order(self.changed.keys() - recorded.keys())
        self._new = {key: last_seen + 1 + i for i, key in enumerate(new)}

    def resolve(self, *, rebuild: bool) -> list[Found]:
        """One Found per kind; an empty list when there is nothing to do."""
        found = self._resolved(rebuild=rebuild)
        lead_on(found)
        return found

    def _resolved(self, *, rebuild: bool) -> list[Found]:
        self.rescored = rebuild or not self._complete
        if self.rescored:
            return [self._resolver(kind).everything() for kind in KINDS]
        found: list[Found] = []
        if self.changed or self.gone:
            rows = MatchRows(self._stage.source, self._connection)
            features = rows.features(self.changed)
            found = [self._changed(kind, features) for kind in KINDS]
        if self._decided or not found:
            return found if self._decided else [self._resolver(kind).recluster() for kind in KINDS]
        # Records and decisions changed: it is no longer known what a withdrawn decision was about.
        self.rescored = True
        return [self._resolver(kind).everything() for kind in KINDS]

    def _changed(self, kind: IdentityKind, features: Mapping[str, Features]) -> Found:
        mine = {key: f for key, f in features.items() if f.kind == kind}
        recorded = self.members.of_records(features.keys() | self.gone)
        # A record that is now of the other kind is gone from this one.
        gone = {key for key, row in recorded.items() if row.kind == kind and key not in mine}
        return self._resolver(kind).changed(mine, gone) if mine or gone else Found()

    def _resolver(self, kind: IdentityKind) -> Resolver:
        return Resolver(
            source=self._stage.source,
            rows=MatchRows(self._stage.source, self._connection),
            model=models_in_use(self._connection, self._stage.source)[kind],
            decisions=self._decisions,
            members=self.members,
            new=self._new,
            limits=self._stage.limits,
        )

    def entities_of(self, records: Collection[str], found: Iterable[Found]) -> dict[str, str]:
        """The entity of each record that will be a member, once what was found is recorded."""
        recorded = self.members.of_records(records)
        result = {key: row.entity_id for key, row in recorded.items() if key not in self.gone}
        for one in found:
            result |= {key: one.entity_of[key] for key in records if key in one.entity_of}
        return result

    def moved(self, found: Iterable[Found]) -> set[str]:
        """The records whose entity is not the recorded one, or that no longer have one."""
        entity_of = {key: entity for one in found for key, entity in one.entity_of.items()}
        recorded = self.members.of_records(entity_of)
        stayed = {key for key, row in recorded.items() if row.entity_id == entity_of[key]}
        return (entity_of.keys() - stayed) | self.gone

    def member_row(self, key: str, entity: str, recorded: Any) -> dict[str, Any]:
        """The row of a record that is now a member of `entity`. `recorded` is its earlier row, if any."""
        edited = self.edited.get(key)
        return {
            "source": self._stage.source,
            "document_id": key,
            "document_digest": edited.digest if edited else recorded.document_digest,
            "identity_digest": digest_of(edited.identity) if edited else recorded.identity_digest,
            "entity_id": entity,
            "kind": json.loads(edited.identity)["kind"] if edited else recorded.kind,
            "seen": recorded.seen if recorded else self._new[key],
        }


def _of(table: sa.Table, source: str) -> sa.Select[Any]:
    return sa.select(table).where(table.c.source == source)


def _edited(source: str) -> sa.Select[Any]:
    """Records of people and organisations that have changed since they were resolved."""
    same = sa.exists().where(
        _member.c.source == _document.c.source,
        _member.c.document_id == _document.c.document_id,
        _member.c.document_digest == _document.c.digest,
    )
    columns = (_document.c.document_id, _document.c.digest, _document.c.identity)
    return sa.select(*columns).where(_document.c.source == source, _document.c.identity.is_not(None), ~same)


def orphans(source: str, table: sa.Table, kept: sa.ColumnElement[bool], *extra: Any) -> sa.Select[Any]:
    """The ids of rows whose document is gone, or is not `kept`."""
    present = sa.exists().where(
        _document.c.source == table.c.source, _document.c.document_id == table.c.document_id, kept
    )
    return sa.select(table.c.document_id, *extra).where(table.c.source == source, ~present)


def _block_rows(source: str, found: Iterable[Found]) -> Iterator[dict[str, Any]]:
    return (
        {"source": source, "block": block, "document_id": record}
        for one in found
        for record, blocks in one.blocks.items()
        for block in sorted(blocks)
    )


def _pair_rows(source: str, found: Iterable[Found]) -> Iterator[dict[str, Any]]:
    return (
        {"source": source, "left": left, "right": right, "weight": weight}
        for one in found
        for left, right, weight in one.pairs
    )


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> Delta:
    for part in batched(rows, ROWS):
        connection.execute(table.insert(), part)
    return Delta()
