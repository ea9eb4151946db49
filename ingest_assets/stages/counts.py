"""How much of a source is on record.

What belongs here: counts of rows that stages recorded. What does not: how an interface shows them.
"""

from __future__ import annotations

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables


def recorded(ledger: Ledger, source: str) -> tuple[int, int]:
    """The numbers of documents and chunks."""
    with ledger.reading() as connection:
        documents, chunks = (
            connection.scalar(sa.select(sa.func.count()).select_from(table).filter_by(source=source)) or 0
            for table in (tables.document, tables.chunk)
        )
    return documents, chunks
