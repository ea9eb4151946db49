"""Partitions ahead of time and away after it, and old history away, on a schedule; each run is recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.spool_tables import spool_maintenance as _runs
from ingest_assets.sources.spool import manifest, partitions
from ingest_assets.sources.spool.notifier.events_log import log_event
from ingest_assets.sources.spool.notifier.failures import end_cause, record_failure
from ingest_assets.sources.spool.retention import forget_history, oldest_month
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

CAUSE = "partitions ahead"
HOUR_S = 3_600
KEPT = 1_000  # runs on record


@dataclass(frozen=True, slots=True)
class Maintained:
    """What a run of the maintenance found and did, as months."""

    wanted: Sequence[str]  # partitions that were missing
    made: Sequence[str]
    dropped: Sequence[str]
    error: str | None = None


def maintain(bench: Workbench, *, now: float | None = None, asked: bool = False) -> Maintained | None:
    """Make partitions ahead and drop expired ones, if that is due or asked for. None if it is not due."""
    settings = bench.settings_of(SpoolSettings)
    now = time.time() if now is None else now
    interval_s = settings.spool_maintenance_interval_h * HOUR_S
    last = last_run(bench.ledger)
    # A clock that was set back must not put it off.
    if not asked and last is not None and 0 <= now - last.at < interval_s:
        return None
    if last is not None and now - last.at > (settings.spool_maintenance_alert_after + 1) * interval_s:
        _alert(bench, f"Partitions were not looked after for {(now - last.at) / HOUR_S:.0f} hours.")
    done = _done(bench, settings, now)
    forget_history(bench, now)
    _record(bench, done, now)
    _judge(bench, settings)
    return done


def last_run(ledger: Ledger) -> Any:
    """The last run on record; None if there is none."""
    with ledger.reading() as connection:
        return connection.execute(sa.select(_runs).order_by(_runs.c.number.desc()).limit(1)).one_or_none()


def _done(bench: Workbench, settings: SpoolSettings, now: float) -> Maintained:
    with bench.ledger.transaction() as connection:
        if not partitions.are_used(connection):
            return Maintained((), (), ())
        here = partitions.present(connection)
        month = partitions.month_of(now)
        ahead = [partitions.month_after(month, count) for count in range(settings.spool_partitions_ahead + 1)]
        oldest = oldest_month(settings, now)
        old = [each for each in here if oldest and each < oldest and not _is_in_use(connection, each)]
        dropped = partitions.drop(connection, old)
        wanted = [each for each in ahead if each not in here]
        try:
            return Maintained(wanted, partitions.make(connection, wanted), dropped)
        except partitions.PartitionMissingError as error:
            return Maintained(wanted, error.made, dropped, str(error))


def _is_in_use(connection: sa.Connection, month: str) -> bool:
    """Whether a batch of a month has not expired, or still has documents."""
    low, high = partitions.first_second(month), partitions.first_second(partitions.month_after(month))
    here = (_manifest.c.created_at >= low, _manifest.c.created_at < high)
    kept = sa.select(_manifest.c.batch_tag).where(*here, _manifest.c.gone.is_(None))
    gone = _manifest.c.gone.in_(("removed", "expired"))
    left = sa.select(_manifest.c.batch_tag).where(*here, gone, manifest.has_documents())
    left = left.where(_manifest.c.recorded_with != manifest.LEAVING)
    return any(connection.execute(query.limit(1)).first() is not None for query in (kept, left))


def _record(bench: Workbench, done: Maintained, now: float) -> None:
    with bench.ledger.transaction() as connection:
        number = (connection.scalar(sa.select(sa.func.max(_runs.c.number))) or 0) + 1
        row = {name: json.dumps(list(getattr(done, name))) for name in ("wanted", "made", "dropped")}
        connection.execute(_runs.insert().values(number=number, at=now, error=done.error, **row))
        connection.execute(_runs.delete().where(_runs.c.number <= number - KEPT))
    for month in done.made:
        log_event(bench, "partition.made", month=month)
    for month in done.dropped:
        log_event(bench, "partition.dropped", month=month)
    if done.error:
        log_event(bench, "partition.not_made", level="error")


def _judge(bench: Workbench, settings: SpoolSettings) -> None:
    """Alert when none of the last runs made all partitions that were missing."""
    after = settings.spool_maintenance_alert_after
    with bench.ledger.reading() as connection:
        rows = connection.execute(sa.select(_runs).order_by(_runs.c.number.desc()).limit(after + 1)).all()
    in_vain = [bool({*json.loads(row.wanted)} - {*json.loads(row.made)}) for row in rows]
    if len(in_vain) > after and all(in_vain):
        said = f"{len(in_vain)} runs in a row could not make all partitions that were missing."
        _alert(bench, f"{said} {rows[0].error or ''}".strip())
    elif in_vain and not in_vain[0]:
        end_cause(bench, CAUSE)


def _alert(bench: Workbench, message: str) -> None:
    record_failure(bench, batch_tag="", reason=manifest.MISSING, healed=False, message=message, cause=CAUSE)
