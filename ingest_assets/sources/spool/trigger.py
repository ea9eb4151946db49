"""When a refresh of the spool is due."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.model import IngestError, digest_of
from ingest_assets.sources.definition import Due
from ingest_assets.sources.spool import files, manifest
from ingest_assets.sources.spool.kept_answers import forget_answers_left
from ingest_assets.sources.spool.notifier.delivery import deliver
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.sources.spool.source import batch_source, fingerprint_of
from ingest_assets.sources.spool.waiting import Waiting, waiting

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

DELIVERY_S = 10.0  # of a tick, for what could not be delivered, or deleted in Redis, before
LOOKED_AT = 100


def due(bench: Workbench) -> Due:
    """Whether enough has gathered, or a batch waits for nothing but a run; and deliver what waits."""
    settings = bench.settings_of(SpoolSettings)
    with suppress(IngestError):  # a wrong template, say, which runs and the doctor report, stops no batch
        deliver(bench, budget_s=DELIVERY_S)
    forget_answers_left(bench, DELIVERY_S)
    spool = Spool.of(settings)
    found = waiting(spool)
    reason = _pending(bench) or _gathered(found, settings)
    if reason is None:
        return Due(_not_yet(found, settings))
    return Due(reason, digest_of(*files.listing(spool), "", *_state(bench), "", _recorded_with(bench)))


def watched(bench: Workbench) -> Sequence[Path]:
    """The folder in which producers put batches."""
    spool = Spool.of(bench.settings_of(SpoolSettings))
    spool.prepare()
    return (spool.incoming,)


def _pending(bench: Workbench) -> str | None:
    """Why a run has something to do, whatever waits in `incoming`."""
    m = _manifest
    purging = sa.select(m.c.batch_tag).where(m.c.purge, m.c.wanted.is_(False))
    with bench.ledger.reading() as connection:
        if leaving := next(manifest.unwanted(connection, 1), None):
            return f"the batch {leaving.batch_tag} has to leave the index"
        if ready := manifest.on_their_way(connection, 1):
            return f"the batch {ready[0].batch_tag} is ready"
        if tag := connection.scalar(purging.limit(1)):
            return f"what the batch {tag} left in files has to be purged"
    # Others may be personal by now: they must not wait for a file to come.
    others = manifest.recorded_otherwise(bench.ledger, _recorded_with(bench), wanted=True, size=1)
    if (page := next(others, None)) is not None:
        return f"the batch {page[0].batch_tag} was recorded with other settings"
    return None


def _recorded_with(bench: Workbench) -> str:
    """What documents of batches are recorded with by the present settings."""
    return fingerprint_of(
        batch_source(bench, "").made_with, bench.settings_of(SpoolSettings).personal_sources
    )


def _gathered(found: Waiting, settings: SpoolSettings) -> str | None:
    if not found.whole:  # a run could take none
        return None
    if found.files >= settings.spool_min_files:
        return f"{found.files} files are waiting, and SPOOL_MIN_FILES is {settings.spool_min_files}"
    if found.bytes >= settings.spool_min_bytes:
        return f"{found.bytes:,} bytes are waiting, and SPOOL_MIN_BYTES is {settings.spool_min_bytes:,}"
    if found.oldest_age_s >= settings.spool_max_age_s:
        return (
            f"the oldest file has waited for {found.oldest_age_s:.0f} seconds, and SPOOL_MAX_AGE_S is "
            f"{settings.spool_max_age_s:g}"
        )
    return None


def _not_yet(found: Waiting, settings: SpoolSettings) -> str:
    if not found.files:
        return "no file is waiting in the spool"
    if not found.whole:
        return f"none of {found.files} files in the spool is whole yet"
    return (
        f"{found.files} files of {found.bytes:,} bytes are waiting for more, or for the oldest to be "
        f"{settings.spool_max_age_s:g} seconds old ({found.oldest_age_s:.0f} now)"
    )


def _state(bench: Workbench) -> list[Any]:
    """What a run would change in the manifest, so that each state of it requests one run."""
    m = _manifest
    # Each in the order of an index, so that the same state gives the same rows.
    purging = sa.select(m.c.batch_tag, m.c.updated_at).where(m.c.purge, m.c.wanted.is_(False))
    with bench.ledger.reading() as connection:
        rows = [*manifest.on_their_way(connection, LOOKED_AT)]
        rows += islice(manifest.unwanted(connection, LOOKED_AT), LOOKED_AT)
        rows += connection.execute(purging.limit(LOOKED_AT))
    return [f"{row.batch_tag} {row.updated_at}" for row in rows]
