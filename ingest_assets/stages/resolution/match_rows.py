"""Lookups of blocks, pairs and identities in the ledger, for entity resolution.

What belongs here: queries for many ids at a time. Nothing is written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from ingest_assets.entities import Features, block_keys, cut_blocks, features_of, without_shared
from ingest_assets.entities.clusters import Pair
from ingest_assets.ledger import tables
from ingest_assets.ledger.store import batched
from ingest_assets.model import Identity, IdentityKind, digest_of
from ingest_assets.stages.document_rows import identity_of

LOOK_UP = 5_000  # ids per query
BATCH = 2_000

_document, _block, _pair = tables.document, tables.match_block, tables.match_pair


def block_number(key: str) -> int:
    """A block's key as the ledger has it: the first 8 bytes of its digest."""
    return int.from_bytes(bytes.fromhex(digest_of(key)[:16]), "big", signed=True)


def blocks_of(features: Features) -> set[int]:
    """The blocks that a record is in."""
    return {block_number(key) for key in block_keys(features)}


@dataclass(frozen=True, slots=True)
class MatchRows:
    """One source's rows, in one consistent state."""

    source: str
    connection: sa.Connection

    def features(self, ids: Iterable[str]) -> dict[str, Features]:
        """The features of records, by document id. Other documents are left out."""
        wanted = sorted(ids)
        return {
            f.id: f
            for part in batched(wanted, LOOK_UP)
            for f in self._features(_document.c.document_id.in_(part))
        }

    def all_features(self, kind: IdentityKind) -> Iterator[Features]:
        """The features of every record of a kind."""
        return (f for f in self._features(sa.true()) if f.kind == kind)

    def _features(self, where: sa.ColumnElement[bool]) -> Iterator[Features]:
        query = sa.select(_document.c.document_id, _document.c.identity).where(
            _document.c.source == self.source, _document.c.identity.is_not(None), where
        )
        for row in self.connection.execution_options(yield_per=BATCH).execute(query):
            yield features_of(row.document_id, identity_of(json.loads(row.identity)))

    def as_compared(self, identities: Mapping[str, Identity]) -> dict[str, Features]:
        """Features as they are compared: without the values that too many others share."""
        features = {key: features_of(key, identity) for key, identity in identities.items()}
        cut = self.cut({key for each in features.values() for key in block_keys(each)})
        return {key: without_shared(each, cut) for key, each in features.items()}

    def cut(self, keys: Iterable[str], now: Mapping[int, int] = MappingProxyType({})) -> dict[str, int]:
        """The blocks that are too large to use, with their sizes. `now` overrides recorded sizes."""
        numbers = {key: block_number(key) for key in keys}
        sizes = {**self.sizes(set(numbers.values())), **now}
        return cut_blocks({key: sizes.get(number, 0) for key, number in numbers.items()})

    def recorded_blocks(self, ids: Iterable[str]) -> dict[str, set[int]]:
        """The blocks that records are recorded in."""
        found: dict[str, set[int]] = defaultdict(set)
        for row in self._look_up(_block, _block.c.document_id, ids):
            found[row.document_id].add(row.block)
        return found

    def members(self, blocks: Iterable[int]) -> set[str]:
        """The records in any of the blocks."""
        return {row.document_id for row in self._look_up(_block, _block.c.block, blocks)}

    def sizes(self, blocks: Iterable[int]) -> dict[int, int]:
        """How many records each block has. Empty blocks are left out."""
        sizes: dict[int, int] = {}
        for part in batched(sorted(blocks), LOOK_UP):
            query = sa.select(_block.c.block, sa.func.count()).where(
                _block.c.source == self.source, _block.c.block.in_(part)
            )
            sizes |= dict(self.connection.execute(query.group_by(_block.c.block)).tuples().all())
        return sizes

    def pairs(self, ids: Collection[str] | None = None) -> set[Pair]:
        """The pairs that include any of the records, or all pairs."""
        if ids is None:
            query = sa.select(_pair).filter_by(source=self.source)
            return {(row.left, row.right, row.weight) for row in self.connection.execute(query)}
        sides = (_pair.c.left, _pair.c.right)
        return {
            (row.left, row.right, row.weight) for side in sides for row in self._look_up(_pair, side, ids)
        }

    def _look_up(
        self, table: sa.Table, column: sa.ColumnElement[Any], values: Iterable[Any]
    ) -> Iterator[Any]:
        for part in batched(sorted(values), LOOK_UP):
            yield from self.connection.execute(
                sa.select(table).where(table.c.source == self.source, column.in_(part))
            )
