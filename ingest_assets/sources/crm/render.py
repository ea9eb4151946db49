"""Renders a row as a Document, by the templates of its [[documents]] entry.

What belongs here: how a row is rendered. What does not: SQL, and which rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest_assets.fields import typed
from ingest_assets.model import Document, Identity, ItemError, Scalar
from ingest_assets.sources.crm.extract import Extract, Row, referred_keys
from ingest_assets.sources.crm.mapping import IDENTITY_COLUMNS
from ingest_assets.sources.crm.template import Template
from ingest_assets.sources.crm.text import Cell, clean, is_text, iso_time, key_part, spell


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
        self._shown = [(column, self._position[column]) for column in entry.text_columns()]
        self._kind = Template.parse(entry.kind)
        self._title = Template.parse(entry.title)
        self._uri = Template.parse(entry.uri) if entry.uri else None
        self._body = Template.parse(entry.body)
        self._header = [(label, Template.parse(text)) for label, text in entry.header.items()]
        self._identity_parts = (
            {key: Template.parse(text) for key, text in entry.identity.templates()} if entry.identity else {}
        )
        self._attributes = {name: Template.parse(text) for name, text in entry.attributes.items()}
        self._types = {name: extract.fields[name].type for name in entry.attributes}
        self._ref_columns = [
            (ref.to, [self._position[column.lower()] for column in ref.columns])
            for ref in entry.refs
            if ref.columns
        ]
        self._ref_cells = [
            (ref.to, position, extract.ref_width(ref))
            for position, ref in enumerate(extract.ref_queries, len(extract.columns))
        ]

    def render(self, document_id: str, row: Row) -> Rendered:
        """Raises ItemError when a column that is shown holds binary data."""
        values: dict[str, str] = {}
        repaired = False
        for column, position in self._shown:
            values[column], changed = _text(row[position], column, document_id)
            repaired = repaired or changed
        header = ((label, _one_line(template.fill(values))) for label, template in self._header)
        time = self._entry.time
        document = Document(
            id=document_id,
            kind=_one_line(self._kind.fill(values)) or self._entry.name,
            title=_one_line(self._title.fill(values)) or document_id,
            uri=(self._uri.fill_uri(values) if self._uri else "") or f"crm:{document_id}",
            time=iso_time(row[self._position[time.lower()]]) if time else None,
            context=tuple((label, value) for label, value in header if value),
            body=self._body.fill(values),
            refs=tuple(dict.fromkeys(self._refs(row))),
            identity=self._identity(values),
            attributes=self._attributes_of(document_id, values),
        )
        return Rendered(document, repaired)

    def _attributes_of(self, document_id: str, values: Mapping[str, str]) -> dict[str, Scalar]:
        """Those that are not empty, as their fields' types have them.

        Raises ItemError for what is not of one.
        """
        found: dict[str, Scalar] = {}
        for name, template in self._attributes.items():
            text = _one_line(template.fill(values))
            if not text:
                continue
            value = typed(text, self._types[name])
            if value is None:
                raise ItemError(
                    f"{document_id}: the attribute {name} is a {self._types[name]}, not {text!r}."
                )
            found[name] = value
        return found

    def _refs(self, row: Row) -> Iterable[str]:
        for to, positions in self._ref_columns:
            yield from _ref(to, [row[position] for position in positions])
        for to, position, width in self._ref_cells:
            for key in referred_keys(row[position], width):
                yield from _ref(to, key)

    def _identity(self, values: Mapping[str, str]) -> Identity | None:
        """None when the row says nothing about who it is."""
        mapped = self._entry.identity
        if mapped is None:
            return None
        texts = {key: _one_line(template.fill(values)) for key, template in self._identity_parts.items()}
        lists = {key: _filled(values, getattr(mapped, key)) for key in IDENTITY_COLUMNS}
        said: dict[str, Any] = {key: value for key, value in {**texts, **lists}.items() if value}
        return Identity(**{"kind": mapped.kind, "name": "", **said}) if said else None


def _ref(to: str, key: Iterable[Cell]) -> Iterable[str]:
    """The id of the document with this key; nothing when a part of it is NULL."""
    parts = [key_part(cell) for cell in key]
    present = [part for part in parts if part is not None]
    return ["/".join([to, *present])] if len(present) == len(parts) else []


def _filled(values: Mapping[str, str], columns: Iterable[str]) -> tuple[str, ...]:
    texts = (values[column.lower()].strip() for column in columns)
    return tuple(dict.fromkeys(text for text in texts if text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text(cell: Cell, column: str, document_id: str) -> tuple[str, bool]:
    if cell is None:
        return "", False
    if isinstance(cell, int | float):
        return spell(cell), False
    if isinstance(cell, bytes) and not is_text(cell):
        raise ItemError(
            f'{document_id}: the column "{column}" holds {len(cell):,} bytes of binary data, not text. '
            "Leave the column out of the mapping, or store text in it."
        )
    return clean(cell)
