"""Parked items as the ledger has them: what was refused, and why.

Parked items are what other systems call dead letters: they wait for their content, or the pipeline, to
change.

What belongs here: looking them up. What does not: parking (see `reconcile`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import when
from ingest_assets.reconcile import count_parked
from ingest_assets.stages.hidden import shown_parked

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


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


def count_parked_items(ledger: Ledger, source: str) -> int:
    """How many items of a source are parked."""
    with ledger.reading() as connection:
        return count_parked(connection, source)


def parked_items(bench: Workbench, *sources: str, limit: int = 100) -> list[ParkedItem]:
    """The parked items of some sources, or of all, the latest first. Those of hidden parts are left out."""
    t = tables.parked
    shown = sa.or_(*(shown_parked(bench, source) for source in sources or bench.sources))
    query = sa.select(t).where(shown).order_by(t.c.last_at.desc(), t.c.source, t.c.item_id).limit(limit)
    with bench.ledger.reading() as connection:
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
