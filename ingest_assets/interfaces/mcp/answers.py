"""The schemas of the tools' answers, which agents are told.

What belongs here: names and types. What does not: how answers are made.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, Self, get_type_hints

from pydantic import BaseModel, Field, create_model

from ingest_assets.document_text import DocumentText, FromDocuments
from ingest_assets.entities.decisions import Decision
from ingest_assets.interfaces.job_service import JobStatus
from ingest_assets.model import Common
from ingest_assets.notes import Note
from ingest_assets.paging import clip
from ingest_assets.queries.directory import Happened
from ingest_assets.queries.status import SourceStatus

_ABOUT = (
    "What it is about: people and organisations, for get_entity, or entities of a graph, for the tools that "
    "look those up."
)

_STALE = "Why it is an older version of its document: the newer one was refused. Null if it is up to date."


class Page(BaseModel):
    next_cursor: str | None = Field(
        None, description="Pass it as `cursor` to get the next page; null on the last one."
    )


# What documents, chunks and hits have in common (`model.Common`). A field that is added there thus appears in
# every answer about one of them.
_common = {name: (kind, ...) for name, kind in get_type_hints(Common).items()} | {
    "title": (DocumentText, ...)
}
_Common = create_model("_Common", **_common)  # type: ignore[call-overload]  # field names known only at run time


class NoteRow(BaseModel):
    """A note, which may repeat what a document says."""

    id: str
    kind: str
    about: str
    author: str
    at: str
    why: DocumentText
    text: DocumentText

    @classmethod
    def of(cls, note: Note, most: int) -> Self:
        """The note, with texts of at most so many characters."""
        return cls(**asdict(note) | {"why": clip(note.why, most), "text": clip(note.text, most)})


class ValueRow(BaseModel):
    value: DocumentText
    records: list[str]


class SearchHit(_Common):
    score: float
    document_id: str = Field(description="The id of its document, for get_document.")
    entity_ids: list[str] = Field(description=_ABOUT)
    text: DocumentText = Field(description="The passage.")
    text_is_cut: bool = Field(description="Whether the passage is longer than this text.")
    chunk_id: str
    attributes: dict[str, Any] = Field(
        description="What its source adds, such as the path and lines of code."
    )
    stale: str | None = Field(None, description=_STALE)


class SearchAnswer(Page, FromDocuments):
    hits: list[SearchHit] = Field(description="Best first.")
    mode: Literal["dense", "sparse", "hybrid"]
    source: str = Field(description="The source that was searched; pass it to get_document too.")
    collection: str
    generation: int
    took_ms: float


class DocumentRow(_Common):
    document_id: str


class DocumentList(Page, FromDocuments):
    documents: list[DocumentRow] = Field(description="In the order of their ids.")


class DocumentAnswer(_Common, Page, FromDocuments):
    document_id: str
    source: str
    header: dict[str, DocumentText]
    text: DocumentText = Field(description="One page of its text; next_cursor leads to the rest.")
    text_start: int = Field(
        description="How many characters of the text precede this page; marks do not count."
    )
    text_length: int = Field(description="Length of the whole text in characters.")
    refs: list[str] = Field(description="The documents that it refers to.")
    entity_ids: list[str] = Field(description=_ABOUT)
    attributes: dict[str, Any]
    stale: str | None = Field(None, description=_STALE)
    missing: list[str] = Field(
        description="Why search does not find it, or not all of it; on the first page only. Empty if it does."
    )
    notes: list[NoteRow] = Field(description="The ten newest notes on it; on the first page only.")


class MemberRow(BaseModel):
    document_id: str
    title: DocumentText
    uri: str


class EntityAnswer(Page, FromDocuments):
    asked: str
    entity_id: str
    kind: str
    name: DocumentText
    earlier_ids: list[str]
    values: dict[str, list[ValueRow]] = Field(
        description="The best values of each field, and the records that have them."
    )
    records: list[MemberRow] = Field(description="Its records, oldest first.")
    records_count: int
    decisions: list[Decision] = Field(description="People's decisions about which records belong to it.")
    notes: list[NoteRow] = Field(description="The five newest notes on it or its records.")


class EntityRow(BaseModel):
    entity_id: str
    kind: str
    name: DocumentText
    records: int


class EntityList(Page, FromDocuments):
    entities: list[EntityRow] = Field(description="Closest name first.")


class HistoryEvent(BaseModel):
    number: int
    event: Happened


class HistoryAnswer(Page, FromDocuments):
    asked: str
    entity_id: str | None = Field(
        description="The entity that the id leads to now; null when none of its records are left."
    )
    events: list[HistoryEvent] = Field(description="Newest first.")


class StatusAnswer(BaseModel):
    installation: str = Field(description="The id of the installation that the index belongs to.")
    sources: dict[str, SourceStatus]


class JobsAnswer(BaseModel):
    jobs: list[JobStatus] = Field(description="Newest first.")
    more: bool = Field(description="Whether there are older ones. Ask more precisely to see them.")


class NoteAnswer(FromDocuments):
    note: NoteRow
    document_id: str = Field(
        description="The id of the note's document, which exists after the next refresh."
    )
    message: str
