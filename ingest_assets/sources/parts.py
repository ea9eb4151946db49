"""The parts of a source in the ledger: which are known, and forgetting those that are gone.

A part is known from the first run on it until its documents have left the ledger, whether the source still
has it or not. So a part that is gone is run once more, on an empty source, and then forgotten.

What belongs here: rows of parts. What does not: which parts there should be (a source's definition).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.guard_tables import held_removal
from ingest_assets.sources.definition import SourceDefinition

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

# Tables that have rows of a part, besides its documents.
_TABLES = (tables.stage, tables.parked, tables.read_batch, tables.skipped_item, held_removal)


def recorded_parts(ledger: Ledger, source: SourceDefinition) -> set[str]:
    """The parts that a run has looked at and that have not been forgotten yet."""
    t = tables.stage
    query = sa.select(t.c.part).where(
        t.c.source == source.name, t.c.stage == source.documents, t.c.part != ""
    )
    with ledger.reading() as connection:
        return set(connection.scalars(query))


def known_parts(bench: Workbench, source: SourceDefinition) -> list[str]:
    """The parts that should be in the index, and those that still have to leave it, sorted."""
    assert source.partitions is not None, f"{source.name} has no parts"
    wanted = set(source.partitions.parts(bench))
    return sorted(wanted | recorded_parts(bench.ledger, source) | set(source.partitions.leaving(bench)))


def forget_emptied(bench: Workbench, source: SourceDefinition) -> list[str]:
    """Forget the parts that are gone and have no documents left.

    No run may be working on one. Returns them.
    """
    assert source.partitions is not None, f"{source.name} has no parts"
    gone = set(known_parts(bench, source)) - set(source.partitions.parts(bench))
    emptied = sorted(part for part in gone if not count_documents(bench.ledger, source.name, part))
    for part in emptied:
        with bench.ledger.transaction() as connection:
            for table in _TABLES:
                connection.execute(table.delete().where(table.c.source == source.name, table.c.part == part))
        source.partitions.forget(bench, part)
    return emptied


def count_documents(ledger: Ledger, source: str, part: str) -> int:
    """How many documents a part has on record."""
    query = sa.select(sa.func.count()).select_from(tables.document).filter_by(source=source, part=part)
    with ledger.reading() as connection:
        return connection.scalar(query) or 0
