"""`get_document` and `list_documents`: documents as the ledger has them."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from ingest_assets import notes
from ingest_assets.doors.mcp.answers import DocumentAnswer, DocumentList, DocumentRow
from ingest_assets.doors.mcp.arguments import GetDocument, ListDocuments
from ingest_assets.doors.mcp.calls import Call
from ingest_assets.doors.mcp.paging import BUDGET, after, clip, cut, fitting, key_in, number_in, size
from ingest_assets.ledger import tables
from ingest_assets.model import ConfigurationError
from ingest_assets.notes import Note

# So that what stands beside the text leaves it room within the budget.
MOST_NOTES, MOST_REFS, MOST_HEADERS = 10, 50, 20
NOTE_CHARS, HEADER_CHARS = 300, 150

_document, _about = tables.document, tables.document_entities


def get_document(call: Call, asked: GetDocument) -> DocumentAnswer:
    """One document, with a page of its text."""
    start = number_in("get_document", asked, asked.cursor)
    key = {"source": asked.source, "document_id": asked.document_id}
    with call.bench.ledger.reading() as connection:
        row = connection.execute(sa.select(_document).filter_by(**key)).one_or_none()
        entities = connection.scalar(sa.select(_about.c.entity_ids).filter_by(**key))
    if row is None:
        raise ConfigurationError(
            f"There is no document {clip(asked.document_id, 100)!r} in {asked.source}: search and "
            "list_documents find ids. (A new note becomes a document with the next refresh.)"
        )
    if start > len(row.body):
        raise ConfigurationError("The document is shorter now than when the cursor was given: begin anew.")
    answer = DocumentAnswer(
        document_id=row.document_id,
        source=asked.source,
        kind=row.kind,
        title=clip(row.title, 300),
        uri=clip(row.uri, 1_000),
        time=row.time,
        header={label: clip(value, HEADER_CHARS) for label, value in json.loads(row.context)[:MOST_HEADERS]},
        text="",
        text_start=start,
        text_length=len(row.body),
        refs=json.loads(row.refs)[:MOST_REFS],
        entity_ids=json.loads(entities or "[]")[:MOST_REFS],
        attributes=json.loads(row.attributes),
        notes=[] if start else notes_on(call, [asked.document_id], MOST_NOTES),
    )
    answer.text = cut(row.body[start:], BUDGET - size(answer) - 500) if row.body[start:] else ""
    end = start + len(answer.text)
    if end < len(row.body):
        answer.next_cursor = after("get_document", asked, end)
    return answer


def list_documents(call: Call, asked: ListDocuments) -> DocumentList:
    """A page of documents, by id."""
    last = key_in("list_documents", asked, asked.cursor)
    query = sa.select(_document).where(_document.c.source == asked.source, _document.c.document_id > last)
    if asked.kind is not None:
        query = query.where(_document.c.kind == asked.kind)
    if asked.prefix is not None:
        # Not LIKE, which ignores case on SQLite.
        begins = sa.func.substr(_document.c.document_id, 1, len(asked.prefix))
        query = query.where(begins == asked.prefix)
    if asked.since is not None:
        # Times are ISO 8601 and compare as texts; one of another zone than UTC is off by its offset.
        query = query.where(_document.c.time >= _bound(asked.since))
    query = query.order_by(_document.c.document_id).limit(asked.limit + 1)
    with call.bench.ledger.reading() as connection:
        rows = [_row(row) for row in connection.execute(query)]
    shown = fitting(rows[: asked.limit], BUDGET - 1_000)
    more = len(rows) > len(shown)
    cursor = after("list_documents", asked, shown[-1].document_id) if more else None
    return DocumentList(documents=shown, next_cursor=cursor)


def notes_on(call: Call, ids: list[str], most: int) -> list[Note]:
    """The newest notes on some documents and entities, shortened."""
    found = notes.about(call.bench.ledger, ids, most)
    return [
        Note(n.id, n.kind, n.about, n.author, n.at, clip(n.why, NOTE_CHARS), clip(n.text, NOTE_CHARS))
        for n in found
    ]


def _bound(moment: str) -> str:
    """Midnight is the date, which also is before that day's times."""
    return moment[:10] if moment[11:19] == "00:00:00" else moment[:19]


def _row(row: Any) -> DocumentRow:
    return DocumentRow(
        document_id=row.document_id,
        kind=row.kind,
        title=clip(row.title, 200),
        uri=clip(row.uri, 300),
        time=row.time,
    )
