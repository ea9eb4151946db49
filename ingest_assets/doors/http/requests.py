"""What a request may say. The limits are here; what a word means to the index, the library checks."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from ingest_assets.catalog import SOURCES
from ingest_assets.jobs.rows import Status
from ingest_assets.search.query import MAX_LIMIT, Mode

MAX_QUERY_CHARS = 10_000
MAX_VALUES = 1_000
# Control characters but for tabs and ends of lines, and halves of characters, which UTF-8 cannot say.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _text(value: str) -> str:
    if _NO_TEXT.search(value):
        raise ValueError("It holds characters that are no text, such as NUL")
    return value


def _line(value: str) -> str:
    if "\n" in value or "\r" in value or "\t" in value:
        raise ValueError("It holds the end of a line")
    return _text(value)


Text = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS), AfterValidator(_text)]
Line = Annotated[str, Field(min_length=1, max_length=4_096), AfterValidator(_line)]


class _Search(BaseModel, extra="forbid"):
    query: Text = Field(description="What to look for, in plain words.")
    source: str = Field(SOURCES[0], description=f"Which source: {', '.join(SOURCES)}.", max_length=100)
    mode: Mode = Field("hybrid", description="dense (meaning), sparse (words) or hybrid (both).")
    limit: int = Field(10, ge=1, le=MAX_LIMIT, description="How many hits at most.")

    @field_validator("source")
    @classmethod
    def _known_source(cls, value: str) -> str:
        if value not in SOURCES:
            raise ValueError(f"There is no such source. Sources: {', '.join(SOURCES)}")
        return value


class SearchBody(_Search):
    """A search, as JSON."""

    filters: dict[str, Annotated[list[Line], Field(max_length=MAX_VALUES)] | Line] = Field(
        default_factory=dict,
        max_length=20,
        description="Field: the value, or the values of which one must match. Of every source document_id, "
        "kind, entity_ids, source, since and until (ISO 8601); of code also repository, path, language, "
        "symbol_kind and symbol_name.",
    )

    @property
    def where(self) -> dict[str, list[str]]:
        """As the library takes it."""
        return {name: [value] if isinstance(value, str) else value for name, value in self.filters.items()}


class SearchQuery(_Search):
    """A search, as parameters of the address."""

    filter: list[Line] = Field(
        default_factory=list,
        max_length=MAX_VALUES,
        description="KEY=VALUE, as often as needed: kind=email, since=2026-01-31.",
    )

    @field_validator("filter")
    @classmethod
    def _pairs(cls, value: list[str]) -> list[str]:
        for pair in value:
            key, separator, wanted = pair.partition("=")
            if not (key and separator and wanted):
                raise ValueError("A filter is KEY=VALUE, for example kind=email")
        return value

    @property
    def where(self) -> dict[str, list[str]]:
        """As the library takes it."""
        fields: dict[str, list[str]] = {}
        for pair in self.filter:
            key, _, value = pair.partition("=")
            fields.setdefault(key, []).append(value)
        return fields


class IngestQuery(BaseModel, extra="forbid"):
    """A repository to index while its events are watched."""

    repo_url: Line = Field(description="The repository's URL, or an absolute path where those are allowed.")
    git_ref: Line | None = Field(None, description="A branch, tag or commit; the default branch by default.")


class EventsQuery(BaseModel, extra="forbid"):
    """From where to replay a job's events."""

    after: int = Field(-1, ge=-1, description="The sequence number after which to begin; -1: at the first.")


class JobsQuery(BaseModel, extra="forbid"):
    """Which jobs to list."""

    status: Status | None = Field(None, description="Only those in this state.")
    limit: int = Field(50, ge=1, le=500, description="How many at most, the newest first.")


class JobBody(BaseModel, extra="forbid"):
    """A repository to index in the background."""

    repo_url: Line | None = Field(None, description="The repository's URL.")
    repo_path: Line | None = Field(None, description="Or an absolute path on the server.")
    git_ref: Line | None = Field(None, description="A branch, tag or commit; the default branch by default.")
    project_id: Line | None = Field(None, description="A name of yours for what the repository belongs to.")
    force_reindex: bool = Field(default=False, description="Look at every file again.")

    @model_validator(mode="before")
    @classmethod
    def _one_repository(cls, given: Any) -> Any:
        if isinstance(given, dict) and (given.get("repo_url") is None) == (given.get("repo_path") is None):
            raise ValueError("Give repo_url or repo_path, one of them")
        return given

    @property
    def repo(self) -> str:
        """Whichever was given."""
        return self.repo_url or self.repo_path or ""
