"""Notes that people and agents make on documents and entities: kept in the ledger, found by search.

What belongs here: writing and reading notes. What does not: notes as documents (`sources.notes`), and who may
write one (`interfaces`). Nothing is ever written to the system that a note is about.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import RequestError, digest_of, when

Kind = Literal["note", "flag"]

PREFIX = "notes/"  # of the ids of notes' documents
URI = f"ingest:{PREFIX}"  # begins the URIs of notes' documents only; ids in a CRM may have the prefix too
MAX_TEXT, MAX_WHY, MAX_AUTHOR, MAX_REFS = 10_000, 1_000, 200, 200
NAMESPACE = uuid.UUID("6f4d2f0e-6a38-5a53-9a5f-3b0f6f5d9c11")

_note = tables.note


@dataclass(frozen=True, slots=True)
class Subject:
    """What a note is about."""

    id: str  # of a document or an entity
    title: str
    refs: Sequence[str] = ()  # documents that the note is linked to: its entities follow from them


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
    in_transaction: Callable[[sa.Connection, Note], None] = lambda _connection, _note: None,
) -> Note:
    """Record a note. `in_transaction` does more in the same transaction: both are recorded, or neither.

    Raises RequestError for texts that are empty, too long or invalid.
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
        in_transaction(connection, note)
    return note


def remove(
    ledger: Ledger,
    note_id: str,
    in_transaction: Callable[[sa.Connection], None] = lambda _connection: None,
) -> None:
    """Delete a note; the next refresh removes it from the index. Raises RequestError."""
    with ledger.transaction() as connection:
        gone = connection.execute(_note.delete().where(_note.c.id == note_id.removeprefix(PREFIX)))
        if not gone.rowcount:
            raise RequestError(f"There is no note {note_id!r}.")
        in_transaction(connection)


def about(ledger: Ledger, ids: Sequence[str], limit: int) -> list[Note]:
    """The notes on some documents and entities, the newest first."""
    query = sa.select(_note).where(_note.c.about.in_(list(ids)[:MAX_REFS]))
    with ledger.reading() as connection:
        rows = connection.execute(query.order_by(_note.c.at.desc(), _note.c.id).limit(limit))
        return [_note_of(row) for row in rows]


def newest(ledger: Ledger, limit: int) -> list[Note]:
    """The notes on anything, the newest first."""
    query = sa.select(_note).order_by(_note.c.at.desc(), _note.c.id).limit(limit)
    with ledger.reading() as connection:
        return [_note_of(row) for row in connection.execute(query)]


def _insert(connection: sa.Connection, row: dict[str, Any]) -> Any:
    """Insert the row under the first free id of its content, even if others write at the same time."""
    insert: Any = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    for nth in count():
        anchor = digest_of("note", row["about"], row["author"], row["kind"], row["text"], str(nth))
        full = row | {"id": str(uuid.uuid5(NAMESPACE, anchor))}
        if connection.execute(insert(_note).values(full).on_conflict_do_nothing()).rowcount:
            break
    return connection.execute(sa.select(_note).filter_by(id=full["id"])).one()


def _check(what: str, value: str, limit: int) -> None:
    if not value.strip():
        raise RequestError(f"A note's {what} is empty.")
    if len(value) > limit:
        raise RequestError(f"A note's {what} has {len(value):,} characters; {limit:,} are allowed.")
    if "\0" in value or value.encode("utf-8", "replace").decode() != value:
        raise RequestError(f"A note's {what} contains NULs or lone surrogates.")


def _note_of(row: Any) -> Note:
    return Note(row.id, row.kind, row.about, row.author, when(row.at), row.why, row.text)
