"""`add_note` and `flag_record`: what agents write. It stays in the ledger and never reaches the CRM."""

from __future__ import annotations

import json
import time

import sqlalchemy as sa

from ingest_assets import notes
from ingest_assets.catalog import CRM, SOURCES
from ingest_assets.directory import living_id
from ingest_assets.doors.mcp.answers import NoteAnswer
from ingest_assets.doors.mcp.arguments import AddNote, FlagRecord
from ingest_assets.doors.mcp.calls import Call
from ingest_assets.doors.mcp.paging import clip
from ingest_assets.ledger import tables
from ingest_assets.model import ConfigurationError
from ingest_assets.notes import MAX_REFS, PREFIX, Kind, Subject

TITLE_CHARS = 200

_document, _member = tables.document, tables.entity_member


def add_note(call: Call, asked: AddNote) -> NoteAnswer:
    """Write a note down."""
    with call.bench.ledger.reading() as connection:
        subject = _record(connection, asked.about) or _entity(connection, asked.about)
    if subject is None:
        raise ConfigurationError(
            f"There is no document and no entity {clip(asked.about, 100)!r} to note something on: search and "
            "list_documents find documents, find_entities finds entities."
        )
    return _write(call, subject, "note", text=asked.text, why=asked.why)


def flag_record(call: Call, asked: FlagRecord) -> NoteAnswer:
    """Note that a record is wrong, for people to mend at its source."""
    with call.bench.ledger.reading() as connection:
        subject = _record(connection, asked.document_id)
    if subject is None:
        raise ConfigurationError(
            f"There is no document {clip(asked.document_id, 100)!r} to flag: search and "
            "list_documents find ids."
        )
    return _write(call, subject, "flag", text=asked.reason, why=asked.reason)


def _write(call: Call, subject: Subject, kind: Kind, *, text: str, why: str) -> NoteAnswer:
    note = notes.add(
        call.bench.ledger,
        subject,
        kind=kind,
        author=call.caller.name,
        why=why,
        text=text,
        at=time.time(),
        also=lambda connection, written: call.log(connection, "ok", f"{PREFIX}{written.id}"),
    )
    message = (
        "Written down. get_document and get_entity show it at once, search finds it after the next refresh."
    )
    shown = notes.Note(note.id, note.kind, note.about, note.author, note.at, note.why, clip(note.text, 1_000))
    return NoteAnswer(note=shown, document_id=PREFIX + note.id, message=message)


def _record(connection: sa.Connection, document_id: str) -> Subject | None:
    """A document of any source. Only the CRM's are linked with entities."""
    for source in SOURCES:
        query = sa.select(_document.c.title, _document.c.refs).filter_by(
            source=source, document_id=document_id
        )
        row = connection.execute(query).one_or_none()
        if row is not None:
            # What a meeting is about, a note on the meeting is about too.
            refs = [document_id, *json.loads(row.refs)] if source == CRM.name else []
            return Subject(document_id, clip(row.title, TITLE_CHARS), refs)
    return None


def _entity(connection: sa.Connection, asked: str) -> Subject | None:
    """A living entity, by any id that it ever had."""
    entity_id = living_id(connection, CRM.name, asked)
    query = (
        sa.select(_document.c.document_id, _document.c.title)
        .join(
            _member,
            sa.and_(_document.c.source == _member.c.source, _document.c.document_id == _member.c.document_id),
        )
        .where(_member.c.source == CRM.name, _member.c.entity_id == entity_id)
        .order_by(_member.c.seen)
        .limit(MAX_REFS)
    )
    rows = connection.execute(query).all()
    if not rows or entity_id is None:
        return None
    return Subject(entity_id, clip(rows[0].title, TITLE_CHARS), [row.document_id for row in rows])
