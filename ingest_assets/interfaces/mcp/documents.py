"""`get_document` and `list_documents`: documents as the ledger has them."""

from __future__ import annotations

from typing import Any

from ingest_assets import notes
from ingest_assets.fields import BOUNDS, SINCE, in_zone
from ingest_assets.interfaces.mcp.answers import DocumentAnswer, DocumentList, DocumentRow, NoteRow
from ingest_assets.interfaces.mcp.arguments import GetDocument, ListDocuments
from ingest_assets.interfaces.mcp.calls import Call
from ingest_assets.model import RequestError, common_of
from ingest_assets.paging import BUDGET, clip, cursor_at, cut, fitting, key_in, offset_in, size
from ingest_assets.queries import documents
from ingest_assets.queries.asked import zone_of
from ingest_assets.queries.reach import sources_within
from ingest_assets.queries.status import source_meant
from ingest_assets.queries.whereabouts import missing_of, near, refusals

# Limits on the other fields, so that there is room for the text within the size budget.
MAX_NOTES, MAX_REFS, MAX_HEADERS = 10, 50, 20
NOTE_CHARS, HEADER_CHARS = 300, 150


def get_document(call: Call, asked: GetDocument) -> DocumentAnswer:
    """A document, with one page of its text."""
    start = offset_in("get_document", asked, asked.cursor)
    source = source_meant(call.bench, asked.source, call.reach)
    found = documents.find(call.bench, source, asked.document_id, call.reach)
    if found is None:
        raise RequestError(_no_document(call, source, asked.document_id))
    document, body = found.document, found.document.body
    if start > len(body):
        raise RequestError(
            "The document has become shorter since the cursor was made. Begin again without it."
        )
    answer = DocumentAnswer(
        **_common(document, 300, 1_000),
        document_id=document.id,
        source=source,
        header={label: clip(value, HEADER_CHARS) for label, value in document.context[:MAX_HEADERS]},
        text="",
        text_start=start,
        text_length=len(body),
        refs=list(document.refs[:MAX_REFS]),
        entity_ids=list(found.entity_ids[:MAX_REFS]),
        attributes=dict(document.attributes),
        stale=found.stale,
        missing=[]
        if start
        else [clip(each, 500) for each in missing_of(call.bench, source, found, call.reach)],
        notes=[] if start else notes_on(call, [document.id], MAX_NOTES),
    )
    answer.text = cut(body[start:], BUDGET - size(answer) - 500) if body[start:] else ""
    end = start + len(answer.text)
    if end < len(body):
        answer.next_cursor = cursor_at("get_document", asked, end)
    return answer


def _no_document(call: Call, source: str, document_id: str) -> str:
    said = f"There is no document {clip(document_id, 100)!r} in {source}."
    reasons = [clip(each, 500) for each in refusals(call.bench, source, document_id, call.reach)]
    like = [clip(each, 100) for each in near(call.bench, source, document_id, call.reach)]
    others = f"Ids like it: {', '.join(like)}." if like else ""
    find = "Use search or list_documents to find ids. (A new note becomes a document with the next refresh.)"
    return " ".join(filter(None, [said, *reasons, others, find]))


def list_documents(call: Call, asked: ListDocuments) -> DocumentList:
    """A page of documents, in the order of their ids."""
    source = source_meant(call.bench, asked.source, call.reach)
    rows = [
        DocumentRow(**_common(row, 200, 300), document_id=row.document_id)
        for row in documents.listed(
            call.bench,
            source,
            after=key_in("list_documents", asked, asked.cursor),
            limit=asked.limit + 1,
            kind=asked.kind,
            prefix=asked.prefix,
            since=_since(call, asked),
            reach=call.reach,
        )
    ]
    shown = fitting(rows[: asked.limit], BUDGET - 1_000)
    more = len(rows) > len(shown)
    cursor = cursor_at("list_documents", asked, shown[-1].document_id) if more else None
    return DocumentList(documents=shown, next_cursor=cursor)


def _since(call: Call, asked: ListDocuments) -> str | None:
    if asked.since is None:
        return None
    zone = zone_of(call.bench, asked.time_zone)
    return in_zone({SINCE: [asked.since]}, BOUNDS, zone)[SINCE][0]


def _common(holder: object, title_chars: int, uri_chars: int) -> dict[str, Any]:
    found = common_of(holder)
    return found | {"title": clip(found["title"], title_chars), "uri": clip(found["uri"], uri_chars)}


def notes_on(call: Call, ids: list[str], most: int) -> list[NoteRow]:
    """The newest notes on these documents and entities, shortened; none if notes are out of reach."""
    notes_of = call.bench.sources.taking_notes()
    if notes_of is None or notes_of.name not in sources_within(call.bench, call.reach):
        return []
    return [NoteRow.of(note, NOTE_CHARS) for note in notes.about(call.bench.ledger, ids, most)]
