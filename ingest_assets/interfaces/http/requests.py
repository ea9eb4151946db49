"""What a request may contain.

Sizes and types are checked here, names and values of the index by the library.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from ingest_assets.fields import BOUNDS, COMMON_FIELDS
from ingest_assets.jobs.event_log import MAX_SEQUENCE
from ingest_assets.queries.search import MAX_LIMIT, Mode
from ingest_assets.sources.registry import load_sources
from ingest_assets.zones import known_zone

_sources = load_sources()
MAX_EVENT = 2**53 - 1  # the highest number that every reader of JSON reads exactly
MAX_QUERY_CHARS = 10_000
MAX_VALUES = 1_000
# Control characters, except tabs and line breaks, and lone surrogates, which UTF-8 cannot encode.
_INVALID = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _text(value: str) -> str:
    if _INVALID.search(value):
        raise ValueError("It contains characters that are not valid text, such as NUL")
    return value


def _line(value: str) -> str:
    if "\n" in value or "\r" in value or "\t" in value:
        raise ValueError("It contains a line break or a tab")
    return _text(value)


Text = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS), AfterValidator(_text)]
Line = Annotated[str, Field(min_length=1, max_length=4_096), AfterValidator(_line)]


_PROJECT = (
    "Your own name for what the repository belongs to. By default its id, or the one project that your token "
    "is bound to."
)
_FORCE = "Read, cut and embed every file again, changed or not."


def _filters_description() -> str:
    common = ", ".join(each.name for each in (*COMMON_FIELDS, *BOUNDS))
    own = "".join(
        f" The source {source.name} also has {', '.join(each.name for each in source.search_fields())}."
        for source in _sources.values()
        if source.search_fields()
    )
    return (
        "Values by field: one value, or a list of which one must match. All fields must match. "
        f"Every source has {common}.{own} GET /sources lists all fields with their types, "
        "those that settings add too."
    )


class _Search(BaseModel, extra="forbid"):
    query: Text = Field(description="What to search for, in plain language.")
    source: str | None = Field(
        None,
        description=f"The source to search: {', '.join(_sources)}. By default the first that is indexed.",
        max_length=100,
    )
    mode: Mode = Field("hybrid", description="dense (by meaning), sparse (by words) or hybrid (both).")
    limit: int = Field(10, ge=1, le=MAX_LIMIT, description="Maximum number of hits.")
    time_zone: Line | None = Field(
        None,
        description="The zone of dates in filters, and of times that name none, such as Europe/Berlin. A "
        "date is the whole day there. By default INGEST_TIME_ZONE, else UTC.",
        max_length=100,
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return None if value is None else known_zone(value)

    @field_validator("source")
    @classmethod
    def _known_source(cls, value: str | None) -> str | None:
        if value is not None and value not in _sources:
            raise ValueError(f"There is no such source. Sources: {', '.join(_sources)}")
        return value


class SearchBody(_Search):
    """A search, as JSON."""

    filters: dict[str, Annotated[list[Line], Field(max_length=MAX_VALUES)] | Line] = Field(
        default_factory=dict,
        max_length=20,
        description=_filters_description(),
    )

    @property
    def where(self) -> dict[str, list[str]]:
        """The filters as the library takes them."""
        return {name: [value] if isinstance(value, str) else value for name, value in self.filters.items()}


class SearchQuery(_Search):
    """A search, as query parameters."""

    filter: list[Line] = Field(
        default_factory=list,
        max_length=MAX_VALUES,
        description="FIELD=VALUE, for example kind=email or since=2026-01-31. Repeat it for more fields, or "
        "for several values of one field.",
    )

    @field_validator("filter")
    @classmethod
    def _pairs(cls, value: list[str]) -> list[str]:
        for pair in value:
            key, separator, wanted = pair.partition("=")
            if not (key and separator and wanted):
                raise ValueError("A filter is FIELD=VALUE, for example kind=email")
        return value

    @property
    def where(self) -> dict[str, list[str]]:
        """The filters as the library takes them."""
        fields: dict[str, list[str]] = {}
        for pair in self.filter:
            key, _, value = pair.partition("=")
            fields.setdefault(key, []).append(value)
        return fields


class IngestQuery(BaseModel, extra="forbid"):
    """A repository to index while the job's events are streamed."""

    repo_url: Line = Field(description="The repository's URL, or an absolute path where those are allowed.")
    git_ref: Line | None = Field(
        None, description="A branch, tag or commit; by default the repository's default branch."
    )
    project_id: Line | None = Field(None, max_length=500, description=_PROJECT)
    force_reindex: bool = Field(default=False, description=_FORCE)


class StatusQuery(BaseModel, extra="forbid"):
    """Of what to show the status."""

    project_id: Line | None = Field(
        None, max_length=500, description="Only sources whose documents belong to projects, and of this one."
    )


class EventsQuery(BaseModel, extra="forbid"):
    """Where to begin a job's events."""

    after: int = Field(
        -1,
        ge=-1,
        le=MAX_SEQUENCE,
        description="Only events after this sequence number; -1 (the default) for all events.",
    )


class StreamQuery(BaseModel, extra="forbid"):
    """Where to begin the events of a source."""

    after: int | None = Field(
        None,
        ge=0,
        le=MAX_EVENT,
        description="Only events after this sequence number; 0 for all that are kept. Without it, and "
        "without the header `Last-Event-ID`, only new ones.",
    )


class JobsQuery(BaseModel, extra="forbid"):
    """Which jobs to list."""

    status: Line | None = Field(None, description="Only jobs with this status, for example running.")
    project_id: Line | None = Field(None, max_length=500, description="Only jobs of this project.")
    limit: int = Field(50, ge=1, le=500, description="Maximum number of jobs, newest first.")


class JobBody(BaseModel, extra="forbid"):
    """A repository to index in the background."""

    repo_url: Line | None = Field(None, description="The repository's URL.")
    repo_path: Line | None = Field(None, description="Instead of repo_url: an absolute path on the server.")
    git_ref: Line | None = Field(
        None, description="A branch, tag or commit; by default the repository's default branch."
    )
    project_id: Line | None = Field(None, max_length=500, description=_PROJECT)
    force_reindex: bool = Field(default=False, description=_FORCE)
    source: Line | None = Field(None, description="A source that has jobs. By default repositories.")
    committed_only: bool | None = Field(
        None,
        description="Of a folder on disk: read what is committed alone. By default it is read as it stands, "
        "with modified and new files that git does not ignore, unless the operator has set otherwise.",
    )
    allow_removals: bool = Field(
        default=False,
        description="Remove what is gone, however much it is. Without it, a job that would remove more than "
        "the server's settings let go fails before it changes anything.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_repository(cls, given: Any) -> Any:
        if isinstance(given, dict) and (given.get("repo_url") is None) == (given.get("repo_path") is None):
            raise ValueError("Give either repo_url or repo_path")
        return given

    @property
    def repo(self) -> str:
        """The repository's URL or path."""
        return self.repo_url or self.repo_path or ""
