"""How a batch ends: in the archive, once the store has acknowledged all of its records; or in `failed`.

What belongs here: the end of a batch, and what is announced with it. What does not: what is written on the
way (`stage`), and how people and programs are told (`notifier`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.ledger.plans import looked_up
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.store import pages
from ingest_assets.model import NotPublishedError, UnavailableError
from ingest_assets.sources.spool import files, manifest, partitions, vectors
from ingest_assets.sources.spool.failing import put_aside, unindexed
from ingest_assets.sources.spool.kept_answers import forget_answers, forget_answers_left
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.notifier.delivery import deliver
from ingest_assets.sources.spool.notifier.events_log import log_event
from ingest_assets.sources.spool.notifier.failures import end_cause, record_failure
from ingest_assets.sources.spool.places import SUFFIX, Spool
from ingest_assets.sources.spool.settings import NAME, SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

TOGETHER = 256  # batches in one transaction
DELIVERY_S = 5.0  # a listener that is slow delays a run by no more; the sensor goes on with it

_document, _chunked, _chunk, _point = tables.document, tables.chunked, tables.chunk, tables.point


def settle(bench: Workbench) -> None:
    """End the batches that are in the index, rewrite files that held personal data, and tell the listener."""
    spool = Spool.of(bench.settings_of(SpoolSettings))
    with bench.ledger.lock(NAME, bench.settings.ingest_lock_timeout_s):
        _forget_leaving(bench)
        _settle_batches(bench, spool)
    forget_answers_left(bench)
    _purge(bench)
    deliver(bench, budget_s=DELIVERY_S)


def fail(bench: Workbench, spool: Spool, batch_tag: str, reason: str, error: str) -> None:
    """A batch cannot be in the index: none of its records will be. Its file goes to `failed`, with a note."""
    with spool.lock():
        with bench.ledger.transaction() as connection:
            batch = manifest.find_to_change(connection, batch_tag)
            if batch is None or batch.gone is not None:  # it was removed meanwhile
                return
            partitions.clear(connection, batch)
            there = files.find(spool, batch)
            if there is not None and there.parent == spool.archive:  # where nobody would look for it again
                there = spool.processing / spool.move(there.name, spool.archive, spool.processing)
            wanted = batch.file or f"{batch_tag}{SUFFIX}"  # of the note, if the file is lost
            name = files.free(connection, wanted, [spool.failed], but=batch_tag)
            facts = {"status": "failed", "reason": reason, "error": error, "file": name}
            if batch.status == "queued":  # it failed before anything was written
                facts["attempts"] = batch.attempts + 1
            end(bench, connection, batch, wanted=False, loaded=False, **facts)
        try:
            put_aside(
                bench,
                there,
                as_name=name,
                batch_tag=batch_tag,
                error=error,
                delivered=json.loads(batch.files)[-1],
                cause=unindexed(reason, batch.source),
                reason=reason,
            )
        except UnavailableError:
            # Such as a full disk. Other batches go on; the next run does it, or says why not.
            log_event(bench, "batch.not_moved", batch_tag=batch_tag)


def _forget_leaving(bench: Workbench) -> None:
    """The points of batches that were withdrawn are gone: the collection is in step with the documents."""
    left = (_manifest.c.wanted.is_(False), _manifest.c.recorded_with == manifest.LEAVING)
    with bench.ledger.transaction() as connection:
        connection.execute(_manifest.update().where(*left).values(recorded_with=None))


def _settle_batches(bench: Workbench, spool: Spool) -> None:
    live = _live(bench)
    query = sa.select(_manifest).where(_manifest.c.status == "processing", _manifest.c.wanted.is_(True))
    for page in pages(bench.ledger, query, _manifest.c.batch_tag, TOGETHER):
        whole, lacking = _whole_and_lacking(bench, [row for row in page if row.loaded], live)
        _archive(bench, spool, whole)
        for batch in lacking:
            if _is_parked(bench, batch):
                # What the model said may quote a record, and stays in the list of parked items.
                error = "Some of its records cannot be indexed: `ingest parked --source spool` says why."
                fail(bench, spool, batch.batch_tag, manifest.FAILED, error)


def _archive(bench: Workbench, spool: Spool, batches: Sequence[Any]) -> None:
    # Files first: whoever is told of a batch finds it in the archive. If this stops in between, the next run
    # finds the file there.
    archived = files.to_archive(bench, spool, batches)
    with bench.ledger.transaction() as connection:
        rows = manifest.find_all_to_change(connection, [batch.batch_tag for batch in batches])
        for batch in batches:
            now = rows.get(batch.batch_tag)
            if now is None or not now.wanted:  # its gate was closed, or it was removed, meanwhile
                manifest.mark(connection, batch.batch_tag, file=archived.get(batch.batch_tag, ""))
                continue
            end(
                bench,
                connection,
                batch,
                status="success",
                reason=_reason(batch),
                processed=batch.total_records - batch.skipped,
                error=None,
                file=archived.get(batch.batch_tag, ""),
            )
    for batch in batches:
        log_event(bench, "batch indexed", batch_tag=batch.batch_tag, records=batch.total_records)
        _say_unused_vectors(bench, batch)
    for source in {batch.source for batch in batches}:
        for reason in (manifest.FAILED, manifest.OTHER, manifest.MISSING):
            end_cause(bench, unindexed(reason, source))
    # One whose partition had to be made says nothing of whether it stays there.
    there = [batch.created_at for batch in batches if "healed" not in json.loads(batch.extra)]
    for month in set(map(partitions.month_of, there)):
        end_cause(bench, partitions.cause(month))


def _say_unused_vectors(bench: Workbench, batch: Any) -> None:
    """The batch is in the index all the same, but its producer makes vectors that cannot be used."""
    extra = json.loads(batch.extra)
    if said := vectors.unused(extra):
        reason, cause = _reason(batch), vectors.cause(batch.source)
        record_failure(
            bench, batch_tag=batch.batch_tag, reason=reason, healed=True, message=said, cause=cause
        )
    elif extra.get(vectors.USED):
        end_cause(bench, vectors.cause(batch.source))


def _reason(batch: Any) -> str:
    return manifest.HEALED if "healed" in json.loads(batch.extra) else manifest.SUCCESS


def end(bench: Workbench, connection: sa.Connection, batch: Any, **values: Any) -> None:
    """Settle a batch, and have the listener told."""
    values.setdefault("processed", 0)
    manifest.change(connection, batch.batch_tag, finished_at=time.time(), **values)
    told = {name: values[name] for name in ("status", "reason", "processed")} | {"pii": batch.pii}
    gate_url = bench.settings_of(SpoolSettings).gate_url
    outbox.enqueue(connection, batch.batch_tag, outbox.DONE, told, gate_url=gate_url)


def _whole_and_lacking(
    bench: Workbench, batches: Sequence[Any], live: int | None
) -> tuple[list[Any], list[Any]]:
    """The batches all of whose records have points that the store has acknowledged, and the others."""
    mine = (_document.c.source == NAME, _document.c.part.in_([batch.batch_tag for batch in batches]))
    counted = sa.select(_document.c.part, sa.func.count().label("found")).where(*mine)
    with bench.ledger.reading() as connection:
        found = {row.part: row.found for row in connection.execute(counted.group_by(_document.c.part))}
        lacking = {*connection.scalars(_uncut(mine)), *connection.scalars(_without_point(bench, mine, live))}
    whole: list[Any] = []
    others: list[Any] = []
    for batch in batches:
        is_whole = found.get(batch.batch_tag, 0) == batch.total_records - batch.skipped
        (whole if is_whole and batch.batch_tag not in lacking else others).append(batch)
    return whole, others


def _uncut(mine: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Batches with documents that have no chunks of their present content."""
    is_cut = looked_up(
        _chunked.c.source == _document.c.source,
        _chunked.c.document_id == _document.c.document_id,
        _chunked.c.digest == _document.c.digest,
    )
    return sa.select(_document.c.part).where(*mine, ~is_cut).distinct()


def _without_point(
    bench: Workbench, mine: Sequence[sa.ColumnElement[bool]], live: int | None
) -> sa.Select[Any]:
    """Batches with chunks whose point the store has not acknowledged."""
    has_point = looked_up(
        _point.c.collection == bench.sources[NAME].collection,
        _point.c.generation == live,
        _point.c.chunk_id == _chunk.c.chunk_id,
        _point.c.chunk_digest == _chunk.c.digest,
    )
    own = sa.and_(_chunk.c.source == _document.c.source, _chunk.c.document_id == _document.c.document_id)
    query = sa.select(_document.c.part).select_from(_document.join(_chunk, own))
    return query.where(*mine, ~has_point).distinct()


def _is_parked(bench: Workbench, batch: Any) -> bool:
    """Whether a document, or a text, of a batch was refused."""
    p = tables.parked
    mine = (_document.c.source == NAME, _document.c.part == batch.batch_tag)
    documents = sa.select(p.c.item_id).join(_document, _document.c.document_id == p.c.item_id)
    documents = documents.where(p.c.source == NAME, *mine)
    texts = (
        sa.select(p.c.item_id)
        .join(_chunk, sa.and_(_chunk.c.text_digest == p.c.item_id, _chunk.c.source == NAME))
        .join(_document, sa.and_(_document.c.document_id == _chunk.c.document_id, *mine))
        .where(p.c.source == NAME)
    )
    with bench.ledger.reading() as connection:
        return any(connection.scalar(query.limit(1)) is not None for query in (documents, texts))


def _live(bench: Workbench) -> int | None:
    try:
        return bench.store.live(bench.sources[NAME].collection)
    except NotPublishedError:
        return None


def _purge(bench: Workbench) -> None:
    """Rewrite the index's files if personal data has left the index and may still be in them."""
    from ingest_assets.stages.purging import purge

    left = sa.select(_manifest.c.batch_tag).where(_manifest.c.purge, _manifest.c.recorded_with.is_(None))
    with bench.ledger.reading() as connection:
        tags = connection.scalars(left).all()
    if not tags:
        return
    purge(bench, NAME)
    if not forget_answers(bench):
        return  # the next run does it again
    with bench.ledger.transaction() as connection:
        for tag in tags:
            manifest.mark(connection, tag, purge=False)
