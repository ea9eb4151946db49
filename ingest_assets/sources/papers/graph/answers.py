"""What is answered about the graph: entities, statements, walks, and the sentences that say so.

What belongs here: the types of answers, for people, programs and agents alike. What does not: finding them
(`graph_queries`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ingest_assets.document_text import DocumentText, FromDocuments

# Text that papers, and who extracted them, wrote.
PaperText = DocumentText
Direction = Literal["out", "in", "both"]


class Answer(FromDocuments):
    """An answer that holds text of papers."""


class Page(BaseModel):
    next_cursor: str | None = Field(
        None, description="Pass it as `cursor` to get the next page; null on the last one."
    )


class EntityRef(BaseModel):
    entity_id: str
    name: PaperText
    entity_class: str


class Asked(BaseModel):
    """The entity that was meant, and what had to be followed to find it."""

    asked: str = Field(description="As it was asked for.")
    entity: EntityRef
    gave_way: bool = Field(
        default=False,
        description="Whether the id that was asked for gave way to this entity's; use the new one.",
    )


class Paper(BaseModel):
    paper_id: str
    title: PaperText
    journal: PaperText = ""
    year: int | None = None
    retracted: bool = Field(default=False, description="Whether the paper was retracted. Say so.")
    retraction_said_by: str = Field(
        default="",
        description="The paper that says that it was retracted, if it does not say so itself. Anybody may "
        "have added that one: say whose claim it is.",
    )


class Sentence(BaseModel):
    """A sentence of a paper that says so."""

    text: PaperText
    paper: Paper
    section: str | None = Field(None, description="The id of the section it stands in, if known.")
    confidence: float


class Words(BaseModel):
    """A place where a paper mentions an entity."""

    text: PaperText
    paper_id: str
    section: str | None = None


class Statement(BaseModel):
    """What papers say of two entities."""

    subject: EntityRef
    predicate: str
    object: EntityRef
    confidence: float
    evidence_count: int = Field(description="How many sentences say so, in all papers.")
    papers: list[str] = Field(description="Ids of the papers that say so, at most ten.")
    papers_count: int
    evidence: list[Sentence] = Field(description="The best sentences, the surest first.")


class EntityHit(EntityRef):
    synonyms: list[PaperText] = Field(description="Other names, at most five.")
    mentions: int
    papers_count: int


class EntityList(Page, Answer):
    entities: list[EntityHit] = Field(description="Closest name first.")
    cut: bool = Field(description="Whether more names match than were compared: say more words of the name.")


class EntityAnswer(Asked, Answer):
    """An entity in full."""

    provisional: bool = Field(description="No authority (MeSH, HGNC, ...) has given it an id yet.")
    url: str | None = Field(description="Its page at its authority.")
    synonyms: list[PaperText] = Field(description="Other names, at most twenty.")
    earlier_ids: list[str] = Field(description="Ids that gave way to this one, at most twenty.")
    mentions: int
    papers: list[Paper] = Field(description="Papers that mention it or say something of it, at most ten.")
    papers_count: int
    mentioned: list[Words] = Field(description="Some places where it is mentioned, at most five.")
    statements: list[Statement] = Field(description="What papers say of it, the surest first.")


class StatementList(Page, Answer):
    subject: Asked | None = None
    object: Asked | None = None
    statements: list[Statement] = Field(description="The surest first.")
    cut: str = Field("", description='What was left out, "" if nothing was.')


class Neighbour(BaseModel):
    entity: EntityRef
    direction: Literal["out", "in"] = Field(
        description='"out": the entity that was asked about is the subject; "in": it is the object.'
    )
    statement: Statement


class NeighbourList(Page, Asked, Answer):
    neighbours: list[Neighbour] = Field(description="The surest statement first.")


class Reached(BaseModel):
    entity: EntityRef
    hops: int
    by: Statement = Field(description="The statement by which it was reached.")


class ReachedList(Page, Asked, Answer):
    reached: list[Reached] = Field(description="The nearest first, then the surest.")
    count: int = Field(description="How many entities were found, on all pages.")
    cut: str = Field(description='What was left out, "" if nothing was.')


class PathAnswer(Answer):
    start: Asked
    end: Asked
    hops: int | None = Field(description="How many statements connect the two; null if none were found.")
    steps: list[Statement] = Field(description="From the start to the end; each may point either way.")
    cut: str = Field(description='What was left out of the search, "" if nothing was.')


class BundleInfo(BaseModel):
    bundle_id: str = Field(description="A digest of the content: equal ids mean equal graphs.")
    bundle_version: str
    label: str
    created_at: str
    counts: dict[str, int]


class Stats(BaseModel):
    bundle_id: str
    entities: int
    provisional: int
    relationships: int
    mentions: int
    evidence: int
    papers: int
    classes: dict[str, int] = Field(description="How many entities each class has, most first.")
    predicates: dict[str, int] = Field(description="How many relationships each predicate has, most first.")
