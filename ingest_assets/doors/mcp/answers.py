"""What tools answer. Every answer is of these shapes, and agents are told them.

What belongs here: names and types. What does not: how answers are made.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from ingest_assets.directory import Happened
from ingest_assets.entities.decisions import Decision
from ingest_assets.entities.golden import Value
from ingest_assets.notes import Note
from ingest_assets.status import SourceStatus


class Page(BaseModel):
    next_cursor: str | None = Field(None, description="Pass it as `cursor` for the rest; null at the end.")


class SearchHit(BaseModel):
    score: float
    document_id: str = Field(description="For get_document.")
    title: str
    kind: str
    time: str | None
    uri: str
    entity_ids: list[str] = Field(description="For get_entity.")
    text: str = Field(description="The piece that was found.")
    text_is_cut: bool = Field(description="Whether there is more of the piece than is shown.")
    chunk_id: str
    attributes: dict[str, Any] = Field(description="Of code: repository, path, language, symbol and lines.")


class SearchAnswer(Page):
    hits: list[SearchHit] = Field(description="Best first.")
    mode: Literal["dense", "sparse", "hybrid"]
    collection: str
    generation: int
    took_ms: float


class DocumentRow(BaseModel):
    document_id: str
    kind: str
    title: str
    uri: str
    time: str | None


class DocumentList(Page):
    documents: list[DocumentRow] = Field(description="By id.")


class DocumentAnswer(Page):
    document_id: str
    source: str
    kind: str
    title: str
    uri: str
    time: str | None
    header: dict[str, str]
    text: str = Field(description="A page of its text; the rest by next_cursor.")
    text_start: int = Field(description="Characters of the text before this page.")
    text_length: int = Field(description="Characters of the whole text.")
    refs: list[str] = Field(description="The documents that it is about.")
    entity_ids: list[str] = Field(description="For get_entity.")
    attributes: dict[str, Any]
    notes: list[Note] = Field(description="On it, the newest ten, with its first page.")


class MemberRow(BaseModel):
    document_id: str
    title: str
    uri: str


class EntityAnswer(Page):
    asked: str
    entity_id: str
    kind: str
    name: str
    earlier_ids: list[str]
    values: dict[str, list[Value]] = Field(description="The best values of each field, and who has them.")
    records: list[MemberRow] = Field(description="Its records in the CRM, the oldest first.")
    records_count: int
    decisions: list[Decision] = Field(description="What people decided about who it is.")
    notes: list[Note] = Field(description="On it or its records, the newest five.")


class EntityRow(BaseModel):
    entity_id: str
    kind: str
    name: str
    records: int


class EntityList(Page):
    entities: list[EntityRow] = Field(description="The closest name first.")


class HistoryEvent(BaseModel):
    number: int
    event: Happened


class HistoryAnswer(Page):
    asked: str
    entity_id: str | None = Field(description="What the id stands for now; null when nothing is left.")
    events: list[HistoryEvent] = Field(description="The newest first.")


class StatusAnswer(BaseModel):
    sources: dict[str, SourceStatus]


class NoteAnswer(BaseModel):
    note: Note
    document_id: str = Field(description="Of the note, once the index was refreshed.")
    message: str
