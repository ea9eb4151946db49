"""How long batches are kept: by months, so that on Postgres a month's records leave with their partition.

What belongs here: which months are too old, what that means for their batches, and how long what is known of
them is kept. What does not: taking documents out of the index (`stage`), and dropping partitions
(`maintenance`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.sources.spool import manifest, partitions
from ingest_assets.sources.spool.notifier import alerts, outbox
from ingest_assets.sources.spool.notifier.events_log import log_event
from ingest_assets.sources.spool.removing import tombstone
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

DAY_S = 86_400
TOGETHER = 256
PAGE = 1_000  # rows that are deleted together


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
    before = partitions.first_second(oldest)
    count = 0
    while tags := _too_old(bench.ledger, before):
        with bench.ledger.transaction() as connection:
            batches = manifest.find_all_to_change(connection, tags)
            for batch in batches.values():
                if batch.gone is None:  # nobody has removed it meanwhile
                    tombstone(bench, connection, batch, "expired")
        for tag in tags:
            log_event(bench, "batch expired", batch_tag=tag)
        count += len(tags)
    return count


def _too_old(ledger: Ledger, before: float) -> Sequence[str]:
    m = _manifest.c
    old = sa.select(m.batch_tag).where(m.gone.is_(None), m.created_at < before)
    with ledger.reading() as connection:
        # In the order of the index: Postgres does not see that by time it is the same.
        return connection.scalars(old.order_by(m.gone, m.created_at).limit(TOGETHER)).all()


def forget_history(bench: Workbench, now: float) -> None:
    """Delete what is old: announcements, batches that expired, delivered events, causes that never ended.

    Batches that were removed stay for good, or a redelivery would bring them back. The caller holds the
    source's lock.
    """
    ledger = bench.ledger
    _exhaust(lambda: manifest.forget_announcements(ledger, now, PAGE))
    days = bench.settings_of(SpoolSettings).spool_history_days
    if days:
        before = now - days * DAY_S
        # Batches first: their events go with them, and nothing of these need be remembered.
        _exhaust(lambda: _forget_expired(ledger, before))
        _exhaust(lambda: outbox.forget_delivered(ledger, before, PAGE))
        alerts.forget(ledger, before)


def _exhaust(page: Callable[[], int]) -> None:
    """Delete pages, each in its transaction, until one is not full."""
    while page() == PAGE:
        pass


def _forget_expired(ledger: Ledger, before: float) -> int:
    """Delete some rows of batches that expired before a time, with their events. Returns how many."""
    with ledger.transaction() as connection:
        tags = manifest.expired(connection, before, outbox.everybody_was_told(), PAGE)
        outbox.forget_batches(connection, tags)
        manifest.forget(connection, tags)
    return len(tags)


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
