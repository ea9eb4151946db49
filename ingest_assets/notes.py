"""Notes that people and agents make on documents and entities: kept in the ledger, found by search.

What belongs here: writing and reading notes, and the CRM's source with its notes added, or notes alone where
there is no CRM. What does not: who may write one (see `doors`). Nothing is ever written to the CRM.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ingest_assets.catalog import CRM
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import pages
from ingest_assets.model import ConfigurationError, Document, Source, SourceItem, digest_of, when

Kind = Literal["note", "flag"]

PREFIX = "notes/"  # of the ids of their documents
URI = f"ingest:{PREFIX}"  # of their documents, and of no other's: an id may begin so in a CRM too
MAX_TEXT, MAX_WHY, MAX_AUTHOR, MAX_REFS = 10_000, 1_000, 200, 200
BATCH = 1_000
# Bump when the document of a note is made differently.
VERSION = "1"
NAMESPACE = uuid.UUID("6f4d2f0e-6a38-5a53-9a5f-3b0f6f5d9c11")

_note = tables.note


@dataclass(frozen=True, slots=True)
class Subject:
    """What a note is about."""

    id: str  # of a document or an entity
    title: str
    refs: Sequence[str] = ()  # the CRM's documents that the note is linked with: entities follow from them


@dataclass(frozen=True, slots=True)
class Note:
    """One note."""

    id: str
    kind: Kind
    about: str
    author: str
    at: str
    why: str
    text: str


def add(
    ledger: Ledger,
    subject: Subject,
    *,
    kind: Kind,
    author: str,
    why: str,
    text: str,
    at: float,
    also: Callable[[sa.Connection, Note], None] = lambda _connection, _note: None,
) -> Note:
    """Write a note down. `also` does more in the same transaction: both are there, or neither.

    Raises ConfigurationError for texts that are empty, too long or no text.
    """
    for what, value, limit in (
        ("text", text, MAX_TEXT),
        ("why", why, MAX_WHY),
        ("author", author, MAX_AUTHOR),
    ):
        _check(what, value, limit)
    row = {
        "kind": kind,
        "about": subject.id,
        "title": subject.title,
        "refs": json.dumps(list(subject.refs)[:MAX_REFS], ensure_ascii=False),
        "author": author,
        "at": at,
        "why": why,
        "text": text,
    }
    with ledger.transaction() as connection:
        note = _note_of(_insert(connection, row))
        also(connection, note)
    return note


def remove(
    ledger: Ledger, note_id: str, also: Callable[[sa.Connection], None] = lambda _connection: None
) -> None:
    """Take a note away; the next refresh takes it out of the index. Raises ConfigurationError."""
    with ledger.transaction() as connection:
        gone = connection.execute(_note.delete().where(_note.c.id == note_id.removeprefix(PREFIX)))
        if not gone.rowcount:
            raise ConfigurationError(f"There is no note {note_id!r}.")
        also(connection)


def about(ledger: Ledger, ids: Sequence[str], limit: int) -> list[Note]:
    """The notes on some documents and entities, the newest first."""
    query = sa.select(_note).where(_note.c.about.in_(list(ids)[:MAX_REFS]))
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(_note.c.at.desc(), _note.c.id).limit(limit))
        return [_note_of(row) for row in rows]


def newest(ledger: Ledger, limit: int) -> list[Note]:
    """The notes there are, the newest first."""
    query = sa.select(_note).order_by(_note.c.at.desc(), _note.c.id).limit(limit)
    with ledger.reading() as connection:
        return [_note_of(row) for row in connection.execute(query)]


def remain(ledger: Ledger) -> bool:
    """Whether there are notes, or one that was removed has yet to leave the index."""
    document, point, generation = tables.document, tables.point, tables.generation
    live = sa.and_(generation.c.collection == CRM.collection, generation.c.state == "live")
    its_points = sa.and_(point.c.collection == CRM.collection, point.c.generation == generation.c.number)
    there = (
        sa.exists(sa.select(_note.c.id)),
        sa.exists().where(document.c.source == CRM.name),
        sa.exists().where(live, its_points),
    )
    with ledger.reading() as connection:
        return bool(connection.scalar(sa.select(sa.or_(*there))))


def _insert(connection: sa.Connection, row: dict[str, Any]) -> Any:
    """The row, under the first id of its content that is free, whoever else writes at the same time."""
    insert: Any = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    for nth in count():
        anchor = digest_of("note", row["about"], row["author"], row["kind"], row["text"], str(nth))
        full = row | {"id": str(uuid.uuid5(NAMESPACE, anchor))}
        if connection.execute(insert(_note).values(full).on_conflict_do_nothing()).rowcount:
            break
    return connection.execute(sa.select(_note).filter_by(id=full["id"])).one()


def _check(what: str, value: str, limit: int) -> None:
    if not value.strip():
        raise ConfigurationError(f"A note's {what} is empty.")
    if len(value) > limit:
        raise ConfigurationError(f"A note's {what} has {len(value):,} characters; {limit:,} are allowed.")
    if "\0" in value or value.encode("utf-8", "replace").decode() != value:
        raise ConfigurationError(f"A note's {what} holds what is no text.")


def _note_of(row: Any) -> Note:
    return Note(row.id, row.kind, row.about, row.author, when(row.at), row.why, row.text)


class WithNotes:
    """A source, and the notes after it. Whatever the source refuses or cannot read is refused here too."""

    def __init__(self, origin: Source, ledger: Ledger) -> None:
        self._origin, self._ledger = origin, ledger

    @property
    def name(self) -> str:
        return self._origin.name

    @property
    def repaired(self) -> int:
        return self._origin.repaired

    def signature(self) -> str | None:
        """The source's, and a digest of which notes there are: a note is written once and never changed."""
        signature = self._origin.signature()
        if signature is None:
            return None
        query = sa.select(_note.c.id, _note.c.at).order_by(_note.c.id)
        with self._ledger.reading() as connection:
            written = [tuple(row) for row in connection.execute(query)]
        return digest_of(signature, VERSION, repr(written))

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every item of the source, then every note."""
        with self._origin.read() as items, closing(self._items()) as notes:
            yield chain(items, notes)

    def _items(self) -> Generator[SourceItem, None, None]:
        for page in pages(self._ledger, sa.select(_note), _note.c.id, BATCH):
            for row in page:
                digest = digest_of(VERSION, *(str(value) for value in row))
                yield SourceItem(PREFIX + row.id, digest, partial(_document, row))


class NoCrm:
    """In the place of a CRM where none is configured: without records, so that notes stand alone.

    Where a CRM was indexed, its setting got lost: that is an error. Taken for a CRM without records, all of
    it would leave the index, and every run would say that it succeeded.
    """

    name, repaired = CRM.name, 0

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def signature(self) -> str:
        self.require_no_records()
        return digest_of("no CRM")

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """No item. Asked once more, because whoever reads holds the lock: no other process adds records."""
        self.require_no_records()
        yield iter(())

    def require_no_records(self) -> None:
        """Raises ConfigurationError where the ledger has records of a CRM, be it as refused ones."""
        document, parked = tables.document, tables.parked
        recorded = sa.exists().where(document.c.source == CRM.name, ~document.c.uri.startswith(URI))
        refused = sa.exists().where(parked.c.source == CRM.name, parked.c.stage == CRM.documents)
        with self._ledger.reading() as connection:
            if connection.scalar(sa.select(sa.or_(recorded, refused))):
                raise ConfigurationError(
                    "CRM_DB_PATH is not set, and a CRM was indexed. Set it again: what was indexed stays."
                )


def _document(row: Any) -> Document:
    context = [("About", row.about), ("By", row.author)]
    if row.why != row.text:
        context.append(("Why", row.why))
    return Document(
        id=PREFIX + row.id,
        kind=row.kind,
        title=f"{'Flag' if row.kind == 'flag' else 'Note'} on {row.title}",
        uri=URI + row.id,
        time=when(row.at),
        context=tuple(context),
        body=row.text,
        refs=tuple(json.loads(row.refs)),
    )
