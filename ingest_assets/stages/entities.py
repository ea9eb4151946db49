"""Canonical entities, one row a member record, and the entities that each document is about."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from ingest_assets.entities import exact, resolve
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import delete_keys, pages, upsert
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

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        with ledger.reading() as connection:
            recorded = {row.document_id: row for row in connection.execute(self._recorded())}
            entity_of = {key: row.entity_id for key, row in recorded.items()}
            resolved = run.rebuild or self._identities_moved(connection)
            if resolved:
                entity_of = dict(resolve(self.source, self._identities(connection)).entity_of)
        # Links before members: while the members on record differ, a run that died before it had looked at
        # every document's links looks at them all again.
        moved = any(entity_of.get(key) != row.entity_id for key, row in recorded.items())
        everything = run.rebuild or moved or len(entity_of) != len(recorded)
        yield from self._links(ledger, entity_of, everything=everything)
        if resolved:
            yield from self._members(ledger, entity_of, recorded)
        yield from self._removals(ledger)

    def _recorded(self) -> sa.Select[Any]:
        columns = (_member.c.document_id, _member.c.entity_id, _member.c.document_digest)
        return sa.select(*columns).filter_by(source=self.source)

    def _identities_moved(self, connection: sa.Connection) -> bool:
        """Whether some record of a person or organisation is not the one that was resolved."""
        same = sa.exists().where(
            _member.c.source == _document.c.source,
            _member.c.document_id == _document.c.document_id,
            _member.c.document_digest == _document.c.digest,
        )
        records = sa.select(_document.c.document_id).where(
            _document.c.source == self.source, _document.c.identity.is_not(None)
        )
        gone = self._orphans(_member, _document.c.identity.is_not(None))
        return any(connection.execute(q.limit(1)).first() for q in (records.where(~same), gone))

    def _identities(self, connection: sa.Connection) -> Iterator[tuple[str, Identity]]:
        query = sa.select(_document.c.document_id, _document.c.identity).where(
            _document.c.source == self.source, _document.c.identity.is_not(None)
        )
        for row in connection.execution_options(yield_per=BATCH).execute(query):
            yield row.document_id, identity_of(json.loads(row.identity))

    def _members(
        self, ledger: Ledger, entity_of: Mapping[str, str], recorded: Mapping[str, Any]
    ) -> Iterator[Step]:
        query = sa.select(_document.c.document_id, _document.c.digest, _document.c.identity).where(
            _document.c.source == self.source, _document.c.identity.is_not(None)
        )
        for page in pages(ledger, query, _document.c.document_id, BATCH):
            rows = [self._member_row(row, entity_of) for row in page]
            differing = [row for row in rows if _differs(row, recorded.get(row["document_id"]))]
            if differing:
                yield Step(partial(self._record_members, part=differing, recorded=recorded))

    def _member_row(self, row: Any, entity_of: Mapping[str, str]) -> dict[str, str]:
        return {
            "source": self.source,
            "document_id": row.document_id,
            "document_digest": row.digest,
            "entity_id": entity_of[row.document_id],
            "kind": json.loads(row.identity)["kind"],
        }

    def _record_members(
        self, connection: sa.Connection, part: Sequence[Mapping[str, str]], recorded: Mapping[str, Any]
    ) -> Delta:
        delta = Delta()
        for row in part:
            key, entity, earlier = row["document_id"], row["entity_id"], recorded.get(row["document_id"])
            if earlier is None:
                delta.outcomes.added += 1
                delta.note([f"{key}: {entity}"])
            elif earlier.entity_id != entity:
                delta.outcomes.changed += 1
                delta.note([f"{key}: {earlier.entity_id} -> {entity}"])
        upsert(connection, _member, part)
        return delta

    def _links(self, ledger: Ledger, entity_of: Mapping[str, str], *, everything: bool) -> Iterator[Step]:
        """What each document is about: itself if it is a member, and the members it refers to.

        When no member moved, only documents that changed can be about anything else.
        """
        here = sa.and_(_about.c.source == _document.c.source, _about.c.document_id == _document.c.document_id)
        columns = (
            _document.c.document_id,
            _document.c.digest.label("content"),
            _document.c.refs,
            _about.c.digest,
        )
        query = sa.select(*columns).outerjoin(_about, here).where(_document.c.source == self.source)
        if not everything:
            moved = sa.or_(_about.c.document_id.is_(None), _about.c.document_digest != _document.c.digest)
            query = query.where(moved)
        for page in pages(ledger, query, _document.c.document_id, BATCH):
            rows = [(self._link_row(row, entity_of), row.digest) for row in page]
            yield Step(partial(self._record_links, part=rows))

    def _link_row(self, row: Any, entity_of: Mapping[str, str]) -> dict[str, str]:
        about = [row.document_id, *json.loads(row.refs)]
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

    def _removals(self, ledger: Ledger) -> Iterator[Step]:
        with ledger.reading() as connection:
            members = connection.scalars(self._orphans(_member, _document.c.identity.is_not(None))).all()
            links = connection.execute(self._orphans(_about, sa.true(), _about.c.digest)).all()
        if members or links:
            yield Step(partial(self._remove, members=members, links=links))

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


def _differs(row: Mapping[str, str], recorded: Any) -> bool:
    return recorded is None or any(
        getattr(recorded, name) != row[name] for name in ("entity_id", "document_digest")
    )
