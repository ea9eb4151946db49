"""The mapping file: which tables of a CRM hold documents, and how a row is rendered. TOML, no code.

What belongs here: the format (`default.toml` documents every key by example), its validation and its
errors. What does not: the database; whether its tables and columns exist is checked by `extract`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

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
from ingest_assets.sources.crm.template import Template

DEFAULT_MAPPING = Path(__file__).with_name("default.toml")
MAPPINGS = Path(__file__).with_name("mappings")

# Bump when the same row is rendered differently, so that every document is rendered again.
RENDER_VERSION = "1"


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
    emails: Names = ()
    phones: Names = ()
    domains: Names = ()
    identifiers: Names = ()
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
    header: dict[Name, TemplateText] = {}
    body: TemplateText = ""
    refs: tuple[RefMapping, ...] = ()
    identity: IdentityMapping | None = None
    attributes: dict[Name, TemplateText] = {}

    @model_validator(mode="after")
    def _one_origin(self) -> DocumentMapping:
        if bool(self.table) == bool(self.query):
            raise ValueError("needs either table or query")
        return self

    @cached_property
    def digest(self) -> str:
        """Of everything that decides how a row becomes a document, including the order of header lines."""
        # Defaults are left out, so that a key added to the format later leaves the digests alone.
        plain = self.model_dump(mode="json", exclude_defaults=True)
        return digest_of(RENDER_VERSION, json.dumps(plain, ensure_ascii=True))

    def templates(self) -> Iterator[tuple[str, str]]:
        """(key in the file, template) of every template."""
        yield from (("kind", self.kind), ("title", self.title), ("uri", self.uri), ("body", self.body))
        yield from ((f"header.{label}", text) for label, text in self.header.items())
        if self.identity:
            yield from ((f"identity.{key}", text) for key, text in self.identity.templates())
        yield from ((f"attributes.{name}", text) for name, text in self.attributes.items())

    def text_columns(self) -> dict[str, str]:
        """Lower-case names of the columns shown as text -> the first key in the file that uses them."""
        used: dict[str, str] = {}
        for where, text in self.templates():
            for column in sorted(Template.parse(text).columns):
                used.setdefault(column, where)
        if self.identity:
            for what in IDENTITY_COLUMNS:
                for column in getattr(self.identity, what):
                    used.setdefault(column.lower(), f"identity.{what}")
        return used

    def used_columns(self) -> dict[str, str]:
        """Every column that a document depends on, like `text_columns`; those of the key come first."""
        used = {column.lower(): "key" for column in self.key}
        used |= {column: where for column, where in self.text_columns().items() if column not in used}
        if self.time:
            used.setdefault(self.time.lower(), "time")
        for number, ref in enumerate(self.refs, 1):
            for column in ref.columns:
                used.setdefault(column.lower(), f"refs number {number}")
        return used


class CrmMapping(_Table):
    """A whole mapping file."""

    documents: Annotated[tuple[DocumentMapping, ...], Field(min_length=1)]
    fields: dict[Annotated[str, Field(pattern=NAME.pattern)], FieldMapping] = {}
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
        types = [f"{name} {self.fields[name].type}" for name in document.attributes]
        return digest_of(document.digest, *types) if types else document.digest

    def filter_fields(self) -> tuple[FilterField, ...]:
        """What the documents can be filtered by, besides what all can."""
        return tuple(
            FilterField(name=name, type=each.type, description=each.description, label=each.label)
            for name, each in self.fields.items()
        )

    @model_validator(mode="after")
    def _declared(self) -> CrmMapping:
        taken = {each.name for each in (*COMMON_FIELDS, *BOUNDS)} | COMMON_PAYLOAD
        for name in self.fields:
            if name in taken:
                raise ValueError(f"the field {name!r} is one that every document has")
        for document in self.documents:
            for name in document.attributes:
                if name not in self.fields:
                    names = ", ".join(self.fields) or "none"
                    raise ValueError(f"{document.name!r} has an attribute {name!r}; [fields] has: {names}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> CrmMapping:
        widths: dict[str, int] = {}
        for document in self.documents:
            if document.name in widths:
                raise ValueError(f"two [[documents]] are named {document.name!r}")
            widths[document.name] = len(document.key)
        for document in self.documents:
            for ref in document.refs:
                if ref.to not in widths:
                    names = ", ".join(sorted(widths))
                    raise ValueError(
                        f"refs of {document.name!r} point to {ref.to!r}, which is none of: {names}"
                    )
                if ref.columns and len(ref.columns) != widths[ref.to]:
                    raise ValueError(
                        f"refs of {document.name!r} to {ref.to!r} name {len(ref.columns)} columns, "
                        f"but its key has {widths[ref.to]}"
                    )
        return self

    def key_width(self, name: str) -> int:
        """How many columns the key of a document kind has."""
        return next(len(document.key) for document in self.documents if document.name == name)


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
        lines = [f"  {_place(detail['loc'], data)}: {_complaint(detail)}" for detail in error.errors()]
        raise ConfigurationError("\n".join([f"The mapping file {path} is wrong:", *lines])) from error
    mapping._origin = str(path)
    return mapping


def _place(location: Sequence[int | str], data: dict[str, Any]) -> str:
    """Where in the file: '[[documents]] number 2 "people", key title'."""
    match location:
        case ["documents", int(index), *rest]:
            entry = data["documents"][index]
            name = entry.get("name") if isinstance(entry, dict) else None
            place = f"[[documents]] number {index + 1}" + (f' "{name}"' if name else "")
            key = ".".join(str(part) for part in rest if part != "[key]")
            return f"{place}, key {key}" if key else place
        case _:
            return ".".join(str(part) for part in location) or "the file"


def _complaint(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    return "there is no such key" if detail["type"] == "extra_forbidden" else message
