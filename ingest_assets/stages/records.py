"""A source's items to documents in the ledger, one row per record."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from ingest_assets.fields import FilterField
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import batched, delete_keys, temporary_table, upsert
from ingest_assets.model import (
    ConfigurationError,
    ItemError,
    Source,
    SourceItem,
    digest_of,
)
from ingest_assets.reconcile import (
    Delta,
    Refusal,
    Run,
    Step,
    content_of,
    content_sum,
    is_up_to_date,
    key_of,
)
from ingest_assets.stages.document_rows import checked_document, document_row
from ingest_assets.stages.origins import Origin, record_origin, require_origin
from ingest_assets.stages.read_batches import ReadBatches, batches
from ingest_assets.stages.removals import Guard, Loss, let_go, stopping
from ingest_assets.stages.source_pass import VERSION, SourcePass, recorded_digest
from ingest_assets.stopping import go_on

BATCH = 1_000
# What is held back until it is known how much would be removed has at most about so many characters.
HELD_CHARS = 16_000_000
ROW_CHARS = 1_000  # of a row besides its text

# The keys that were seen go to a temporary table, so that memory does not grow with the source.
_seen = sa.Table(
    "seen",
    sa.MetaData(),
    sa.Column("document_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String(32), nullable=False),
    sa.Column("batch", sa.Integer, nullable=False, index=True),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Records:
    """Keeps `document` in step with what the source says should exist.

    A document that can no longer be rendered is parked, and its last good row stays. Nothing is removed
    unless the source was read completely, and nothing at all is recorded if that would be too much.

    A source with a `part` gives the documents of that part only; those of other parts stay. An id belongs to
    one part.
    """

    origin: Source
    name: str = "records"
    part: str = ""
    fields: tuple[FilterField, ...] = ()  # the source's own, whose types attributes must have
    system: Origin | None = None  # that it reads; another one than before is refused
    guard: Guard | None = None  # against the removal of more than may go unasked

    @property
    def source(self) -> str:
        return self.origin.name

    @property
    def fingerprint(self) -> str:
        return digest_of(self.name, VERSION)

    def input_digest(self, _connection: sa.Connection) -> str | None:
        signature = self.origin.signature()
        if signature is None:
            return None
        # With the system's name, so that a run has something to do until the name is recorded.
        system = () if self.system is None else (self.system.name,)
        return digest_of(self.fingerprint, signature, *system)

    def unrecorded(self, connection: sa.Connection) -> str | None:
        """The state of a source that is not as it is recorded; None if it is. Reads it, and renders nothing.

        For one that has no signature. Asks whether to stop with every item. Raises what reading it raises.
        """
        parked, kept = self._parked(connection), list[str]()
        state = total = 0
        with self.origin.read() as items:
            for item in items:
                go_on()
                digest = recorded_digest(item)
                share = content_of(item.id, digest)
                state += share
                if parked.get(item.id) == digest:
                    kept.append(item.id)  # its row, if there is one, is of an earlier state
                else:
                    total += share
        t = tables.document
        for some in batched(kept, BATCH):
            query = sa.select(t.c.document_id, t.c.digest).where(*self._mine(t), t.c.document_id.in_(some))
            total += sum(content_of(row.document_id, row.digest) for row in connection.execute(query))
        if f"{total % (1 << 128):032x}" == self.content(connection):
            return None
        return f"{state % (1 << 128):032x}"

    def total(self, connection: sa.Connection) -> int:
        query = sa.select(sa.func.count()).select_from(tables.document)
        return connection.scalar(query.where(*self._mine(tables.document))) or 0

    def _mine(self, table: sa.Table) -> list[sa.ColumnElement[bool]]:
        """The rows of this source and part."""
        return [table.c.source == self.source, table.c.part == self.part]

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name, self.part)

    def steps(self, _ledger: Ledger, session: sa.Connection, run: Run) -> Generator[Step]:
        batches_on_record = ReadBatches(self.source, self.name, self.part)
        with session.begin():
            # Again, because somebody else may have had the lock since the source was opened.
            require_origin(session, self.source, self.system)
            known = batches_on_record.known(session)
            recorded = self.total(session)
        guard = None if run.allow_removals else self.guard
        reading = SourcePass({} if run.rebuild else known)
        if guard is None or recorded <= guard.least:
            yield Step(self._record_origin)
            yield from self._read(session, run, reading)
        else:
            yield from self._considered(session, run, reading, guard, recorded, known)
        if reading.skipped and not self._is_whole(session, reading):
            # Something is gone, refused or not as recorded: looking at every item finds it.
            reading = SourcePass(told=reading.told)
            yield from self._read(session, replace(run, retry_parked=False), reading)
        if guard is not None:
            yield from stopping(self, partial(guard.require, reading.losses))
        yield from self._removals(reading)
        read = reading.read if self._is_whole(session, reading) else {}
        if read != known:
            yield Step(partial(_remember, batches_on_record, read))
        yield Step(self._record_skipped)

    def _considered(
        self,
        session: sa.Connection,
        run: Run,
        reading: SourcePass,
        guard: Guard,
        recorded: int,
        known: Mapping[str, int],
    ) -> Iterator[Step]:
        """What differs, held back until it is known that not too much is gone.

        If that is more than memory should hold, or much is gone, the source is read once more for it.
        """
        held: list[Step] = []
        # A rebuild renders everything: it is known beforehand when that is too much.
        complete = not run.rebuild or recorded * ROW_CHARS <= HELD_CHARS
        if complete:
            with closing(self._read(session, run, reading, held=True)) as steps:
                # Nothing of it is recorded if the source breaks off: nobody knows what is gone then.
                for step in steps:
                    held.append(step)
                    if reading.chars > HELD_CHARS:
                        complete = False
                        break
        unsure = reading.missed(recorded) > guard.least if complete else not self._is_unchanged(session)
        if unsure:
            losses = self._lost(session, guard, recorded, known)
            yield from stopping(self, partial(guard.require, losses))
        yield Step(self._record_origin)  # a stopped run must not have claimed a wrong one
        if complete:
            yield from held
            self._tell(run, reading)
        else:
            reading.begin()
            yield from self._read(session, run, reading)

    def _is_unchanged(self, session: sa.Connection) -> bool:
        """Whether the source is as it was when everything of it was recorded, so that nothing can be gone."""
        with session.begin():
            digest = self.input_digest(session)
            return digest is not None and is_up_to_date(session, self, digest)

    def _lost(
        self, session: sa.Connection, guard: Guard, recorded: int, known: Mapping[str, int]
    ) -> Sequence[Loss]:
        """What a run would remove: the source is read, and nothing of it rendered.

        Batches that are as they were are counted, and not looked at, unless too much is missed among them.
        """
        looked = SourcePass(known)
        with self.origin.read() as items, temporary_table(session, _seen):
            for number, batch in enumerate(looked.unknown(batches(items, BATCH), BATCH)):
                go_on()
                with session.begin():
                    self._mark_seen(session, batch, number)
                    looked.new += list(self._recorded(session, number, everything=False).values()).count(None)
            if looked.missed(recorded) <= guard.least:
                return ()
            if not looked.skipped:
                with session.begin():
                    self._look_for_gone(session, looked)
                return looked.losses
        return self._lost(session, guard, recorded, {})

    def _record_origin(self, connection: sa.Connection) -> Delta:
        record_origin(connection, self.source, self.system)
        return Delta()

    def _is_whole(self, session: sa.Connection, reading: SourcePass) -> bool:
        """Whether exactly the items that were read are recorded."""
        with session.begin():
            return self.content(session) == reading.content

    def _read(
        self, session: sa.Connection, run: Run, reading: SourcePass, *, held: bool = False
    ) -> Generator[Step]:
        """Record what differs, and find what is gone if every item was looked at.

        `held`: the steps are not recorded yet when the next one is asked for, and nothing is told.
        """
        with session.begin():
            parked = self._parked(session)
        with self.origin.read() as items, temporary_table(session, _seen):
            for number, batch in enumerate(reading.unknown(_heard(run, batches(items, BATCH)), BATCH)):
                with session.begin():
                    self._mark_seen(session, batch, number)
                    recorded = self._recorded(session, number, everything=run.rebuild or bool(parked))
                reading.new += sum(digest is None for digest in recorded.values())
                step = self._step(batch, recorded, parked, run, reading)
                if step is not None:
                    yield step
                if not held:
                    self._tell(run, reading)
            if not held:
                self._tell(run, reading)
            if not reading.skipped:
                with session.begin():
                    self._look_for_gone(session, reading)

    def _tell(self, run: Run, reading: SourcePass) -> None:
        """What has been read until now is recorded: say so, once, also if the source is read again."""
        items, left_out = reading.told
        skipped = self.origin.skipped[left_out:]
        run.read(reading.ids, skipped)
        reading.told = (items + len(reading.ids), left_out + len(skipped))
        reading.ids = []

    def _parked(self, session: sa.Connection) -> Mapping[str, str]:
        t = tables.parked
        query = sa.select(t.c.item_id, t.c.digest).filter_by(**key_of(self))
        return {row.item_id: row.digest for row in session.execute(query)}

    def _mark_seen(self, session: sa.Connection, batch: Sequence[SourceItem], number: int) -> None:
        rows = [{"document_id": i.id, "digest": recorded_digest(i), "batch": number} for i in batch]
        try:
            session.execute(_seen.insert(), rows)
        except sa.exc.IntegrityError:
            raise ConfigurationError(
                f"The source {self.source} gives two records the same id. "
                f"The key columns of its mapping must be unique. (Between {batch[0].id} and {batch[-1].id}.)"
            ) from None

    def _recorded(self, session: sa.Connection, number: int, *, everything: bool) -> Mapping[str, str | None]:
        """The recorded digests of a batch: of the items whose digest differs, or of every one."""
        t = tables.document
        here = sa.and_(t.c.source == self.source, t.c.document_id == _seen.c.document_id)
        query = sa.select(_seen.c.document_id, t.c.digest).select_from(_seen.outerjoin(t, here))
        query = query.where(_seen.c.batch == number)
        if self.part and (twice := session.scalar(query.where(t.c.part != self.part).limit(1))):
            raise ConfigurationError(
                f"{self.source}: the part {self.part!r} gives a document {twice!r}, and another part has one "
                "with that id. Ids must be unique within a source."
            )
        if not everything:
            query = query.where(t.c.digest.is_distinct_from(_seen.c.digest))
        return {row.document_id: row.digest for row in session.execute(query)}

    def _step(
        self,
        batch: Sequence[SourceItem],
        recorded: Mapping[str, str | None],
        parked: Mapping[str, str],
        run: Run,
        reading: SourcePass,
    ) -> Step | None:
        rows: list[dict[str, Any]] = []
        refused: list[Refusal] = []
        restored: list[str] = []  # parked, and now changed back to what their row was made of
        repaired_before = self.origin.repaired
        for item in batch:
            if item.id not in recorded:
                continue
            digest = recorded_digest(item)
            if recorded[item.id] == digest and not run.rebuild:
                if item.id in parked:
                    restored.append(item.id)
                continue
            if parked.get(item.id) == digest and not (run.retry_parked or run.rebuild):
                continue
            try:
                rows.append(
                    document_row(self.source, self.part, digest, checked_document(item.render(), self.fields))
                )
            except ItemError as error:
                refused.append(Refusal(item.id, digest, str(error)))
        if not rows and not refused and not restored:
            return None
        reading.chars += sum(ROW_CHARS + len(row["body"]) + len(row["context"]) for row in rows)
        repaired = self.origin.repaired - repaired_before
        record = partial(self._record, rows=rows, recorded=recorded, restored=restored, repaired=repaired)
        return Step(record, refused)

    def _record(
        self,
        connection: sa.Connection,
        rows: Sequence[Mapping[str, Any]],
        recorded: Mapping[str, str | None],
        restored: Sequence[str],
        repaired: int,
    ) -> Delta:
        upsert(connection, tables.document, rows)
        delta = Delta(finished=list(restored))
        delta.outcomes.repaired = repaired
        for row in rows:
            key = row["document_id"]
            delta.finished.append(key)
            if (earlier := recorded.get(key)) == row["digest"]:
                continue
            if earlier is not None:
                delta.drop(key, earlier)
                delta.outcomes.changed += 1
            else:
                delta.outcomes.added += 1
            delta.add(key, row["digest"])
            delta.note([f"{key}: {row['title']}"])
        return delta

    def _look_for_gone(self, session: sa.Connection, reading: SourcePass) -> None:
        t, p = tables.document, tables.parked
        absent = ~sa.exists().where(_seen.c.document_id == t.c.document_id)
        gone = sa.select(t.c.document_id, t.c.digest, t.c.kind).where(*self._mine(t), absent)
        reading.gone = session.execute(gone.order_by(t.c.document_id)).tuples().all()
        unseen = ~sa.exists().where(_seen.c.document_id == p.c.item_id)
        mine = [p.c[column] == value for column, value in key_of(self).items()]
        reading.not_parked = session.scalars(sa.select(p.c.item_id).where(*mine, unseen)).all()
        if self.guard is not None and len(reading.gone) > self.guard.least:
            kinds = sa.select(t.c.kind, sa.func.count()).where(*self._mine(t)).group_by(t.c.kind)
            recorded = dict(session.execute(kinds.order_by(t.c.kind)).tuples().all())
            reading.losses = self.guard.losses(((key, kind) for key, _, kind in reading.gone), recorded)

    def _removals(self, reading: SourcePass) -> Iterator[Step]:
        for start in range(0, len(reading.gone), BATCH):
            yield Step(partial(self._remove, gone=reading.gone[start : start + BATCH]))
        for start in range(0, len(reading.not_parked), BATCH):
            ids = list(reading.not_parked[start : start + BATCH])
            yield Step(lambda _connection, ids=ids: Delta(finished=ids))  # type: ignore[misc]

    def _remove(self, connection: sa.Connection, gone: Sequence[tuple[str, str, str]]) -> Delta:
        delta = Delta()
        delete_keys(
            connection, tables.document, {"source": self.source}, "document_id", [key for key, *_ in gone]
        )
        for key, digest, _ in gone:
            delta.drop(key, digest)
        delta.outcomes.removed = len(gone)
        delta.note(f"{key}: removed" for key, *_ in gone)
        return delta

    def _record_skipped(self, connection: sa.Connection) -> Delta:
        """Replace the recorded skipped items with those of this read."""
        t = tables.skipped_item
        mine: dict[str, Any] = {"source": self.source, "part": self.part}
        skipped = {
            each.id: mine
            | {"item_id": each.id, "reason": each.reason, "size": each.size, "detail": each.detail}
            for each in self.origin.skipped
        }
        connection.execute(t.delete().where(*(t.c[name] == value for name, value in mine.items())))
        upsert(connection, t, list(skipped.values()))
        return let_go(self, connection)


def _heard(run: Run, read: Iterator[list[SourceItem]]) -> Iterator[list[SourceItem]]:
    """Batches, each after a sign of life: a long read may find nothing that is worth a step."""
    for batch in read:
        run.read((), ())
        yield batch


def _remember(batches_on_record: ReadBatches, read: Mapping[str, int], connection: sa.Connection) -> Delta:
    batches_on_record.remember(connection, read)
    return Delta()
