"""What a source left out of the index on purpose, as recorded.

What belongs here: looking it up. What does not: recording it (`stages.records`).
"""

from __future__ import annotations

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.model import SkippedItem
from ingest_assets.stages.hidden import hidden_parts
from ingest_assets.workbench import Workbench


def skipped_items(bench: Workbench, source: str, part: str = "") -> list[SkippedItem]:
    """The skipped items of a source or of one part, by id; none of a hidden part."""
    if part in hidden_parts(bench, source):
        return []
    t = tables.skipped_item
    query = sa.select(t).filter_by(source=source, part=part).order_by(t.c.item_id)
    with bench.ledger.reading() as connection:
        return [
            SkippedItem(row.item_id, row.reason, row.size, row.detail) for row in connection.execute(query)
        ]
