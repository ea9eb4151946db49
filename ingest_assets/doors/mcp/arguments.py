"""What tools take: the schemas that agents read, and what is refused.

What belongs here: names, bounds and one line on each. What does not: checks that need the ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ingest_assets.doors.mcp.paging import MAX_CURSOR
from ingest_assets.notes import MAX_TEXT, MAX_WHY

MAX_ID = 1_000


def _text(value: str) -> str:
    if "\0" in value or value.encode("utf-8", "replace").decode() != value:
        raise ValueError("must be text, without NUL and halves of characters")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _moment(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise ValueError("must be a date or time such as 2026-01-31 or 2026-01-31T09:30:00Z") from None


Text = Annotated[str, Field(min_length=1), AfterValidator(_text)]
Id = Annotated[Text, Field(max_length=MAX_ID)]
Values = Annotated[list[Id], Field(min_length=1, max_length=50)]
Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
Source = Annotated[
    Literal["crm", "repositories"],
    Field(description="crm: people, organisations, interactions and notes; repositories: source code."),
]
Cursor = Annotated[
    str | None,
    Field(max_length=MAX_CURSOR, description="next_cursor of the answer before, with the same arguments."),
]


class Arguments(BaseModel):
    """Names that are not known are refused, so that a filter that is misspelt is never ignored."""

    model_config = ConfigDict(extra="forbid")


class Filters(Arguments):
    """Fields are combined with AND, the values of one with OR."""

    kind: Values | None = Field(None, description='Of the CRM, such as "person", "email", "note", "flag".')
    entity_ids: Values | None = Field(
        None, description="Of find_entities; an id that was merged since leads to its successor. CRM only."
    )
    document_id: Values | None = Field(None, description="Only chunks of these documents.")
    since: Moment | None = Field(None, description="Not before: 2026-01-31 or 2026-01-31T09:30:00Z.")
    until: Moment | None = Field(None, description="Not after.")
    repository: Values | None = Field(None, description="Ids such as github.com/owner/name. Code only.")
    path: Values | None = Field(None, description="Exact paths within a repository. Code only.")
    language: Values | None = Field(None, description='Such as "Python". Code only.')
    symbol_kind: Values | None = Field(None, description='Such as "function", "class". Code only.')
    symbol_name: Values | None = Field(None, description="Exact names of symbols. Code only.")


class Search(Arguments):
    query: Annotated[Text, Field(max_length=2_000, description="What to look for, in plain words.")]
    mode: Literal["dense", "sparse", "hybrid"] = Field(
        "hybrid", description="dense: by meaning; sparse: by words; hybrid: both, the best unless you know."
    )
    source: Source = "crm"
    filters: Filters = Field(default_factory=Filters)
    limit: int = Field(10, ge=1, le=50, description="Hits a page.")
    cursor: Cursor = None


class GetDocument(Arguments):
    document_id: Annotated[Id, Field(description='Such as "people/42" or "notes/…".')]
    source: Source = "crm"
    cursor: Cursor = None


class ListDocuments(Arguments):
    source: Source = "crm"
    kind: Annotated[Id | None, Field(description='Only of this kind, such as "email".')] = None
    prefix: Annotated[Id | None, Field(description='Only ids that begin so, such as "people/".')] = None
    since: Moment | None = Field(None, description="Only those that happened then or later.")
    limit: int = Field(50, ge=1, le=200, description="Documents a page.")
    cursor: Cursor = None


class GetEntity(Arguments):
    entity_id: Annotated[
        Id, Field(description='An entity\'s id, an earlier id of it, or one of its records ("people/42").')
    ]
    cursor: Cursor = None


class FindEntities(Arguments):
    name: Annotated[Text, Field(max_length=300, description="A name, or the beginnings of its parts.")]
    limit: int = Field(10, ge=1, le=100, description="Entities a page.")
    cursor: Cursor = None


class EntityHistory(GetEntity):
    limit: int = Field(50, ge=1, le=200, description="Events a page.")


class IndexStatus(Arguments):
    pass


class StartIndexing(Arguments):
    repo_path: Annotated[
        Text,
        Field(
            max_length=2_000,
            description="An https URL, or what the server's settings allow besides: an ssh address, or the "
            "absolute path of a repository on the server.",
        ),
    ]
    project_id: Annotated[Text, Field(max_length=500)] | None = Field(
        None, description="Your name for what the job belongs to; the repository's id by default."
    )
    force_reindex: bool = Field(default=False, description="Look at every file again, changed or not.")


class JobId(Arguments):
    job_id: Annotated[Text, Field(max_length=100, description="As start_indexing_background gave it.")]


class AddNote(Arguments):
    about: Annotated[Id, Field(description='The id of a document ("people/42") or of an entity.')]
    text: Annotated[Text, Field(max_length=MAX_TEXT, description="The note.")]
    why: Annotated[Text, Field(max_length=MAX_WHY, description="Why it is made: who asked, what it is for.")]


class FlagRecord(Arguments):
    document_id: Annotated[Id, Field(description='The record that is wrong, such as "people/42".')]
    reason: Annotated[Text, Field(max_length=MAX_WHY, description="What is wrong with it.")]
