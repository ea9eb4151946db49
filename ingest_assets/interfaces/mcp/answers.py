"""The schemas of the tools' answers, which agents are told.

What belongs here: names and types. What does not: how answers are made.
"""

from __future__ import annotations

from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, Field, create_model

from ingest_assets.entities.decisions import Decision
from ingest_assets.entities.golden import Value
from ingest_assets.model import Common
from ingest_assets.notes import Note
from ingest_assets.queries.directory import Happened
from ingest_assets.queries.status import SourceStatus


class Page(BaseModel):
    next_cursor: str | None = Field(
        None, description="Pass it as `cursor` to get the next page; null on the last one."
    )


# What documents, chunks and hits have in common (`model.Common`). A field that is added there thus appears in
# every answer about one of them.
_common = {name: (kind, ...) for name, kind in get_type_hints(Common).items()}
_Common = create_model("_Common", **_common)  # type: ignore[call-overload]  # field names known only at run time


class SearchHit(_Common):
    score: float
    document_id: str = Field(description="The id of its document, for get_document.")
    entity_ids: list[str] = Field(description="The people and organisations it is about, for get_entity.")
    text: str = Field(description="The passage.")
    text_is_cut: bool = Field(description="Whether the passage is longer than this text.")
    chunk_id: str
    attributes: dict[str, Any] = Field(
        description="What its source adds, such as the path and lines of code."
    )


class SearchAnswer(Page):
    hits: list[SearchHit] = Field(description="Best first.")
    mode: Literal["dense", "sparse", "hybrid"]
    source: str = Field(description="The source that was searched; pass it to get_document too.")
    collection: str
    generation: int
    took_ms: float


class DocumentRow(_Common):
    document_id: str


class DocumentList(Page):
    documents: list[DocumentRow] = Field(description="In the order of their ids.")


class DocumentAnswer(_Common, Page):
    document_id: str
    source: str
    header: dict[str, str]
    text: str = Field(description="One page of its text; next_cursor leads to the rest.")
    text_start: int = Field(description="How many characters of the text precede this page.")
    text_length: int = Field(description="Length of the whole text in characters.")
    refs: list[str] = Field(description="The documents that it refers to.")
    entity_ids: list[str] = Field(description="The people and organisations it is about, for get_entity.")
    attributes: dict[str, Any]
    notes: list[Note] = Field(description="The ten newest notes on it; on the first page only.")


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
    values: dict[str, list[Value]] = Field(
        description="The best values of each field, and the records that have them."
    )
    records: list[MemberRow] = Field(description="Its records, oldest first.")
    records_count: int
    decisions: list[Decision] = Field(description="People's decisions about which records belong to it.")
    notes: list[Note] = Field(description="The five newest notes on it or its records.")


class EntityRow(BaseModel):
    entity_id: str
    kind: str
    name: str
    records: int


class EntityList(Page):
    entities: list[EntityRow] = Field(description="Closest name first.")


class HistoryEvent(BaseModel):
    number: int
    event: Happened


class HistoryAnswer(Page):
    asked: str
    entity_id: str | None = Field(
        description="The entity that the id leads to now; null when none of its records are left."
    )
    events: list[HistoryEvent] = Field(description="Newest first.")


class StatusAnswer(BaseModel):
    sources: dict[str, SourceStatus]


class NoteAnswer(BaseModel):
    note: Note
    document_id: str = Field(
        description="The id of the note's document, which exists after the next refresh."
    )
    message: str
