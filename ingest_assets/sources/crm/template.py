"""Templates of a mapping file: literal text with {column} placeholders that drop out when they are empty.

    {column}    the value of a column of the row; nothing when it is NULL or blank
    [ text ]    an optional part: left out when every placeholder in it is empty
    {{ }} [[ ]] the characters themselves

A line that has placeholders, all of them empty, is left out; blank lines that become adjacent are merged.
Square brackets around text without a placeholder are plain text. What belongs here: parsing and filling
templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

_TOKEN = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{[^{}\n]+\}|[\[\]{}]|[^\[\]{}]+")
_ESCAPES = {"{{": "{", "}}": "}", "[[": "[", "]]": "]"}


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder; the column's name in lower case, as SQLite compares names."""

    column: str


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """A run of literals and slots that stays or drops out as one; only an optional part drops out."""

    pieces: tuple[str | Slot, ...]
    optional: bool

    def slots(self) -> Iterator[Slot]:
        return (piece for piece in self.pieces if isinstance(piece, Slot))

    def fill(self, values: Mapping[str, str]) -> str:
        return "".join(piece if isinstance(piece, str) else values[piece.column] for piece in self.pieces)


Line = tuple[TemplatePart, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `columns` are the lower-case names of the columns that it needs."""

    lines: tuple[Line, ...]
    columns: frozenset[str]
    placeholder: str | None  # the column, when the template is one placeholder and nothing else

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises ValueError, saying where, for unmatched braces or brackets."""
        lines = tuple(tuple(_parts(line)) for line in text.split("\n"))
        columns = frozenset(slot.column for line in lines for part in line for slot in part.slots())
        pieces = [piece for line in lines for part in line for piece in part.pieces]
        alone = pieces[0].column if len(pieces) == 1 and isinstance(pieces[0], Slot) else None
        return cls(lines, columns, alone)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text for one row; `values` maps every column to its text, "" for NULL."""
        if (column := self.placeholder) is not None:
            return values[column].strip()
        if len(self.lines) == 1:
            return (_fill_line(self.lines[0], values) or "").strip()
        kept: list[str] = []
        for line in self.lines:
            text = _fill_line(line, values)
            if text is not None and (line or (kept and kept[-1])):
                kept.append(text)
        return "\n".join(kept).strip()

    def fill_uri(self, values: Mapping[str, str]) -> str:
        """As `fill`, each value percent-encoded, unless the template is one placeholder: then it is a URI."""
        if self.placeholder is not None:
            return self.fill(values)
        return self.fill({column: quote(values[column].strip(), safe="") for column in self.columns})


def _fill_line(line: Line, values: Mapping[str, str]) -> str | None:
    """The text of a line; None when it has placeholders and all are empty."""
    texts: list[str] = []
    has_slots = False
    has_value = False
    for part in line:
        filled = False
        for slot in part.slots():
            has_slots = True
            filled = filled or not _blank(values[slot.column])
        has_value = has_value or filled
        if filled or not part.optional:
            texts.append(part.fill(values))
    return None if has_slots and not has_value else "".join(texts)


def _blank(value: str) -> bool:
    return not value or value.isspace()


def _parts(line: str) -> Iterator[TemplatePart]:
    pieces: list[str | Slot] = []
    outside: list[str | Slot] | None = None  # what precedes the open optional part
    for match in _TOKEN.finditer(line):
        found = match.group()
        if found == "[":
            if outside is not None:
                raise ValueError(f"an optional part inside another, in {line!r}; write [[ for a bracket")
            outside, pieces = pieces, []
        elif found == "]" and outside is not None:
            if any(isinstance(piece, Slot) for piece in pieces):
                yield TemplatePart(tuple(outside), optional=False)
                yield TemplatePart(tuple(pieces), optional=True)
                pieces = []
            else:
                pieces = [*outside, "[", *pieces, "]"]
            outside = None
        else:
            pieces.append(_piece(found, line))
    if outside is not None:
        raise ValueError(f"an optional part is not closed on its line, in {line!r}; write [[ for a bracket")
    if pieces:
        yield TemplatePart(tuple(pieces), optional=False)


def _piece(token: str, line: str) -> str | Slot:
    if token in _ESCAPES:
        return _ESCAPES[token]
    if token in {"{", "}"}:
        raise ValueError(f"an unmatched brace, in {line!r}; write {{{{ or }}}} for a brace")
    return Slot(token[1:-1].strip().lower()) if token.startswith("{") else token
