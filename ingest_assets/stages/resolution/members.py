"""Which records are recorded as members of which entities, looked up on demand.

What belongs here: cached lookups, so that a refresh of a few records does not read the members of all
entities. They show the state before the refresh: the source's lock is held meanwhile, and the refresh records
its own results last, in a transaction that no other connection can see. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import batched

LOOK_UP = 5_000  # ids per query

_member, _entity = tables.entity_member, tables.entity


class Members:
    """The members of one source's entities, and the ages of the entities."""

    def __init__(self, ledger: Ledger, source: str) -> None:
        self._ledger, self._source = ledger, source
        self._rows: dict[str, Any] = {}
        self._asked: set[str] = set()  # records that were looked up, members or not
        self._whole: dict[str, list[str]] = {}  # entities all of whose members were looked up
        self._ages: dict[str, int] = {}
        self._dated: set[str] = set()  # ids whose ages were looked up, entities or not
        self._is_complete = False

    def of_records(self, ids: Collection[str]) -> dict[str, Any]:
        """The rows of the records that are members."""
        if not self._is_complete:
            new = set(ids) - self._asked - self._rows.keys()
            self._look_up(_member.c.document_id, new)
            self._asked |= new
        return {key: self._rows[key] for key in ids if key in self._rows}

    def of_entities(self, entities: Collection[str]) -> dict[str, list[str]]:
        """All members of each, by id."""
        if new := set(entities) - self._whole.keys():
            found = self._rows.values() if self._is_complete else self._look_up(_member.c.entity_id, new)
            self._whole |= {entity: [] for entity in new}
            for row in found:
                if row.entity_id in new:
                    self._whole[row.entity_id].append(row.document_id)
        return {entity: self._whole[entity] for entity in entities}

    def all(self) -> Mapping[str, Any]:
        """Every row. Afterwards all ages are known too."""
        if not self._is_complete:
            ages = sa.select(_entity.c.entity_id, _entity.c.age).filter_by(source=self._source)
            with self._ledger.reading() as connection:
                for row in connection.execute(sa.select(_member).filter_by(source=self._source)):
                    self._rows[row.document_id] = row
                self._ages = dict(connection.execute(ages).tuples().all())
            self._is_complete = True
        return self._rows

    def ages(self, entities: Iterable[str]) -> Mapping[str, int]:
        """The order in which entities were created, including ended ones. Other ids are left out."""
        wanted = set(entities)
        if not self._is_complete and (new := wanted - self._dated):
            self._dated |= new
            with self._ledger.reading() as connection:
                for part in batched(sorted(new), LOOK_UP):
                    query = sa.select(_entity.c.entity_id, _entity.c.age).where(
                        _entity.c.source == self._source, _entity.c.entity_id.in_(part)
                    )
                    self._ages |= dict(connection.execute(query).tuples().all())
        return {entity: self._ages[entity] for entity in wanted & self._ages.keys()}

    def has(self, entity: str) -> bool:
        """Whether there is, or ever was, an entity with this id."""
        return bool(self.ages([entity]))

    def last(self) -> tuple[int, int]:
        """The highest number under which a record was first seen, and the highest age of an entity."""
        seen = sa.select(sa.func.max(_member.c.seen)).filter_by(source=self._source)
        age = sa.select(sa.func.max(_entity.c.age)).filter_by(source=self._source)
        with self._ledger.reading() as connection:
            return connection.scalar(seen) or 0, connection.scalar(age) or 0

    def _look_up(self, column: sa.ColumnElement[str], values: Collection[str]) -> list[Any]:
        found: list[Any] = []
        if not values:
            return found
        with self._ledger.reading() as connection:
            for part in batched(sorted(values), LOOK_UP):
                query = sa.select(_member).where(_member.c.source == self._source, column.in_(part))
                found += connection.execute(query)
        self._rows |= {row.document_id: row for row in found}
        return found
