"""How long batches are kept: by months, so that on Postgres a month's records leave with their partition.

What belongs here: which months are too old, and what that means for their batches. What does not: taking
documents out of the index (`stage`), and dropping partitions (`maintenance`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.store import pages
from ingest_assets.sources.spool import manifest, partitions
from ingest_assets.sources.spool.notifier.events_log import log_event
from ingest_assets.sources.spool.removing import tombstone
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

DAY_S = 86_400
TOGETHER = 256


def oldest_month(settings: SpoolSettings, now: float | None = None) -> str | None:
    """The oldest month that is kept; None if all are."""
    if not settings.spool_retention_days:
        return None
    return partitions.month_of((time.time() if now is None else now) - settings.spool_retention_days * DAY_S)


def expire(bench: Workbench, now: float | None = None) -> int:
    """Batches of months that are too old leave archive and index. Returns how many.

    Their files are deleted by `removing.delete_files`.
    """
    oldest = oldest_month(bench.settings_of(SpoolSettings), now)
    if oldest is None:
        return 0
    old = sa.select(_manifest.c.batch_tag).where(
        _manifest.c.gone.is_(None), _manifest.c.created_at < partitions.first_second(oldest)
    )
    count = 0
    for page in pages(bench.ledger, old, _manifest.c.batch_tag, TOGETHER):
        with bench.ledger.transaction() as connection:
            batches = manifest.find_all_to_change(connection, [row.batch_tag for row in page])
            for batch in batches.values():
                tombstone(bench, connection, batch, "expired")
        for row in page:
            log_event(bench, "batch expired", batch_tag=row.batch_tag)
        count += len(page)
    return count


def forget_lost_partitions(ledger: Ledger) -> None:
    """Load the batches again whose records were in a partition that somebody else has dropped."""
    with ledger.transaction() as connection:
        lost = partitions.lost(connection)
        for month in lost:
            low = partitions.first_second(month)
            high = partitions.first_second(partitions.month_after(month))
            mine = (
                _manifest.c.created_at >= low,
                _manifest.c.created_at < high,
                _manifest.c.loaded.is_(True),
            )
            # "" is the fingerprint of no stage: documents are compared with the records again.
            values: dict[str, Any] = {"loaded": False, "recorded_with": ""}
            connection.execute(_manifest.update().where(_manifest.c.gone.is_(None), *mine).values(**values))
        partitions.forget(connection, lost)
        partitions.remember(connection)
