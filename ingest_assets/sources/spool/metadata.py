"""What Dagster shows of the batches: counts of them, by state, and nothing of what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.model import Markdown
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.sources.spool.waiting import waiting

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def batches_metadata(bench: Workbench) -> dict[str, Any]:
    """Batches by status, those that wait at a gate or in `incoming`, and the records that were processed."""
    counted = _counted(bench)
    found = waiting(Spool.of(bench.settings_of(SpoolSettings)))
    counts: Counter[str] = Counter()
    for each in counted:
        counts[each.status] += each.batches
    rows = [f"| {status} | {count:,} |" for status, count in sorted(counts.items())]
    return {
        "batches": counts.total(),
        "by_status": Markdown("\n".join(["| status | batches |", "|---|---:|", *rows])),
        "locked": sum(each.batches for each in counted if each.gate == "locked"),
        "records_processed": sum(int(each.records) for each in counted),
        "files_waiting": found.files,
        "bytes_waiting": found.bytes,
    }


def _counted(bench: Workbench) -> Sequence[Any]:
    """Batches that are not gone, and their records, by status and gate: one pass over an index."""
    m = _manifest.c
    query = sa.select(
        m.status,
        m.gate,
        sa.func.count().label("batches"),
        sa.func.coalesce(sa.func.sum(m.processed), 0).label("records"),
    )
    with bench.ledger.reading() as connection:
        return connection.execute(query.where(m.gone.is_(None)).group_by(m.status, m.gate)).all()
