"""Parked items as the ledger has them: what was refused, and why.

Parked items are what other systems call dead letters: they wait for their content, or the pipeline, to
change.

What belongs here: looking them up. What does not: parking (see `reconcile`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import when
from ingest_assets.reconcile import count_parked


@dataclass(frozen=True, slots=True)
class ParkedItem:
    """One parked item."""

    source: str
    stage: str
    part: str
    item_id: str
    error: str
    attempts: int
    first_at: str
    last_at: str


def parked_items(ledger: Ledger, *sources: str, limit: int = 100) -> list[ParkedItem]:
    """The parked items of some sources, or of all, the latest first."""
    return _items(ledger, sources, limit)


def count_parked_items(ledger: Ledger, source: str) -> int:
    """How many items of a source are parked."""
    with ledger.reading() as connection:
        return count_parked(connection, source)


def _items(ledger: Ledger, sources: Sequence[str], limit: int) -> list[ParkedItem]:
    t = tables.parked
    query = sa.select(t).order_by(t.c.last_at.desc(), t.c.source, t.c.item_id).limit(limit)
    if sources:
        query = query.where(t.c.source.in_(sources))
    with ledger.reading() as connection:
        return [
            ParkedItem(
                row.source,
                row.stage,
                row.part,
                row.item_id,
                row.error,
                row.attempts,
                when(row.first_at),
                when(row.last_at),
            )
            for row in connection.execute(query)
        ]
