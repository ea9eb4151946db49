"""The standing checks of the spool.

What belongs here: what is checked, and the sentence that says what was found.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.spool_tables import spool_record as _record
from ingest_assets.model import when
from ingest_assets.sources.spool import partitions
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.settings import BATCHES, NAME
from ingest_assets.stages.shapes import COLLECTION, AssetCheck, CheckResult

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

LISTED = 20
LATE_S = 3_600  # a listener that was down for less is no finding

_document, _chunk, _point = tables.document, tables.chunk, tables.point


def _archived_batches_are_indexed(bench: Workbench, _source: str) -> CheckResult:
    """Every batch in the archive has all of its documents; whether they have points, other checks tell."""
    counted = (
        sa.select(_document.c.part, sa.func.count().label("count"))
        .where(_document.c.source == NAME)
        .group_by(_document.c.part)
        .subquery()
    )
    joined = _manifest.outerjoin(counted, counted.c.part == _manifest.c.batch_tag)
    found = sa.func.coalesce(counted.c.count, 0)
    query = sa.select(_manifest.c.batch_tag).select_from(joined)
    query = query.where(
        _manifest.c.status == "success",
        _manifest.c.wanted.is_(True),
        found != _manifest.c.total_records - _manifest.c.skipped,
    )
    return _listed(
        bench, query, _manifest.c.batch_tag, "Archived, but not whole in the index", "Every one is."
    )


def _counts_add_up(bench: Workbench, _source: str) -> CheckResult:
    differing = _manifest.c.processed != _manifest.c.total_records - _manifest.c.skipped
    # As the index has it: a parameter would not be recognised as the same condition.
    settled = _manifest.c.status == sa.literal_column("'success'")
    query = sa.select(_manifest.c.batch_tag).where(settled, differing)
    said = "More or fewer records were processed than their files have"
    return _listed(bench, query, _manifest.c.batch_tag, said, "All records are accounted for.")


def _records_are_there(bench: Workbench, _source: str) -> CheckResult:
    """What documents are made from is in the ledger, for each batch that should be found."""
    counted = (
        sa.select(_record.c.batch_tag, sa.func.count().label("count"))
        .group_by(_record.c.batch_tag)
        .subquery()
    )
    joined = _manifest.outerjoin(counted, counted.c.batch_tag == _manifest.c.batch_tag)
    query = sa.select(_manifest.c.batch_tag).select_from(joined)
    query = query.where(
        _manifest.c.loaded.is_(True),
        sa.func.coalesce(counted.c.count, 0) != _manifest.c.total_records - _manifest.c.skipped,
    )
    said = (
        "Records are missing from the ledger: `ingest build --source spool` loads them again from the archive"
    )
    result = _listed(bench, query, _manifest.c.batch_tag, said, "All of them are there.")
    with bench.ledger.reading() as connection:
        lost = sorted(partitions.lost(connection))
    if lost:
        return CheckResult(
            passed=False, sentence=f"Partitions were dropped: {', '.join(lost)}. {result.sentence}"
        )
    return result


def _nothing_locked_is_there(bench: Workbench, _source: str) -> CheckResult:
    """No record of a locked, failed or removed batch has a document, a chunk or a point."""
    unwanted = sa.select(_manifest.c.batch_tag).where(_manifest.c.wanted.is_(False))
    documents = sa.select(_document.c.document_id).where(
        _document.c.source == NAME, _document.c.part.in_(unwanted)
    )
    orphans = sa.select(_chunk.c.document_id).where(
        _chunk.c.source == NAME,
        ~sa.exists().where(_document.c.source == NAME, _document.c.document_id == _chunk.c.document_id),
    )
    points = sa.select(_point.c.document_id).where(
        _point.c.collection == bench.sources[NAME].collection,
        ~sa.exists().where(_document.c.source == NAME, _document.c.document_id == _point.c.document_id),
    )
    for query, column in (
        (documents, _document.c.document_id),
        (orphans, _chunk.c.document_id),
        (points, _point.c.document_id),
    ):
        result = _listed(bench, query, column, "These should not be searchable", "")
        if not result.passed:
            return result
    return CheckResult(passed=True, sentence="No record of a batch that is locked, or gone, is searchable.")


def _everybody_was_told(bench: Workbench, _source: str) -> CheckResult:
    """The outbox is empty, or says why not."""
    state = outbox.state_of(bench.ledger)
    if state.dead:
        said = (
            f"{state.dead:,} events could not be delivered, and were put aside. "
            "`ingest spool deliver --again` tries them again."
        )
        return CheckResult(passed=False, sentence=said, metadata={"dead": state.dead})
    if state.since is not None and state.since < time.time() - LATE_S:
        said = f"Events wait since {when(state.since)}: {state.error or 'not tried yet'}."
        return CheckResult(passed=False, sentence=said)
    return CheckResult(passed=True, sentence="Every event was delivered, or is on its way.")


def _listed(
    bench: Workbench, query: sa.Select[Any], key: sa.ColumnElement[str], wrong: str, right: str
) -> CheckResult:
    """Passed if a query gives nothing; else how many there are, and the first ones."""
    with bench.ledger.reading() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
        first = connection.scalars(query.order_by(key).limit(LISTED)).all() if count else []
    said = f"{wrong}: {', '.join(first)}{' …' if count > len(first) else ''}." if count else right
    return CheckResult(count == 0, said, {"found": count})


SPOOL_CHECKS = (
    AssetCheck(
        name="archived_batches_are_indexed",
        stage=COLLECTION,
        description="Every batch in the archive has all of its records in the index.",
        run=_archived_batches_are_indexed,
        quick=False,
    ),
    AssetCheck(
        name="counts_add_up",
        stage=BATCHES,
        description="The records processed of each batch are those of its file, without those without text.",
        run=_counts_add_up,
        quick=False,
    ),
    AssetCheck(
        name="records_are_there",
        stage=BATCHES,
        description="The ledger has the records of every batch in the index, and no partition is lost.",
        run=_records_are_there,
        quick=False,
    ),
    AssetCheck(
        name="nothing_locked_is_searchable",
        stage=COLLECTION,
        description="No record of a batch that is locked, failed, removed or expired is in the index.",
        run=_nothing_locked_is_there,
        quick=False,
    ),
    AssetCheck(
        name="everybody_was_told",
        stage=BATCHES,
        description="The listener at GATE_URL was told of every batch.",
        run=_everybody_was_told,
        warns=True,
    ),
)
