"""Documents to chunks in the ledger, one row per chunk."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import MAX_BOUND_VALUES, batched, delete_keys, fetched, pages, upsert
from ingest_assets.model import Chunk, Chunker, Document, IngestError, ItemError, common_of, digest_of
from ingest_assets.reconcile import Delta, Refusal, Run, Step, content_sum, is_parked
from ingest_assets.stages.document_rows import document_of, sorted_json

# Documents are read and cut in batches of at most this many, and this many characters of text.
BATCH = 500
BATCH_CHARS = 4_000_000
# Recorded chunks are read back for this many documents at a time.
READ_BACK = 50

_document, _chunked, _chunk = tables.document, tables.chunked, tables.chunk


@runtime_checkable
class WorksAhead(Protocol):
    """A chunker that may begin with documents before it is asked for their chunks."""

    def expect(self, documents: Sequence[Document]) -> None:
        """What will be asked for next, in this order."""
        ...


@dataclass(frozen=True, slots=True)
class Chunks:
    """Keeps `chunk` in step with `document`. Outcomes count documents.

    A document that the chunker refuses is parked; its last good chunks stay.
    """

    chunker: Chunker
    documents: str  # the stage that chunks are made from
    attributes: Collection[str] = ()  # those of documents and chunks that points carry
    expect: Callable[[Sequence[str]], None] = lambda _texts: None  # called with texts that will be embedded
    name: str = "chunks"
    part: str = ""

    @property
    def source(self) -> str:
        return self.chunker.source

    @property
    def fingerprint(self) -> str:
        return chunks_fingerprint(self.chunker, self.attributes)

    def input_digest(self, connection: sa.Connection) -> str:
        return digest_of(self.fingerprint, content_sum(connection, self.source, self.documents))

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, connection: sa.Connection) -> int:
        query = sa.select(sa.func.count()).select_from(_chunked).filter_by(source=self.source)
        return connection.scalar(query) or 0

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        for keys in self._pages(ledger, run):
            for last, rows in self._rows(ledger, keys):
                yield from self._made(rows)
                run.reached(last)
        yield from self._removals(ledger)
        yield Step(self._forget_parked)

    def _made(self, rows: Sequence[Any]) -> Iterator[Step]:
        """Cut documents. One that the chunker refuses is parked, and its chunks stay as they are."""
        made: list[tuple[Any, list[Chunk]]] = []
        refused: list[Refusal] = []
        ends: IngestError | None = None
        documents = [document_of(row) for row in rows]
        if isinstance(self.chunker, WorksAhead):
            self.chunker.expect(documents)
        for row, document in zip(rows, documents, strict=True):
            try:
                made.append((row, self._cut(document)))
            except ItemError as error:
                refused.append(Refusal(row.document_id, row.digest, str(error)))
            except IngestError as error:  # what was done until then counts
                ends = error
                break
        self.expect([chunk.text for _, chunks in made for chunk in chunks])
        yield Step(partial(self._record, made=made, refused=[each.item_id for each in refused]), refused)
        if ends is not None:
            raise ends

    def _cut(self, document: Document) -> list[Chunk]:
        return [merged(document, chunk, self.attributes) for chunk in self.chunker.chunks(document)]

    def _pages(self, ledger: Ledger, run: Run) -> Iterator[Sequence[Any]]:
        """(document_id, size) of the documents whose chunks are missing or out of date."""
        same = sa.exists().where(
            _chunked.c.source == _document.c.source,
            _chunked.c.document_id == _document.c.document_id,
            _chunked.c.digest == _document.c.digest,
            _chunked.c.fingerprint == self.fingerprint,
        )
        query = sa.select(_document.c.document_id, sa.func.length(_document.c.body).label("size")).where(
            _document.c.source == self.source
        )
        wanted = [] if run.rebuild else [~same]
        if not (run.rebuild or run.retry_parked):
            wanted.append(~is_parked(self, _document.c.document_id, _document.c.digest))
        query = (
            query.where(*wanted) if run.again is None else query.where(sa.or_(sa.and_(*wanted), run.again))
        )
        yield from pages(ledger, query, _document.c.document_id, BATCH)

    def _rows(self, ledger: Ledger, page: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
        """The documents of a page, at most BATCH_CHARS (but at least one) at a time, and the last's id."""
        keys: list[str] = []
        chars = 0
        for entry in page:
            if keys and chars + entry.size > BATCH_CHARS:
                yield keys[-1], self._read(ledger, keys)
                keys, chars = [], 0
            keys.append(entry.document_id)
            chars += entry.size
        yield keys[-1], self._read(ledger, keys)

    def _read(self, ledger: Ledger, keys: Sequence[str]) -> Sequence[Any]:
        query = _document.select().where(_document.c.source == self.source, _document.c.document_id.in_(keys))
        with ledger.reading() as connection:
            return fetched(connection.execute(query))

    def _record(
        self, connection: sa.Connection, made: Sequence[tuple[Any, list[Chunk]]], refused: Sequence[str]
    ) -> Delta:
        delta = self._recorded(connection, made)
        # Chunks that were made with other settings cannot stay: a collection is made with the current ones.
        done = self._done(connection, refused)
        mine = self.fingerprint
        foreign = [key for key, (_, fingerprint) in done.items() if fingerprint != mine]
        if foreign:
            removed = self._remove(connection, foreign)
            delta.content += removed.content
            delta.outcomes += removed.outcomes
        return delta

    def _recorded(self, connection: sa.Connection, made: Sequence[tuple[Any, list[Chunk]]]) -> Delta:
        ids = [row.document_id for row, _ in made]
        done = self._done(connection, ids)
        old = self._old_chunks(connection, ids)
        new = {c.id: chunk_row(self.source, row, c) for row, chunks in made for c in chunks}
        delta = Delta(finished=ids)
        gone = [key for key in old if key not in new]
        delete_keys(connection, _chunk, {"source": self.source}, "chunk_id", gone)
        upsert(connection, _chunk, [r for key, r in new.items() if old.get(key) != r["digest"]])
        for key, digest in old.items():
            delta.drop(key, digest)
        for key, chunk in new.items():
            delta.add(key, chunk["digest"])
        fingerprint = self.fingerprint  # a digest: not for each document
        upsert(connection, _chunked, [self._chunked_row(row, fingerprint) for row, _ in made])
        for row, chunks in made:
            if (earlier := done.get(row.document_id)) is None:
                delta.outcomes.added += 1
            elif earlier != (row.digest, fingerprint):
                delta.outcomes.changed += 1
            else:
                continue
            delta.note([f"{row.document_id}: {len(chunks)} chunks"])
        return delta

    def _chunked_row(self, row: Any, fingerprint: str) -> dict[str, str]:
        return {
            "source": self.source,
            "document_id": row.document_id,
            "digest": row.digest,
            "fingerprint": fingerprint,
        }

    def _done(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        query = _chunked.select().where(_chunked.c.source == self.source, _chunked.c.document_id.in_(ids))
        return {row.document_id: (row.digest, row.fingerprint) for row in connection.execute(query)}

    def _old_chunks(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, str]:
        query = sa.select(_chunk.c.chunk_id, _chunk.c.digest).where(
            _chunk.c.source == self.source, _chunk.c.document_id.in_(ids)
        )
        return {row.chunk_id: row.digest for row in connection.execute(query)}

    def _removals(self, ledger: Ledger) -> Iterator[Step]:
        present = sa.exists().where(
            _document.c.source == _chunked.c.source, _document.c.document_id == _chunked.c.document_id
        )
        query = sa.select(_chunked.c.document_id).where(_chunked.c.source == self.source, ~present)
        with ledger.reading() as connection:
            gone = connection.scalars(query).all()
        for ids in batched(gone, min(BATCH, MAX_BOUND_VALUES)):
            yield Step(partial(self._remove, ids=ids))

    def _forget_parked(self, connection: sa.Connection) -> Delta:
        """Unpark documents that are no longer there."""
        p = tables.parked
        there = sa.exists().where(_document.c.source == self.source, _document.c.document_id == p.c.item_id)
        connection.execute(p.delete().where(p.c.source == self.source, p.c.stage == self.name, ~there))
        return Delta()

    def _remove(self, connection: sa.Connection, ids: Sequence[str]) -> Delta:
        delta = Delta(finished=list(ids))
        for key, digest in self._old_chunks(connection, ids).items():
            delta.drop(key, digest)
        scope = {"source": self.source}
        delete_keys(connection, _chunk, scope, "document_id", ids)
        delete_keys(connection, _chunked, scope, "document_id", ids)
        delta.outcomes.removed = len(ids)
        delta.note(f"{key}: removed" for key in ids)
        return delta


def recorded_chunks(
    ledger: Ledger, source: str, part: str, after: str = "", until: str | None = None
) -> Iterator[Chunk]:
    """The recorded chunks of a part's documents, by document, in order: of those between two ids."""
    documents = sa.select(_document.c.document_id).filter_by(source=source, part=part)
    documents = documents.where(_document.c.document_id > after)
    if until is not None:
        documents = documents.where(_document.c.document_id <= until)
    for page in pages(ledger, documents, _document.c.document_id, READ_BACK):
        ids = [row.document_id for row in page]
        query = _chunk.select().where(_chunk.c.source == source, _chunk.c.document_id.in_(ids))
        with ledger.reading() as connection:
            rows = connection.execute(query.order_by(_chunk.c.document_id, _chunk.c.position)).all()
        yield from map(_chunk_of, rows)


def _chunk_of(row: Any) -> Chunk:
    """The chunk that `chunk_row` made a row from."""
    return Chunk(
        id=row.chunk_id,
        document_id=row.document_id,
        position=row.position,
        start=row.start,
        end=row.end,
        text=row.text,
        attributes=json.loads(row.attributes),
    )


def chunks_fingerprint(chunker: Chunker, attributes: Collection[str]) -> str:
    """What its chunks depend on besides a document: the chunker, and the attributes that they carry."""
    return digest_of(chunker.fingerprint, *sorted(attributes)) if attributes else chunker.fingerprint


def merged(document: Document, chunk: Chunk, names: Collection[str]) -> Chunk:
    """A chunk with the attributes that its point carries: the declared ones, its own and its document's."""
    both = {**document.attributes, **chunk.attributes}
    return replace(chunk, attributes={name: both[name] for name in names if name in both})


def chunk_row(source: str, row: Any, chunk: Chunk) -> dict[str, Any]:
    """A chunk as a row of the ledger. `row` is its document's."""
    text_digest, common = digest_of(chunk.text), common_of(row)
    attributes = sorted_json(chunk.attributes)
    return {
        "source": source,
        "chunk_id": chunk.id,
        "document_id": chunk.document_id,
        "digest": digest_of(
            text_digest,
            chunk.document_id,
            f"{chunk.position} {chunk.start} {chunk.end}",
            *common.values(),
            *((attributes,) if chunk.attributes else ()),
        ),
        "text_digest": text_digest,
        "position": chunk.position,
        "start": chunk.start,
        "end": chunk.end,
        **common,
        "text": chunk.text,
        "attributes": attributes,
    }
