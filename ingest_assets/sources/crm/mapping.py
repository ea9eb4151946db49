"""The mapping file: which tables of a CRM hold documents, and how a row is rendered. TOML, no code.

What belongs here: the format (`default.toml` documents every key by example), its validation and its
errors. What does not: the database; whether its tables and columns exist is checked by `extract`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from ingest_assets.fields import BOUNDS, COMMON_FIELDS, NAME, FieldType, FilterField
from ingest_assets.model import COMMON_PAYLOAD, ConfigurationError, IdentityKind, digest_of
from ingest_assets.sources.crm.faults import Fault, faults_of, place_of, require
from ingest_assets.sources.crm.readings import UNREAD
from ingest_assets.sources.crm.template import Template
from ingest_assets.sources.crm.text import folded
from ingest_assets.sources.crm.times import TimeReader, require_format
from ingest_assets.zones import known_zone, zone_named

DEFAULT_MAPPING = Path(__file__).with_name("default.toml")
MAPPINGS = Path(__file__).with_name("mappings")

# Bump when the same row is rendered differently, so that every document is rendered again.
RENDER_VERSION = "3"


def _parsable(text: str) -> str:
    Template.parse(text)
    return text


def _one_select(sql: str) -> str:
    bare = sql.strip().rstrip(";").rstrip()
    if not bare.lower().startswith(("select", "with")):
        raise ValueError("must be one SELECT (or WITH ... SELECT)")
    return bare


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


TemplateText = Annotated[str, AfterValidator(_parsable)]
Select = Annotated[str, AfterValidator(_one_select)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed)]
Formats = Annotated[tuple[Annotated[str, AfterValidator(require_format)], ...], BeforeValidator(_listed)]
Zone = Annotated[str, AfterValidator(known_zone)]
# How a column's text is read: as it is, or as HTML.
Format = Literal["text", "html"]
# Columns, by their names as SQLite compares names: as they are written, and the key that uses each.
Used = dict[str, tuple[str, str]]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RefMapping(_Table):
    """Documents that a row is about: given by its own columns, or by a query with one row for each."""

    to: str
    columns: Names = ()
    query: Select | None = None

    @model_validator(mode="after")
    def _one_way(self) -> RefMapping:
        if bool(self.columns) == bool(self.query):
            raise ValueError("needs either columns or query")
        return self


class ValuesQuery(_Table):
    """Values of an identity that are kept elsewhere: a SELECT with one value per row."""

    query: Select


Values = Names | ValuesQuery

IDENTITY_COLUMNS = ("emails", "phones", "domains", "identifiers")
IDENTITY_TEMPLATES = (
    "name",
    "given_name",
    "family_name",
    "birth_date",
    "title",
    "organisation",
    "address",
    "place",
    "postcode",
)


class IdentityMapping(_Table):
    """What a row says about who a person or an organisation is."""

    kind: IdentityKind
    name: TemplateText
    emails: Values = ()
    phones: Values = ()
    domains: Values = ()
    identifiers: Values = ()
    given_name: TemplateText = ""
    family_name: TemplateText = ""
    birth_date: TemplateText = ""
    title: TemplateText = ""
    organisation: TemplateText = ""
    address: TemplateText = ""
    place: TemplateText = ""
    postcode: TemplateText = ""

    def templates(self) -> Iterator[tuple[str, str]]:
        """(key, template) of those that are set."""
        for key in IDENTITY_TEMPLATES:
            if text := getattr(self, key):
                yield key, text

    def queries(self) -> dict[str, str]:
        """Queries for values, by the names of the columns that stand for them in a row."""
        given = ((key, getattr(self, key)) for key in IDENTITY_COLUMNS)
        return {f"identity.{key}": each.query for key, each in given if isinstance(each, ValuesQuery)}

    def columns(self, key: str) -> tuple[str, ...]:
        """The columns that hold the values of one of IDENTITY_COLUMNS."""
        given: Values = getattr(self, key)
        return (f"identity.{key}",) if isinstance(given, ValuesQuery) else given


class FieldMapping(_Table):
    """One entry of [fields]: what documents can be filtered by, besides what all can."""

    type: FieldType = "keyword"
    description: Annotated[str, Field(min_length=1)]
    label: str = ""


class DocumentMapping(_Table):
    """One [[documents]] entry: a kind of document, with one document per row of `table` or `query`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    table: Name | None = None
    query: Select | None = None
    columns: dict[Name, Select] = {}
    key: Annotated[Names, Field(min_length=1)]
    kind: Annotated[TemplateText, Field(min_length=1)]
    title: TemplateText
    uri: TemplateText = ""
    time: Name | None = None
    time_format: Formats = ()
    time_zone: Zone | None = None
    formats: dict[Name, Format] = {}
    header: dict[Name, TemplateText] = {}
    body: TemplateText = ""
    refs: tuple[RefMapping, ...] = ()
    identity: IdentityMapping | None = None
    attributes: dict[Name, TemplateText] = {}
    filters: Names = ()

    @model_validator(mode="after")
    def _one_origin(self) -> DocumentMapping:
        if bool(self.table) == bool(self.query):
            raise ValueError("needs either table or query")
        return self

    @model_validator(mode="after")
    def _formats_are_used(self) -> DocumentMapping:
        shown = self.text_columns()
        for column in self.formats:
            if folded(column) not in shown:
                raise ValueError(f"formats has the column {column!r}, which nothing shows")
        return self

    @cached_property
    def digest(self) -> str:
        """Of everything that decides how a row becomes a document, including the order of header lines."""
        # Defaults are left out, so that a key added to the format later leaves the digests alone.
        plain = self.model_dump(mode="json", exclude_defaults=True)
        return digest_of(RENDER_VERSION, json.dumps(plain, ensure_ascii=True))

    def queries(self) -> dict[str, str]:
        """Queries for values of the identity, by the columns that stand for them in a row."""
        return self.identity.queries() if self.identity else {}

    def all_attributes(self) -> dict[str, str]:
        """`attributes`, and those that `filters` stands for: columns as they are."""
        short = {field_of(column): '{"' + column.replace('"', '""') + '"}' for column in self.filters}
        return {**short, **self.attributes}

    def templates(self) -> Iterator[tuple[str, str]]:
        """(key in the file, template) of every template."""
        yield from (("kind", self.kind), ("title", self.title), ("uri", self.uri), ("body", self.body))
        yield from ((f"header.{label}", text) for label, text in self.header.items())
        if self.identity:
            yield from ((f"identity.{key}", text) for key, text in self.identity.templates())
        yield from ((f"attributes.{name}", text) for name, text in self.all_attributes().items())

    def text_columns(self) -> Used:
        """The columns shown as text, with the first key in the file that uses each."""
        used: Used = {}
        for where, text in self.templates():
            for column, name in sorted(Template.parse(text).columns.items()):
                used.setdefault(column, (name, where))
        if self.identity:
            for what in IDENTITY_COLUMNS:
                for column in self.identity.columns(what):
                    used.setdefault(folded(column), (column, f"identity.{what}"))
        return used

    def used_columns(self) -> Used:
        """Every column that a document depends on, like `text_columns`; those of the key come first."""
        used = {folded(column): (column, "key") for column in self.key}
        for column, use in self.text_columns().items():
            used.setdefault(column, use)
        if self.time:
            used.setdefault(folded(self.time), (self.time, "time"))
        for number, ref in enumerate(self.refs, 1):
            for column in ref.columns:
                used.setdefault(folded(column), (column, f"refs number {number}"))
        return used


class CrmMapping(_Table):
    """A whole mapping file."""

    documents: Annotated[tuple[DocumentMapping, ...], Field(min_length=1)]
    fields: dict[Annotated[str, Field(pattern=NAME.pattern)], FieldMapping] = {}
    # For entries that say nothing of their own.
    time_format: Formats = ()
    time_zone: Zone | None = None
    _origin: str = PrivateAttr(default="the mapping")

    @property
    def origin(self) -> str:
        """The file, for messages."""
        return self._origin

    @cached_property
    def digest(self) -> str:
        return digest_of(*(self.digest_of(document) for document in self.documents))

    def digest_of(self, document: DocumentMapping) -> str:
        """Of everything that decides how a row becomes a document, the types of its attributes included."""
        fields = self.all_fields
        types = [f"{name} {fields[name].type}" for name in document.all_attributes()]
        times = [f"time {self.time_format} {self.time_zone}"] if self.time_format or self.time_zone else []
        return digest_of(document.digest, *types, *times) if types or times else document.digest

    def time_reader(self, document: DocumentMapping) -> TimeReader:
        """How the times of a kind of document are read."""
        zone = document.time_zone or self.time_zone
        return TimeReader(document.time_format or self.time_format, zone_named(zone) if zone else None)

    @cached_property
    def all_fields(self) -> Mapping[str, FieldMapping]:
        """`fields`, and those of the columns under `filters` that are not declared there: keywords."""
        short = {
            field_of(column): FieldMapping(description=f"Only documents with this {_in_words(column)}.")
            for document in self.documents
            for column in document.filters
        }
        return {**short, **self.fields}

    def filter_fields(self) -> tuple[FilterField, ...]:
        """What the documents can be filtered by, besides what all can."""
        return tuple(
            FilterField(name=name, type=each.type, description=each.description, label=each.label)
            for name, each in self.all_fields.items()
        )

    @model_validator(mode="after")
    def _together(self) -> CrmMapping:
        require(self.faults())
        return self

    def faults(self, others: Collection[str] = (), declared: Collection[str] = ()) -> Iterator[Fault]:
        """What is wrong with entries that are right by themselves.

        `others` are names of entries, `declared` names of fields, that are in the file too.
        """
        yield from self._faults_of_fields({*self.fields, *declared})
        widths: dict[str, int] = {}
        for number, document in enumerate(self.documents):
            if document.name in widths:
                yield Fault(("documents", number, "name"), f"two [[documents]] are named {document.name!r}")
            widths[document.name] = len(document.key)
        names = {*widths, *others}
        for number, document in enumerate(self.documents):
            for position, ref in enumerate(document.refs):
                where = ("documents", number, "refs", position)
                if ref.to not in names:
                    yield Fault(
                        (*where, "to"),
                        f"refs of {document.name!r} point to {ref.to!r}, which is none of: "
                        f"{', '.join(sorted(names))}",
                    )
                elif ref.columns and len(ref.columns) != widths.get(ref.to, len(ref.columns)):
                    yield Fault(
                        (*where, "columns"),
                        f"refs of {document.name!r} to {ref.to!r} name {len(ref.columns)} columns, "
                        f"but its key has {widths[ref.to]}",
                    )

    def _faults_of_fields(self, declared: Collection[str]) -> Iterator[Fault]:
        taken = {each.name for each in (*COMMON_FIELDS, *BOUNDS)} | COMMON_PAYLOAD
        made = {
            field_of(column): ("documents", number, "filters", position)
            for number, document in enumerate(self.documents)
            for position, column in enumerate(document.filters)
        }
        for name in self.all_fields:
            where = ("fields", name) if name in self.fields else made[name]
            if name in taken or name.startswith(UNREAD):
                yield Fault(where, f"the field {name!r} is one that every document has")
            elif not NAME.fullmatch(name):
                yield Fault(
                    where,
                    f"filters cannot make a field of the column {name!r}: declare one under [fields], and "
                    "use attributes",
                )
        for number, document in enumerate(self.documents):
            for name in document.attributes:
                if name not in declared:
                    names = ", ".join(self.fields) or "none"
                    yield Fault(
                        ("documents", number, "attributes", name),
                        f"{document.name!r} has an attribute {name!r}; [fields] has: {names}",
                    )

    def key_width(self, name: str) -> int:
        """How many columns the key of a document kind has."""
        return next(len(document.key) for document in self.documents if document.name == name)


def field_of(column: str) -> str:
    """The name of the field that a column under `filters` is found by: "Deal stage" is deal_stage."""
    return re.sub(r"[^a-z0-9]+", "_", folded(column)).strip("_") or column


def _in_words(column: str) -> str:
    return field_of(column).replace("_", " ")


def load_mapping(path: Path | None = None) -> CrmMapping:
    """Read and check a mapping file; None reads that of the default schema (`schema.sql`).

    Raises ConfigurationError naming the file, the table in it and the key.
    """
    path = path or DEFAULT_MAPPING
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The mapping file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested too deeply
        raise ConfigurationError(f"The mapping file {path} is not valid TOML: {error}.") from error
    try:
        mapping = CrmMapping.model_validate(data)
    except ValidationError as error:
        lines = [f"  {place_of(where, data)}: {message}" for where, message in faults_of(error, data)]
        raise ConfigurationError("\n".join([f"The mapping file {path} is wrong:", *lines])) from error
    mapping._origin = str(path)
    return mapping
