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
from ingest_assets.sources.spool import manifest, partitions
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.settings import BATCHES, NAME
from ingest_assets.stages.shapes import COLLECTION, AssetCheck, CheckResult

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

LISTED = 20
TOGETHER = 256  # announcements that are looked at together
LATE_S = 3_600  # a listener that was down for less is no finding

_document, _chunk, _point = tables.document, tables.chunk, tables.point
_tag = _manifest.c.batch_tag


def _not_whole() -> sa.Select[Any]:
    """Archived batches that lack documents; whether these have points, other checks tell."""
    there = sa.select(sa.func.count()).where(_document.c.source == NAME, _document.c.part == _tag)
    differs = there.scalar_subquery() != _manifest.c.total_records - _manifest.c.skipped
    return sa.select(_tag).where(_manifest.c.status == "success", _manifest.c.wanted.is_(True), differs)


_ARCHIVED = "Archived, but not whole in the index", "Every one is."


def _archived_batches_are_indexed(bench: Workbench, _source: str) -> CheckResult:
    return _listed(bench, _not_whole(), _tag, *_ARCHIVED)


def _changed_batches_are_indexed(bench: Workbench, _source: str) -> CheckResult:
    return _of_changes(bench, "archived_batches_are_indexed", _not_whole(), *_ARCHIVED)


def _counts_add_up(bench: Workbench, _source: str) -> CheckResult:
    differing = _manifest.c.processed != _manifest.c.total_records - _manifest.c.skipped
    # As the index has it: a parameter would not be recognised as the same condition.
    settled = _manifest.c.status == sa.literal_column("'success'")
    said = "More or fewer records were processed than their files have"
    query = sa.select(_tag).where(settled, differing)
    result = _listed(bench, query, _tag, said, "All records are accounted for.")
    return result._replace(sentence=f"{result.sentence}{_not_indexed(bench)}")


def _not_indexed(bench: Workbench) -> str:
    """Batches that are not in the index, and where to look, for who reads that a run went well."""
    here = sa.select(sa.func.count()).where(_manifest.c.gone.is_(None))
    with bench.ledger.reading() as connection:
        failed = connection.scalar(here.where(_manifest.c.status == "failed"))
        locked = connection.scalar(here.where(_manifest.c.gate == "locked", _manifest.c.status == "queued"))
    if not (failed or locked):
        return ""
    return f" Batches failed: {failed:,}, at a locked gate: {locked:,} (`ingest spool list`)."


def _lacking_records() -> sa.Select[Any]:
    """Batches that should be found, and whose documents cannot be made from what is in the ledger."""
    # With the time, so that one partition is read.
    mine = (_record.c.created_at == _manifest.c.created_at, _record.c.batch_tag == _tag)
    there = sa.select(sa.func.count()).where(*mine).scalar_subquery()
    lacks = there != _manifest.c.total_records - _manifest.c.skipped
    return sa.select(_tag).where(_manifest.c.loaded.is_(True), lacks)


_RECORDS = (
    "Records are missing from the ledger: `ingest build --source spool` loads them again from the archive",
    "All of them are there.",
)


def _records_are_there(bench: Workbench, _source: str) -> CheckResult:
    return _with_partitions(bench, _listed(bench, _lacking_records(), _tag, *_RECORDS))


def _records_of_changes_are_there(bench: Workbench, _source: str) -> CheckResult:
    return _with_partitions(bench, _of_changes(bench, "records_are_there", _lacking_records(), *_RECORDS))


def _with_partitions(bench: Workbench, result: CheckResult) -> CheckResult:
    with bench.ledger.reading() as connection:
        lost = sorted(partitions.lost(connection))
    if not lost:
        return result
    said = f"Partitions were dropped: {', '.join(lost)}. {result.sentence}"
    return CheckResult(passed=False, sentence=said)


_UNWANTED = "No record of a batch that is locked, or gone, is searchable."


def _nothing_locked_is_there(bench: Workbench, _source: str) -> CheckResult:
    """No record of a locked, failed or removed batch has a document, a chunk or a point."""
    unwanted = sa.select(_tag).where(_manifest.c.wanted.is_(False))
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
    return CheckResult(passed=True, sentence=_UNWANTED)


def _nothing_changed_is_left(bench: Workbench, _source: str) -> CheckResult:
    """The same of the batches that changed. One that a run has yet to withdraw is hidden until then."""
    unwanted = sa.select(_tag).where(_manifest.c.wanted.is_(False))
    left = sa.exists().where(_document.c.source == NAME, _document.c.part == _tag)
    withdrawn = _manifest.c.recorded_with.is_(None)
    return _of_changes(
        bench,
        "nothing_locked_is_searchable",
        unwanted.where(withdrawn, left),
        "Batches with records that should not be searchable",
        _UNWANTED,
        later=unwanted.where(~withdrawn),
    )


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


def _of_changes(
    bench: Workbench,
    check: str,
    query: sa.Select[Any],
    wrong: str,
    right: str,
    later: sa.Select[Any] | None = None,
) -> CheckResult:
    """The same of the batches that changed since this passed; those of `later` are looked at again."""
    after, newest = manifest.seen_by(bench.ledger, check), manifest.newest_event(bench.ledger)
    found: set[str] = set()
    is_early = False
    for tags in manifest.changed_between(bench.ledger, after, newest, TOGETHER):
        with bench.ledger.reading() as connection:
            found |= {*connection.scalars(query.where(_tag.in_(tags)))}
            if later is not None and not is_early:
                is_early = connection.scalar(later.where(_tag.in_(tags)).limit(1)) is not None
    if newest > after and not found and not is_early:
        manifest.note_seen(bench.ledger, check, newest)
    first = sorted(found)[:LISTED]
    said = f"{wrong}: {', '.join(first)}{' …' if len(found) > len(first) else ''}." if found else right
    return CheckResult(not found, said, {"found": len(found)})


SPOOL_CHECKS = (
    AssetCheck(
        name="archived_batches_are_indexed",
        stage=COLLECTION,
        description="Every batch in the archive has all of its records in the index.",
        run=_archived_batches_are_indexed,
        of_changes=_changed_batches_are_indexed,
        quick=False,
    ),
    AssetCheck(
        name="counts_add_up",
        stage=BATCHES,
        description="The records processed of each batch are those of its file, without those without text.",
        run=_counts_add_up,
    ),
    AssetCheck(
        name="records_are_there",
        stage=BATCHES,
        description="The ledger has the records of every batch in the index, and no partition is lost.",
        run=_records_are_there,
        of_changes=_records_of_changes_are_there,
        quick=False,
    ),
    AssetCheck(
        name="nothing_locked_is_searchable",
        stage=COLLECTION,
        description="No record of a batch that is locked, failed, removed or expired is in the index.",
        run=_nothing_locked_is_there,
        of_changes=_nothing_changed_is_left,
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
