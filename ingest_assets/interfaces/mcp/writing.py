"""`add_note` and `flag_record`. What agents write stays in the ledger and never reaches the source."""

from __future__ import annotations

import json
import time

import sqlalchemy as sa

from ingest_assets import notes
from ingest_assets.interfaces.mcp.answers import NoteAnswer, NoteRow
from ingest_assets.interfaces.mcp.arguments import AddNote, FlagRecord
from ingest_assets.interfaces.mcp.calls import Call
from ingest_assets.ledger import tables
from ingest_assets.model import RequestError
from ingest_assets.notes import MAX_REFS, PREFIX, Kind, Subject
from ingest_assets.paging import clip
from ingest_assets.stages.hidden import shown_documents
from ingest_assets.stages.ids_meant import document_meant
from ingest_assets.stages.successors import living_id
from ingest_assets.workbench import Workbench

TITLE_CHARS = 200

_document, _member = tables.document, tables.entity_member


def add_note(call: Call, asked: AddNote) -> NoteAnswer:
    """Write a note on a document or an entity."""
    subject = _record(call.bench, asked.about) or _entity(call.bench, asked.about)
    if subject is None:
        raise RequestError(
            f"There is no document and no entity {clip(asked.about, 100)!r}. Use search or list_documents to "
            "find documents, and find_entities to find entities."
        )
    return _write(call, subject, "note", text=asked.text, why=asked.why)


def flag_record(call: Call, asked: FlagRecord) -> NoteAnswer:
    """Note that a record is wrong, for people to correct it in its source."""
    subject = _record(call.bench, asked.document_id)
    if subject is None:
        raise RequestError(
            f"There is no document {clip(asked.document_id, 100)!r}. Use search or list_documents to find "
            "ids."
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
        in_transaction=lambda connection, written: call.log(connection, "ok", f"{PREFIX}{written.id}"),
    )
    message = "Saved. get_document and get_entity show it at once; search finds it after the next refresh."
    return NoteAnswer(note=NoteRow.of(note, 1_000), document_id=PREFIX + note.id, message=message)


def _record(bench: Workbench, document_id: str) -> Subject | None:
    """A document of any source. Only documents of the source that takes notes are linked to entities."""
    notes_source = bench.sources.taking_notes()
    shown = {name: shown_documents(bench, name) for name in bench.sources}
    with bench.ledger.reading() as connection:
        for source in bench.sources.values():
            found = document_meant(connection, source.name, document_id)
            query = sa.select(_document.c.title, _document.c.refs).filter_by(
                source=source.name, document_id=found
            )
            row = connection.execute(query.where(*shown[source.name])).one_or_none()
            if row is not None:
                if source.hidden_by:
                    raise RequestError(
                        f"Documents of {source.name} take no notes: they may have to be hidden, and a note "
                        "on one would stay."
                    )
                # A note on a meeting is also about whatever the meeting is about.
                refs = [found, *json.loads(row.refs)] if source is notes_source else []
                return Subject(found, clip(row.title, TITLE_CHARS), refs)
    return None


def _entity(bench: Workbench, asked: str) -> Subject | None:
    """An entity of the source that takes notes, by its current id or an earlier one."""
    notes_source = bench.sources.taking_notes()
    if notes_source is None:
        return None
    here = sa.and_(_document.c.source == _member.c.source, _document.c.document_id == _member.c.document_id)
    with bench.ledger.reading() as connection:
        entity_id = living_id(connection, notes_source.name, asked)
        query = (
            sa.select(_document.c.document_id, _document.c.title)
            .join(_member, here)
            .where(_member.c.source == notes_source.name, _member.c.entity_id == entity_id)
            .order_by(_member.c.seen)
            .limit(MAX_REFS)
        )
        rows = connection.execute(query).all()
    if not rows or entity_id is None:
        return None
    return Subject(entity_id, clip(rows[0].title, TITLE_CHARS), [row.document_id for row in rows])
