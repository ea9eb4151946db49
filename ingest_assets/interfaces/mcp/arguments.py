"""The schemas of the tools' arguments, which agents are told, and their validation.

What belongs here: names, limits and a description of each argument. What does not: checks that need the
ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from ingest_assets.fields import BOUNDS, COMMON_FIELDS, FilterField, utc_of
from ingest_assets.notes import MAX_TEXT, MAX_WHY
from ingest_assets.settings import Settings
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.operations import MAX_ID, Arguments, Cursor, Id, Text
from ingest_assets.zones import known_zone


def _moment(value: str) -> str:
    if utc_of(value.strip()) is None:
        raise ValueError("must be a date or time such as 2026-01-31 or 2026-01-31T09:30:00Z")
    return value.strip()


MAX_VALUES = 400  # of all filters of a search
Values = Annotated[list[Id], Field(min_length=1, max_length=50)]
Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
Zone = Annotated[
    Annotated[str, Field(max_length=100), AfterValidator(known_zone)] | None,
    Field(description="The zone of dates, and of times that name none, such as Europe/Berlin. A date is the "
          "whole day there. By default that of the server."),
]  # fmt: skip
Source = Annotated[str | None, Field(max_length=MAX_ID)]


class Filters(Arguments):
    """Fields are combined with AND, the values of one field with OR. `search_model` adds the fields."""

    @model_validator(mode="after")
    def _few(self) -> Self:
        # However many fields the sources have, so that every search fits into a request.
        if sum(len(value) for _, value in self if isinstance(value, list)) > MAX_VALUES:
            raise ValueError(f"may have at most {MAX_VALUES} values in all")
        return self


class Search(Arguments):
    query: Annotated[Text, Field(max_length=2_000, description="What to search for, in plain language.")]
    mode: Literal["dense", "sparse", "hybrid"] = Field(
        "hybrid", description="dense: by meaning; sparse: by words; hybrid: both, usually the best choice."
    )
    source: Source = None
    filters: Filters = Field(default_factory=Filters)
    time_zone: Zone = None
    limit: int = Field(10, ge=1, le=50, description="Hits per page.")
    cursor: Cursor = None


class GetDocument(Arguments):
    document_id: Annotated[Id, Field(description="An id from search or list_documents.")]
    source: Source = None
    cursor: Cursor = None


class ListDocuments(Arguments):
    source: Source = None
    kind: Annotated[Id | None, Field(description='Only documents of this kind, such as "email".')] = None
    prefix: Annotated[
        Id | None, Field(description='Only documents whose ids begin with this, such as "people/".')
    ] = None
    since: Moment | None = Field(None, description="Only documents with this date or time, or a later one.")
    time_zone: Zone = None
    limit: int = Field(50, ge=1, le=200, description="Documents per page.")
    cursor: Cursor = None


class GetEntity(Arguments):
    entity_id: Annotated[
        Id,
        Field(
            description="The id of a person or organisation, or of one of its records. Earlier ids "
            "still work."
        ),
    ]
    source: Source = None
    cursor: Cursor = None


class FindEntities(Arguments):
    name: Annotated[Text, Field(max_length=300, description="A name, or the beginnings of its words.")]
    source: Source = None
    limit: int = Field(10, ge=1, le=100, description="Entities per page.")
    cursor: Cursor = None


class EntityHistory(GetEntity):
    limit: int = Field(50, ge=1, le=200, description="Events per page.")


Project = Annotated[Text, Field(max_length=500)] | None


class IndexStatus(Arguments):
    project_id: Project = Field(
        None, description="Only sources whose documents belong to projects, and of this one."
    )


class StartIndexing(Arguments):
    repo_path: Annotated[
        Text,
        Field(
            max_length=2_000,
            description="https://HOST/OWNER/NAME, on a host that the operator has listed for agents; if they "
            "allow it, or the server runs on your machine, also the absolute path of a folder.",
        ),
    ]
    project_id: Project = Field(
        None,
        description="Your own name for what the job belongs to. By default the repository's id, or the one "
        "project that your token is bound to.",
    )
    force_reindex: bool = Field(
        default=False, description="Read, cut and embed every file again, changed or not."
    )
    source: Annotated[Text, Field(max_length=100)] | None = Field(
        None, description="A source that has jobs. By default repositories."
    )
    committed_only: bool | None = Field(
        None,
        description="Of a folder on disk: read what is committed alone. By default it is read as it stands, "
        "with modified and new files that git does not ignore, unless the operator has set otherwise.",
    )


class JobId(Arguments):
    job_id: Annotated[
        Text, Field(max_length=100, description="The id that start_indexing_background returned.")
    ]


class ListJobs(Arguments):
    project_id: Project = Field(None, description="Only jobs of this project.")
    status: Annotated[Text, Field(max_length=100)] | None = Field(
        None, description="Only jobs with this status, for example running."
    )
    limit: int = Field(20, ge=1, le=100, description="Maximum number of jobs, newest first.")


class AddNote(Arguments):
    about: Annotated[Id, Field(description='The id of a document ("people/42") or of an entity.')]
    text: Annotated[Text, Field(max_length=MAX_TEXT, description="The note.")]
    why: Annotated[
        Text,
        Field(max_length=MAX_WHY, description="The reason for the note: who asked for it, what it is for."),
    ]


class FlagRecord(Arguments):
    document_id: Annotated[Id, Field(description='The record that is wrong, such as "people/42".')]
    reason: Annotated[Text, Field(max_length=MAX_WHY, description="What is wrong with it.")]


def model_with_source(model: type[Arguments], sources: Sequence[SourceDefinition]) -> type[Arguments]:
    """The same arguments, with a `source` that is one of these."""
    names = [source.name for source in sources]
    about = "; ".join(f"{source.name} ({source.words.about})" for source in sources)
    description = f"Which source: {about}. By default the first that is indexed."
    known = Annotated[
        str | None,
        AfterValidator(partial(_one_of, names)),
        Field(description=description, json_schema_extra={"enum": [*names, None]}),
    ]
    return create_model(model.__name__, __base__=model, source=(known, None))


def search_model(sources: Sequence[SourceDefinition], settings: Settings) -> type[Arguments]:
    """The arguments of a search, with a filter for every field of these sources."""
    of: dict[str, list[str]] = {}
    fields: dict[str, FilterField] = {}
    for source in sources:
        for field in source.search_fields(settings):
            fields[field.name] = field
            of.setdefault(field.name, []).append(source.name)
    common = [field for field in COMMON_FIELDS if field.name != "source"]
    values: dict[str, Any] = {field.name: _values(field, field.description) for field in common}
    values |= {
        name: _values(field, f"{field.description} Only in the source {' or '.join(of[name])}.")
        for name, field in fields.items()
    }
    values |= {bound.name: (Moment | None, Field(None, description=bound.description)) for bound in BOUNDS}
    filters = create_model("Filters", __base__=Filters, **values)
    model = create_model("Search", __base__=Search, filters=(filters, Field(default_factory=filters)))
    return model_with_source(model, sources)


def _values(field: FilterField, description: str) -> Any:
    form = "" if field.type == "keyword" else f" Format: {field.form}."
    return (Values | None, Field(None, description=f"{description}{form}"))


def _one_of(names: Sequence[str], value: str | None) -> str | None:
    if value is not None and value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return value
