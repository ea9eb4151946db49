"""What Dagster shows of the batches: counts of them, by state, and nothing of what is in them."""

from __future__ import annotations

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
    m = _manifest.c
    here = m.gone.is_(None)
    by_status = sa.select(m.status, sa.func.count().label("batches")).where(here).group_by(m.status)
    with bench.ledger.reading() as connection:
        counts: dict[str, int] = {row.status: row.batches for row in connection.execute(by_status)}
        locked = connection.scalar(sa.select(sa.func.count()).where(here, m.gate == "locked")) or 0
        records = connection.scalar(sa.select(sa.func.sum(m.processed)).where(here)) or 0
    found = waiting(Spool.of(bench.settings_of(SpoolSettings)))
    rows = [f"| {status} | {count:,} |" for status, count in sorted(counts.items())]
    return {
        "batches": sum(counts.values()),
        "by_status": Markdown("\n".join(["| status | batches |", "|---|---:|", *rows])),
        "locked": locked,
        "records_processed": int(records),
        "files_waiting": found.files,
        "bytes_waiting": found.bytes,
    }
