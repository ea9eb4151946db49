"""Renders a row as a Document, by the templates of its [[documents]] entry.

What belongs here: how a row is rendered. What does not: SQL, and which rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest_assets.birth_dates import birth_date
from ingest_assets.fields import typed
from ingest_assets.model import ConfigurationError, Document, Identity, ItemError, Scalar
from ingest_assets.sources.crm import many, markup
from ingest_assets.sources.crm.databases import Row
from ingest_assets.sources.crm.extract import SEVERAL, Extract, referred_keys, several_rows
from ingest_assets.sources.crm.mapping import IDENTITY_COLUMNS
from ingest_assets.sources.crm.readings import unread
from ingest_assets.sources.crm.template import DATE, FILTERS, Template
from ingest_assets.sources.crm.text import Cell, as_number, clean, folded, is_text, key_part, spell


@dataclass(frozen=True, slots=True)
class Rendered:
    document: Document
    repaired: bool  # some text held control characters or invalid UTF-8


class Renderer:
    """Renders the rows of one Extract."""

    def __init__(self, extract: Extract) -> None:
        entry = extract.entry
        self._entry = entry
        self._position = {column: i for i, column in enumerate(extract.columns)}
        self._place = extract.place
        formats = {folded(column): form for column, form in entry.formats.items()}
        self._shown = [
            (column, name, self._position[column], formats.get(column))
            for column, (name, _) in entry.text_columns().items()
        ]
        self._times = extract.times
        self._filters = {**FILTERS, DATE: lambda text: self._times.read(text) or text}
        self._time = None if entry.time is None else self._position[folded(entry.time)]
        self._kind = Template.parse(entry.kind)
        self._title = Template.parse(entry.title)
        self._uri = Template.parse(entry.uri) if entry.uri else None
        self._body = Template.parse(entry.body)
        self._header = [(label, Template.parse(text)) for label, text in entry.header.items()]
        self._identity_parts = (
            {key: Template.parse(text) for key, text in entry.identity.templates()} if entry.identity else {}
        )
        self._attributes = {name: Template.parse(text) for name, text in entry.all_attributes().items()}
        self._types = {name: extract.fields[name].type for name in self._attributes}
        self._ref_columns = [
            (ref.to, [self._position[folded(column)] for column in ref.columns])
            for ref in entry.refs
            if ref.columns
        ]
        self._numeric = extract.numeric_keys
        self._ref_cells = [
            (ref.to, position, extract.ref_width(ref))
            for position, ref in enumerate(extract.ref_queries, len(extract.columns))
        ]

    def render(self, document_id: str, row: Row) -> Rendered:
        """Raises ItemError when a column that is shown holds binary data."""
        values: dict[str, str] = {}
        repaired = False
        for column, name, position, form in self._shown:
            text, changed = self._text(row[position], name, document_id)
            if form == "html" or (form is None and markup.is_html(text)):
                text = markup.text_of(text)
            values[column] = text
            repaired = repaired or changed
        missed: dict[str, str] = {}  # what could not be read, by what it should be
        filters = self._filters
        header = ((label, _one_line(template.fill(values, filters))) for label, template in self._header)
        document = Document(
            id=document_id,
            kind=_one_line(self._kind.fill(values, filters)) or self._entry.name,
            title=_one_line(self._title.fill(values, filters)) or document_id,
            uri=(self._uri.fill_uri(values, filters) if self._uri else "") or f"crm:{document_id}",
            time=self._read_time(row, missed),
            context=tuple((label, value) for label, value in header if value),
            body=self._body.fill(values, filters),
            refs=tuple(dict.fromkeys(self._refs(row))),
            identity=self._identity(values, missed),
            attributes={**self._attributes_of(values, missed), **unread(missed)},
        )
        return Rendered(document, repaired)

    def _text(self, cell: Cell, column: str, document_id: str) -> tuple[str, bool]:
        """A cell as text, and whether it had to be cleaned."""
        if cell is None:
            return "", False
        if isinstance(cell, int | float):
            return spell(cell), False
        if cell == SEVERAL:
            raise ConfigurationError(f"{self._place}: {several_rows(column, document_id)}")
        if isinstance(cell, bytes) and not is_text(cell):
            raise ItemError(
                f'{document_id}: the column "{column}" holds {len(cell):,} bytes of binary data, not text. '
                "Leave the column out of the mapping, or store text in it."
            )
        return clean(cell)

    def _read_time(self, row: Row, missed: dict[str, str]) -> str | None:
        if self._time is None:
            return None
        cell = row[self._time]
        value = clean(cell)[0].strip() if isinstance(cell, bytearray | bytes) else cell
        if value is None or value == "":
            return None
        time = self._times.read(value)
        if time is None:
            missed["time"] = value if isinstance(value, str) else spell(value)
        return time

    def _attributes_of(self, values: Mapping[str, str], missed: dict[str, str]) -> dict[str, Scalar]:
        """Those that are not empty, as their fields' types have them; what is not of its type is left out."""
        found: dict[str, Scalar] = {}
        for name, template in self._attributes.items():
            text = _one_line(template.fill(values, self._filters))
            if not text:
                continue
            read = self._times.read(text) if self._types[name] == "time" else text
            value = None if read is None else typed(read, self._types[name])
            if value is None:
                missed.setdefault("attributes", f"{name}: {text}")
            else:
                found[name] = value
        return found

    def _refs(self, row: Row) -> Iterable[str]:
        for to, positions in self._ref_columns:
            yield from self._ref(to, [row[position] for position in positions])
        for to, position, width in self._ref_cells:
            for key in referred_keys(row[position], width):
                yield from self._ref(to, key)

    def _ref(self, to: str, key: Sequence[Cell]) -> Iterable[str]:
        """The id of the document with this key; nothing when a part of it is NULL."""
        numeric = self._numeric[to]
        cells = (as_number(cell) if number else cell for cell, number in zip(key, numeric, strict=True))
        parts = [key_part(cell) for cell in cells]
        present = [part for part in parts if part is not None]
        return ["/".join([to, *present])] if len(present) == len(parts) else []

    def _identity(self, values: Mapping[str, str], missed: dict[str, str]) -> Identity | None:
        """None when the row says nothing about who it is."""
        mapped = self._entry.identity
        if mapped is None:
            return None
        texts = {
            key: _one_line(template.fill(values, self._filters))
            for key, template in self._identity_parts.items()
        }
        texts["birth_date"] = self._birth_date(texts.get("birth_date", ""), missed)
        lists = {key: _listed(key, values, mapped.columns(key), missed) for key in IDENTITY_COLUMNS}
        said: dict[str, Any] = {key: value for key, value in {**texts, **lists}.items() if value}
        return Identity(**{"kind": mapped.kind, "name": "", **said}) if said else None

    def _birth_date(self, text: str, missed: dict[str, str]) -> str:
        """The date as it is written if that can be read, else as the mapping says; "" if it is none."""
        if not text:
            return ""
        read = self._times.read(text)
        if read is not None and (self._times.says_order or not birth_date(text)):
            text = read[:10]
        if not birth_date(text):
            missed["birth_date"] = text
            return ""
        return text


def _listed(
    key: str, values: Mapping[str, str], columns: Iterable[str], missed: dict[str, str]
) -> tuple[str, ...]:
    """The values in the columns of one sort, each once."""
    found: dict[str, None] = {}
    for column in columns:
        text = values[folded(column)].strip()
        for value in many.split(key, text) if text else ():
            found[value] = None
            if not many.is_one(key, value):
                missed.setdefault(key, value)
    return tuple(found)


def _one_line(text: str) -> str:
    return " ".join(text.split())
