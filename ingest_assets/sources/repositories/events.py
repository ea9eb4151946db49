"""The events of a job from what the stages have recorded: nothing is read or chunked a second time.

A file that is parked is told of as skipped, as soon as that is known. What is kept of an earlier version of
it is not told: it is not what the job has read.

What belongs here: rows of files and chunks as events. What does not: a repository as a stream of events
without a ledger (`streaming`).
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from ingest_assets.jobs.events import (
    UNKNOWN_LANGUAGE,
    UNREAD_REASON,
    Draft,
    file_detected,
    file_skipped,
    started,
)
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import batched, pages
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.sources.repositories.settings import NAME
from ingest_assets.sources.repositories.streaming import byte_length, chunk_events
from ingest_assets.stages.chunks import recorded_chunks as chunks_on_record

if TYPE_CHECKING:
    from ingest_assets.jobs.events import SkipReason
    from ingest_assets.jobs.rows import Job
    from ingest_assets.model import SkippedItem
    from ingest_assets.workbench import Workbench

FILES, CHUNKS = "files", "chunks"  # the stages that park files
PAGE = 100  # files, whose texts are read for their sizes
_document, _skipped, _parked = tables.document, tables.skipped_item, tables.parked


def begun(bench: Workbench, job: Job) -> Iterator[Draft]:
    """The commit is known."""
    repositories = repositories_of(bench)
    yield started(job.repo_path, job.git_ref, repositories.head(repositories.get(job.repository_id)))


def read_files(
    bench: Workbench, job: Job, ids: Sequence[str], skipped: Sequence[SkippedItem]
) -> Iterator[Draft]:
    """Files that were just read, in the order of the paths, detected and perhaps skipped."""
    part = job.repository_id
    found = heapq.merge(_these(bench.ledger, part, ids), _left_out(part, skipped), key=itemgetter(0))
    for _, drafts in found:
        yield from drafts


def recorded_files(bench: Workbench, job: Job) -> Iterator[Draft]:
    """Each file on record, in the order of the paths, detected and perhaps skipped."""
    part = job.repository_id
    for _, drafts in heapq.merge(
        _files(bench.ledger, part), _skips(bench.ledger, part), _refused(bench.ledger, part)
    ):
        yield from drafts


def recorded_chunks(bench: Workbench, job: Job, after: str, until: str | None) -> Iterator[Draft]:
    """The files between two ids that could not be cut, skipped; then each chunk of the others, in order."""
    ledger, part = bench.ledger, job.repository_id
    refused, uncut = _parked_between(ledger, part, after, until)
    for document_id, language in uncut:
        yield file_skipped(_path(document_id, part), UNREAD_REASON, language)
    yield from chunk_events(
        each for each in chunks_on_record(ledger, NAME, part, after, until) if each.document_id not in refused
    )


_FileEvents = tuple[str, list[Draft]]  # a path, by which they are ordered, and its events


def _these(ledger: Ledger, part: str, ids: Sequence[str]) -> Iterator[_FileEvents]:
    """Files by their ids. One that is no document, or is parked, could not be read as text."""
    for batch in batched(ids, PAGE):
        query = _read(part).where(_document.c.document_id.in_(batch))
        with ledger.reading() as connection:
            rows = {row.document_id: row for row in connection.execute(query)}
        for document_id in batch:
            if document_id in rows:
                yield _file(rows[document_id], part)
            else:
                yield _unreadable(_path(document_id, part))


def _left_out(part: str, skipped: Sequence[SkippedItem]) -> Iterator[_FileEvents]:
    for each in skipped:
        path = _path(each.id, part)
        yield path, [file_detected(path, size_bytes=each.size or 0), file_skipped(path, _reason(each.reason))]


def _file(row: Any, part: str) -> _FileEvents:
    attributes = json.loads(row.attributes)
    path = _path(row.document_id, part)
    size = byte_length(row.body, attributes["encoding"])
    return path, [file_detected(path, attributes["language"], size)]


def _unreadable(path: str) -> _FileEvents:
    return path, [file_detected(path, UNKNOWN_LANGUAGE), file_skipped(path, UNREAD_REASON)]


def _reason(reason: str) -> SkipReason:
    return cast("SkipReason", reason)


def _read(part: str) -> sa.Select[Any]:
    """The documents that are what was read last."""
    parked = _parked_in(FILES, part).where(_parked.c.item_id == _document.c.document_id).exists()
    columns = (_document.c.document_id, _document.c.body, _document.c.attributes)
    return sa.select(*columns).filter_by(source=NAME, part=part).where(~parked)


def _files(ledger: Ledger, part: str) -> Iterator[_FileEvents]:
    for page in pages(ledger, _read(part), _document.c.document_id, PAGE):
        for row in page:
            yield _file(row, part)


def _skips(ledger: Ledger, part: str) -> Iterator[_FileEvents]:
    query = sa.select(_skipped).filter_by(source=NAME, part=part)
    for page in pages(ledger, query, _skipped.c.item_id, PAGE):
        for row in page:
            path = _path(row.item_id, part)
            yield path, [file_detected(path, size_bytes=row.size or 0), file_skipped(path, row.reason)]


def _refused(ledger: Ledger, part: str) -> Iterator[_FileEvents]:
    """Files that cannot be read as text."""
    for page in pages(ledger, _parked_in(FILES, part), _parked.c.item_id, PAGE):
        for row in page:
            yield _unreadable(_path(row.item_id, part))


def _parked_between(
    ledger: Ledger, part: str, after: str, until: str | None
) -> tuple[set[str], list[tuple[str, str]]]:
    """The ids of parked files, and (id, language) of those among them that were read but not cut."""
    document_id = _document.c.document_id
    query = (
        sa.select(_parked.c.stage, document_id, _document.c.attributes)
        .join(_document, sa.and_(_document.c.source == _parked.c.source, document_id == _parked.c.item_id))
        .where(
            _document.c.source == NAME,
            _document.c.part == part,
            _parked.c.stage.in_((FILES, CHUNKS)),
            _parked.c.item_id > after,
        )
    )
    if until is not None:
        query = query.where(_parked.c.item_id <= until)
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(document_id)).all()
    refused = {row.document_id for row in rows if row.stage == FILES}
    uncut = {row.document_id: json.loads(row.attributes)["language"] for row in rows if row.stage == CHUNKS}
    return refused | uncut.keys(), [each for each in uncut.items() if each[0] not in refused]


def _parked_in(stage: str, part: str) -> sa.Select[Any]:
    return sa.select(_parked.c.item_id).filter_by(source=NAME, stage=stage, part=part)


def _path(document_id: str, part: str) -> str:
    return document_id.removeprefix(f"{part}/")
