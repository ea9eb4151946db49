"""Canonical entities, one row a member record, and the entities that each document is about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest_assets.entities import exact, resolve
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import delete_keys, upsert
from ingest_assets.model import Identity, digest_of
from ingest_assets.reconcile import Delta, Run, Step, content_sum
from ingest_assets.stages.records import identity_of

BATCH = 2_000

_document, _member, _about = tables.document, tables.entity_member, tables.document_entities


@dataclass(frozen=True, slots=True)
class Entities:
    """Keeps `entity_member` and `document_entities` in step with `document`.

    Resolution looks at all records of people and organisations at once, whatever changed; only rows
    that differ are written. Outcomes count member records.
    """

    source: str
    name: str = "entities"

    @property
    def fingerprint(self) -> str:
        return digest_of("exact-entities", exact.VERSION, str(exact.MAX_SHARED))

    def looks_at(self, connection: sa.Connection) -> str:
        return digest_of(self.fingerprint, content_sum(connection, self.source, "records"))

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, connection: sa.Connection) -> int:
        query = sa.select(sa.func.count()).select_from(_member).filter_by(source=self.source)
        return connection.scalar(query) or 0

    def steps(self, ledger: Ledger, _session: sa.Connection, _run: Run) -> Iterator[Step]:
        with ledger.reading() as connection:
            kinds = {key: identity.kind for key, identity in self._records(connection)}
            entity_of = resolve(self.source, self._records(connection)).entity_of
        yield from self._members(ledger, entity_of, kinds)
        yield from self._links(ledger, entity_of)
        yield from self._removals(ledger)

    def _records(self, connection: sa.Connection) -> Iterator[tuple[str, Identity]]:
        query = sa.select(_document.c.document_id, _document.c.identity).where(
            _document.c.source == self.source, _document.c.identity.is_not(None)
        )
        for row in connection.execution_options(yield_per=BATCH).execute(query):
            yield row.document_id, identity_of(json.loads(row.identity))

    def _members(
        self, ledger: Ledger, entity_of: Mapping[str, str], kinds: Mapping[str, str]
    ) -> Iterator[Step]:
        query = sa.select(_member.c.document_id, _member.c.entity_id).filter_by(source=self.source)
        with ledger.reading() as connection:
            recorded = {row.document_id: row.entity_id for row in connection.execute(query)}
        differing = [key for key, entity in entity_of.items() if recorded.get(key) != entity]
        for start in range(0, len(differing), BATCH):
            part = {key: (entity_of[key], recorded.get(key)) for key in differing[start : start + BATCH]}
            yield Step(lambda connection, part=part: self._record_members(connection, part, kinds))  # type: ignore[misc]

    def _record_members(
        self,
        connection: sa.Connection,
        part: Mapping[str, tuple[str, str | None]],
        kinds: Mapping[str, str],
    ) -> Delta:
        delta = Delta()
        rows = []
        for key, (entity, earlier) in part.items():
            rows.append({"source": self.source, "document_id": key, "entity_id": entity, "kind": kinds[key]})
            if earlier is None:
                delta.outcomes.added += 1
            else:
                delta.outcomes.changed += 1
                delta.note([f"{key}: {earlier} -> {entity}"])
            delta.note([f"{key}: {entity}"])
        upsert(connection, _member, rows)
        return delta

    def _links(self, ledger: Ledger, entity_of: Mapping[str, str]) -> Iterator[Step]:
        """What each document is about: itself if it is a member, and the members it refers to."""
        after = ""
        query = (
            sa.select(_document.c.document_id, _document.c.refs, _about.c.digest)
            .outerjoin(
                _about,
                sa.and_(
                    _about.c.source == _document.c.source, _about.c.document_id == _document.c.document_id
                ),
            )
            .where(_document.c.source == self.source)
            .order_by(_document.c.document_id)
            .limit(BATCH)
        )
        while True:
            with ledger.reading() as connection:
                page = connection.execute(query.where(_document.c.document_id > after)).all()
            if not page:
                return
            rows = [(self._link_row(row, entity_of), row.digest) for row in page]
            differing = [(row, earlier) for row, earlier in rows if row["digest"] != earlier]
            if differing:
                yield Step(lambda connection, part=differing: self._record_links(connection, part))  # type: ignore[misc]
            after = page[-1].document_id

    def _link_row(self, row: Any, entity_of: Mapping[str, str]) -> dict[str, str]:
        about = [row.document_id, *json.loads(row.refs)]
        ids = json.dumps(sorted({entity_of[key] for key in about if key in entity_of}))
        return {
            "source": self.source,
            "document_id": row.document_id,
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

    def _removals(self, ledger: Ledger) -> Iterator[Step]:
        with ledger.reading() as connection:
            members = connection.scalars(self._orphans(_member, _document.c.identity.is_not(None))).all()
            links = connection.execute(self._orphans(_about, sa.true(), _about.c.digest)).all()
        if members or links:
            yield Step(lambda connection: self._remove(connection, members, links))

    def _orphans(self, table: sa.Table, kept: sa.ColumnElement[bool], *extra: Any) -> sa.Select[Any]:
        present = sa.exists().where(
            _document.c.source == table.c.source, _document.c.document_id == table.c.document_id, kept
        )
        return sa.select(table.c.document_id, *extra).where(table.c.source == self.source, ~present)

    def _remove(self, connection: sa.Connection, members: Sequence[str], links: Sequence[Any]) -> Delta:
        delta = Delta()
        scope = {"source": self.source}
        delete_keys(connection, _member, scope, "document_id", members)
        delete_keys(connection, _about, scope, "document_id", [row.document_id for row in links])
        for row in links:
            delta.drop(row.document_id, row.digest)
        delta.outcomes.removed = len(members)
        delta.note(f"{key}: removed" for key in members)
        return delta
