"""The stage `batches`: from files in the spool to a document per record of the batches that should be found.

A batch is in the index with all of its records with text, or with none. Work is proportional to the batches
that came, left or changed: the manifest says which, by an index.

What belongs here: what is loaded, recorded and withdrawn, in which order. What does not: files and their
content (`intake`), how a batch ends (`settling`), and what becomes of old ones (`retention`).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.fields import FilterField
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.spool_tables import spool_record as _record
from ingest_assets.ledger.store import delete_keys, pages, upsert
from ingest_assets.model import (
    IngestError,
    ItemError,
    NotPublishedError,
    SourceItem,
    UnavailableError,
    digest_of,
)
from ingest_assets.reconcile import Delta, Run, Step, content_sum
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.spool import files, manifest, partitions
from ingest_assets.sources.spool.gates import lock_as_personal
from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.facts import Known, Record
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.intake.take import take
from ingest_assets.sources.spool.maintenance import maintain
from ingest_assets.sources.spool.notifier.failures import record_failure
from ingest_assets.sources.spool.owner import require_own
from ingest_assets.sources.spool.personal import source_key
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.removing import delete_files
from ingest_assets.sources.spool.retention import expire, forget_lost_partitions
from ingest_assets.sources.spool.settings import BATCHES, NAME, SpoolSettings
from ingest_assets.sources.spool.settling import fail
from ingest_assets.sources.spool.source import BatchSource, batch_source, fingerprint_of
from ingest_assets.sources.spool.vectors import OTHER_MODEL, USED, usable
from ingest_assets.sources.spool.waiting import look
from ingest_assets.stages.document_rows import checked_document, document_row, sorted_json

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

PAGE = 1_000  # records in one transaction, about
TOGETHER = 256  # batches that are looked at together
PARTLY = "partly"  # `recorded_with` of a batch some of whose documents are recorded

_document = tables.document


class _Part(NamedTuple):
    """Some records, or documents, of a batch that are written in one transaction."""

    batch: Any  # its row of the manifest
    items: Sequence[Any]
    first: bool
    last: bool


@dataclass(slots=True)
class Batches:
    """Keeps `document` in step with the batches that should be found. Outcomes count records."""

    bench: Workbench
    spool: Spool
    fields: tuple[FilterField, ...]
    made_with: str  # all that documents depend on besides their records
    personal: frozenset[str]  # sources whose batches are personal, by `source_key`
    source: str = NAME
    name: str = BATCHES
    part: str = ""
    _left: set[str] = field(default_factory=set)  # batches that this run leaves as they are, or that failed

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.made_with, self.personal)

    def input_digest(self, _connection: sa.Connection) -> None:
        """None: gates, removals, time and lost partitions give work, too, and looking for it costs little."""

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, connection: sa.Connection) -> int:
        query = sa.select(sa.func.count()).select_from(_document).filter_by(source=self.source)
        return connection.scalar(query) or 0

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        # One confined process reads all batches: starting one takes longer than reading a small batch.
        with closing(BatchReader.ready(self.bench)) as reader:
            yield from self._all(ledger, reader, rebuild=run.rebuild)

    def _all(self, ledger: Ledger, reader: BatchReader, *, rebuild: bool) -> Iterator[Step]:
        self._left = set()
        forget_lost_partitions(ledger)
        refused = self._refused(partial(take, reader=reader))
        expired = expire(self.bench)  # also what has just come, and is too old
        refused = self._refused(delete_files) or refused
        self._lock_personal(ledger)
        yield from self._withdrawals(ledger)
        maintain(self.bench, asked=expired > 0)  # their partitions leave in the same run
        yield from self._arrivals(ledger, reader, rebuild=rebuild)
        if refused is not None:
            raise refused

    def _refused(self, step: Callable[[Workbench], object]) -> UnavailableError | None:
        """Take a step. Returns what it said about some files; the others were done, and go on."""
        try:
            step(self.bench)
        except UnavailableError as error:
            return error
        return None

    def _pending(self, ledger: Ledger, *, rebuild: bool = False) -> Iterator[Sequence[Any]]:
        """Batches that should be found, and have no documents, or such as were made otherwise. In pages."""
        if not rebuild:
            yield from manifest.recorded_otherwise(ledger, self.fingerprint, wanted=True, size=TOGETHER)
            return
        for batches in pages(ledger, sa.select(_manifest), _manifest.c.batch_tag, TOGETHER):
            yield [row for row in batches if row.wanted]

    def _arrivals(self, ledger: Ledger, reader: BatchReader, *, rebuild: bool) -> Iterator[Step]:
        for batches in self._pending(ledger, rebuild=rebuild):
            self._load(ledger, reader, [row for row in batches if rebuild or not row.loaded])
            yield from self._documents([row for row in batches if row.batch_tag not in self._left])

    def _lock_personal(self, ledger: Ledger) -> None:
        """Lock batches of sources that are personal by now."""
        if not self.personal:
            return
        for pending in self._pending(ledger):
            batches = [batch for batch in pending if not batch.pii]
            with ledger.transaction() as connection:
                manifest.find_all_to_change(connection, [batch.batch_tag for batch in batches])
                for batch in batches:
                    if self._is_personal(batch.source) or self._has_personal_record(connection, batch):
                        lock_as_personal(connection, batch)

    def _has_personal_record(self, connection: sa.Connection, batch: Any) -> bool:
        mine = (_record.c.created_at == batch.created_at, _record.c.batch_tag == batch.batch_tag)
        sources = connection.scalars(sa.select(_record.c.source).where(*mine).distinct())
        return any(map(self._is_personal, sources))

    def _is_personal(self, source: str) -> bool:
        return bool(self.personal) and source_key(source) in self.personal

    def _load(self, ledger: Ledger, reader: BatchReader, batches: Sequence[Any]) -> None:
        """Bring the records of batches from their files into the ledger."""
        for parts in _gathered(each for batch in batches for each in self._read(reader, batch)):
            there = [each for each in parts if each.batch.batch_tag not in self._left]
            healed: dict[str, list[str]] = {}
            missing: dict[str, tuple[Any, str]] = {}
            with ledger.transaction() as connection:
                for each in self._still_wanted(connection, there):
                    if each.batch.batch_tag in missing:
                        continue
                    try:
                        made = self._store(connection, each)
                    except partitions.PartitionMissingError as error:
                        missing[each.batch.batch_tag] = (each.batch, str(error))
                    else:
                        healed |= {each.batch.batch_tag: made} if made else {}
            for batch, said in missing.values():
                self._fail(batch, manifest.MISSING, said)
            for batch_tag, months in healed.items():
                self._say_healed(batch_tag, months)

    def _read(self, reader: BatchReader, batch: Any) -> Iterator[_Part]:
        """The records of a batch, in parts. A batch that cannot be read fails."""
        try:
            yield from self._parts(reader, batch)
        except BatchError as error:
            self._fail(batch, error.reason, str(error))

    def _parts(self, reader: BatchReader, batch: Any) -> Iterator[_Part]:
        path = files.find(self.spool, batch)
        if path is None and batch.recorded_with not in {None, PARTLY}:
            # What is recorded of it stays, and is made again if its records are there.
            if not batch.loaded:
                self._left.add(batch.batch_tag)
            return
        if path is None:
            raise BatchError("Its file is no longer there.", manifest.OTHER)
        first = True
        ahead: list[Record] = []
        for records in reader.records(path, Known.of_row(batch)):
            if not batch.pii and any(self._is_personal(each.source) for each in records):
                self._left.add(batch.batch_tag)
                with self.bench.ledger.transaction() as connection:
                    partitions.clear(connection, batch)
                    lock_as_personal(connection, batch)
                return
            if ahead:
                yield _Part(batch, ahead, first, last=False)
                first = False
            ahead = records
        yield _Part(batch, ahead, first, last=True)

    def _store(self, connection: sa.Connection, part: _Part) -> list[str]:
        """Record some records of a batch. Returns the months whose partition was missing."""
        batch, now = part.batch, time.time()
        if part.first:
            partitions.clear(connection, batch)
            if batch.status != "success":
                # From now on there is something to withdraw, if its gate is closed before it is recorded.
                begun = {"status": "processing", "started_at": now, "recorded_with": PARTLY}
                manifest.change(connection, batch.batch_tag, attempts=batch.attempts + 1, **begun)
        vectors, counts = self._usable_vectors(part.items)
        if counts.total() or "vectors" in json.loads(batch.extra):
            manifest.count(connection, batch.batch_tag, counts, afresh=part.first)
        rows = [_row(batch, *each) for each in zip(part.items, vectors, strict=True)]
        made = partitions.insert(connection, rows) if rows else []
        if made:
            manifest.note(connection, batch.batch_tag, healed=made)
        if part.last:
            manifest.mark(connection, batch.batch_tag, loaded=True)
        return made

    def _usable_vectors(self, records: Sequence[Record]) -> tuple[list[bytes | None], Counter[str]]:
        """The vectors that came along, if they are those of the index's own model, and counts of them."""
        supplied, model = self.bench.sources[NAME].vectors(self.bench), self.bench.dense_model
        if supplied is None or supplied.identity != model.identity:
            came = sum(each.vector is not None or bool(each.wrong) for each in records)
            return [None] * len(records), Counter({USED: 0, OTHER_MODEL: came})
        return usable(records, model.dimension)

    def _documents(self, batches: Sequence[Any]) -> Iterator[Step]:
        for parts in _gathered(each for batch in batches for each in self._rendered(batch)):
            there = [each for each in parts if each.batch.batch_tag not in self._left]
            yield Step(partial(self._record, parts=there))

    def _rendered(self, batch: Any) -> Iterator[_Part]:
        """The rows of a batch's documents, in parts."""
        source: BatchSource = batch_source(self.bench, batch.batch_tag)
        rows: list[dict[str, Any]] = []
        first = True
        try:
            with source.read() as items:
                for item in items:
                    if len(rows) >= PAGE:
                        yield _Part(batch, rows, first, last=False)
                        rows, first = [], False
                    rows.append(self._document_row(batch, item))
            yield _Part(batch, rows, first, last=True)
        except ItemError:
            # Without the error's message, which may quote the record.
            self._fail(batch, manifest.FAILED, "A record of it cannot be made a document.")

    def _document_row(self, batch: Any, item: SourceItem) -> dict[str, Any]:
        document = checked_document(item.render(), self.fields)
        return document_row(self.source, batch.batch_tag, item.digest, document)

    def _record(self, connection: sa.Connection, parts: Sequence[_Part]) -> Delta:
        delta = Delta()
        parts = self._still_wanted(connection, parts)
        rows = [row for part in parts for row in part.items]
        earlier = self._recorded(connection, [row["document_id"] for row in rows])
        changed = [row for row in rows if earlier.get(row["document_id"]) != row["digest"]]
        upsert(connection, _document, changed)
        for row in changed:
            if (digest := earlier.get(row["document_id"])) is not None:
                delta.drop(row["document_id"], digest)
                delta.outcomes.changed += 1
            else:
                delta.outcomes.added += 1
            delta.add(row["document_id"], row["digest"])
        for part in parts:
            made_with = self.fingerprint if part.last else PARTLY
            if part.last or part.first:
                manifest.mark(connection, part.batch.batch_tag, recorded_with=made_with)
        return delta

    def _still_wanted(self, connection: sa.Connection, parts: Sequence[_Part]) -> list[_Part]:
        """Those of batches whose gate was not closed, and that were not removed, since they were read."""
        now = manifest.find_all_to_change(connection, [part.batch.batch_tag for part in parts])
        self._left |= {tag for tag, row in now.items() if not row.wanted}
        return [part for part in parts if part.batch.batch_tag not in self._left]

    def _recorded(self, connection: sa.Connection, ids: Sequence[str]) -> Mapping[str, str]:
        query = sa.select(_document.c.document_id, _document.c.digest)
        query = query.where(_document.c.source == self.source, _document.c.document_id.in_(ids))
        return {row.document_id: row.digest for row in connection.execute(query)}

    def _withdrawals(self, ledger: Ledger) -> Iterator[Step]:
        """Remove the documents of batches that should not be found."""
        for batches in manifest.recorded_otherwise(ledger, manifest.LEAVING, wanted=False, size=TOGETHER):
            for batch in batches:
                mine = sa.select(_document.c.document_id, _document.c.digest)
                mine = mine.where(_document.c.source == self.source, _document.c.part == batch.batch_tag)
                for page in pages(ledger, mine, _document.c.document_id, PAGE):
                    yield Step(partial(self._remove, gone=page))
                yield Step(partial(self._forget, batch=batch))

    def _remove(self, connection: sa.Connection, gone: Sequence[Any]) -> Delta:
        delta = Delta()
        ids = [row.document_id for row in gone]
        delete_keys(connection, _document, {"source": self.source}, "document_id", ids)
        for row in gone:
            delta.drop(row.document_id, row.digest)
        delta.outcomes.removed = len(gone)
        return delta

    def _forget(self, connection: sa.Connection, batch: Any) -> Delta:
        partitions.clear(connection, batch)
        # Its points leave with the last stage; until then it is hidden.
        manifest.mark(connection, batch.batch_tag, loaded=False, recorded_with=manifest.LEAVING)
        return Delta()

    def _fail(self, batch: Any, reason: str, error: str) -> None:
        self._left.add(batch.batch_tag)
        fail(self.bench, self.spool, batch.batch_tag, reason, error)

    def _say_healed(self, batch_tag: str, months: Sequence[str]) -> None:
        record_failure(
            self.bench,
            batch_tag=batch_tag,
            reason=manifest.HEALED,
            healed=True,
            message=f"There was no partition for {', '.join(months)}. It was made.",
            cause=partitions.cause(months[0]),
        )


def batches_stage(bench: Workbench, source: SourceDefinition) -> Batches:
    """The first stage of the spool. Raises ConfigurationError if there is none, or it is not safe."""
    bench.require_configured(source.name)
    # Now, and not when everything has been read and embedded: it may be another installation's.
    with suppress(UnavailableError, NotPublishedError):
        bench.store.live(source.collection)
    spool = Spool.of(bench.settings_of(SpoolSettings))
    spool.prepare()
    require_own(spool, bench.installation)
    fields, made_with = source.all_fields(bench.settings), batch_source(bench, "").made_with
    return Batches(bench, spool, fields, made_with, bench.settings_of(SpoolSettings).personal_sources)


def start_ahead(bench: Workbench) -> None:
    """Begin to read the largest batch that waits, and to load the models, if there is one."""
    with suppress(IngestError):  # the run says what is wrong
        spool = Spool.of(bench.settings_of(SpoolSettings))
        whole = (found for found in look(spool) if found is not None and found.is_whole)
        largest = max(whole, key=lambda found: found.bytes, default=None)
        if largest is not None:
            BatchReader.of(bench).start_ahead(spool.incoming / largest.name)
            bench.preloader.start_ahead()


def _gathered(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Parts that are written together: small ones of several batches, up to about PAGE items."""
    together: list[_Part] = []
    count = 0
    for part in parts:
        together.append(part)
        count += len(part.items)
        if count >= PAGE:
            yield together
            together, count = [], 0
    if together:
        yield together


def _row(batch: Any, record: Record, vector: bytes | None) -> dict[str, Any]:
    return {
        "created_at": batch.created_at,
        "batch_tag": batch.batch_tag,
        "number": record.number,
        "source": record.source,
        "text": record.text,
        "metadata": sorted_json(record.metadata) if record.metadata else "{}",
        "vector": vector,
        "text_digest": digest_of(record.text.strip()),  # as its chunk has it, if it is one
    }
