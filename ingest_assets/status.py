"""What the index holds, per source, as the ledger has it. Read only; loads no model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ingest_assets.catalog import CATALOG, CRM, REPOSITORIES
from ingest_assets.ledger import Ledger, tables
from ingest_assets.reconcile import count_parked
from ingest_assets.stages.collection import UNKNOWN


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Counts, and the live generation. `last_success` is when its collection last ran to its end (UTC)."""

    documents: int
    chunks: int
    points: int
    parked: int
    generation: int | None
    fingerprint: str | None
    last_success: str | None


@dataclass(frozen=True, slots=True)
class ParkedItem:
    """One item that waits for its content, or the pipeline, to change."""

    source: str
    stage: str
    item_id: str
    error: str
    attempts: int
    first_at: str
    last_at: str


def status(ledger: Ledger) -> dict[str, Any]:
    """Of every source in use, in the form of `ingest status --json`."""
    return {"sources": {source: asdict(source_status(ledger, source)) for source in sources_in_use(ledger)}}


def sources_in_use(ledger: Ledger) -> list[str]:
    """The CRM, and what else was ever run or has something to run."""
    there = {CRM.name, *_sources_run(ledger)}
    with ledger.reading() as connection:
        if connection.execute(sa.select(tables.repository.c.id).limit(1)).first():
            there.add(REPOSITORIES.name)
    return [name for name in CATALOG if name in there]


def sources_to_search(ledger: Ledger) -> list[str]:
    """Those that are published: one that is indexed for the first time takes nothing from the others.

    Where none is, those that were ever run, or the CRM: for something has to be there to be searched.
    """
    live = sa.select(tables.generation.c.collection).filter_by(state="live")
    with ledger.reading() as connection:
        published = set(connection.scalars(live))
    there = {name for name, spec in CATALOG.items() if spec.collection in published} or _sources_run(ledger)
    return [name for name in CATALOG if name in there] or [CRM.name]


def _sources_run(ledger: Ledger) -> set[str]:
    with ledger.reading() as connection:
        return set(connection.scalars(sa.select(tables.stage.c.source).distinct()))


def source_status(ledger: Ledger, source: str) -> SourceStatus:
    """Of one source."""
    name = CATALOG[source].collection
    live = {"collection": name, "state": "live"}
    stage = {"source": source, "stage": "collection"}
    with ledger.reading() as connection:
        generation = connection.execute(sa.select(tables.generation).filter_by(**live)).one_or_none()
        number = generation.number if generation else None
        acknowledged = tables.point.c.chunk_digest != UNKNOWN
        points = {"collection": name, "generation": number}
        return SourceStatus(
            documents=_count(connection, tables.document, source=source),
            chunks=_count(connection, tables.chunk, source=source),
            points=_count(connection, tables.point, acknowledged, **points),
            parked=count_parked(connection, source),
            generation=number,
            fingerprint=generation.fingerprint if generation else None,
            last_success=_when(connection.scalar(sa.select(tables.stage.c.last_success).filter_by(**stage))),
        )


def parked_items(ledger: Ledger, source: str, limit: int = 100) -> list[ParkedItem]:
    """What is parked, the latest first."""
    query = sa.select(tables.parked).filter_by(source=source)
    query = query.order_by(tables.parked.c.last_at.desc(), tables.parked.c.item_id).limit(limit)
    with ledger.reading() as connection:
        return [
            ParkedItem(
                row.source,
                row.stage,
                row.item_id,
                row.error,
                row.attempts,
                _when(row.first_at) or "",
                _when(row.last_at) or "",
            )
            for row in connection.execute(query)
        ]


def _count(
    connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool], **where: Any
) -> int:
    query = sa.select(sa.func.count()).select_from(table).filter_by(**where).where(*conditions)
    return connection.scalar(query) or 0


def _when(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
