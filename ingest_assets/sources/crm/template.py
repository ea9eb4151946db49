"""Templates of a mapping file: literal text with {column} placeholders that drop out when they are empty.

    {column}         the value of a column of the row; nothing when it is NULL or blank
    {column|filter}  the value made into something else; FILTERS has the filters
    {column|other}   the value of another column where the first is empty; and so on: {a|b|html|c}
    {"column"}       a column whose name has blanks at its ends, a bar, a brace, or is that of a filter
    [ text ]         an optional part: left out when every placeholder in it is empty
    {{ }} [[ ]]      the characters themselves

A filter belongs to the column before it. A line that has placeholders, all of them empty, is left out; blank
lines that become adjacent are merged. Square brackets around text without a placeholder are plain text. What
belongs here: parsing and filling templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ingest_assets.sources.crm import markup
from ingest_assets.sources.crm.text import folded

_TOKEN = re.compile(r'\{\{|\}\}|\[\[|\]\]|\{(?:"[^"\n]*"|[^{}"\n])+\}|\{[^{}\n]+\}|[\[\]{}]|[^\[\]{}]+')
_ESCAPES = {"{{": "{", "}}": "}", "[[": "[", "]]": "]"}
_CHOICE = re.compile(r'\s*("(?:[^"]|"")*"|[^|]*?)\s*(?:\||$)')

Filter = Callable[[str], str]
DATE = "date"
# What may follow a column. How dates are read, the renderer of a kind knows.
FILTERS: Mapping[str, Filter] = {
    "html": markup.text_of,
    "lower": str.lower,
    "upper": str.upper,
    DATE: str,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A column, with its name as SQLite compares names, and what is made of its value."""

    column: str
    filters: tuple[str, ...] = ()

    def value(self, values: Mapping[str, str], filters: Mapping[str, Filter]) -> str:
        text = values[self.column]
        for name in self.filters if text else ():
            text = filters[name](text)
        return text


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder: the first of its choices that is not empty."""

    choices: tuple[Choice, ...]

    def value(self, values: Mapping[str, str], filters: Mapping[str, Filter]) -> str:
        text = ""
        for choice in self.choices:
            text = choice.value(values, filters)
            if not _blank(text):
                break
        return text


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """A run of literals and slots that stays or drops out as one; only an optional part drops out."""

    pieces: tuple[str | Slot, ...]
    optional: bool

    def slots(self) -> Iterator[Slot]:
        return (piece for piece in self.pieces if isinstance(piece, Slot))


Line = tuple[TemplatePart, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `columns` are those that it needs, by their folded names, as they are written."""

    lines: tuple[Line, ...]
    columns: Mapping[str, str]
    placeholder: Slot | None  # when the template is one placeholder and nothing else

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises ValueError, saying where, for unmatched braces or brackets."""
        names: dict[str, str] = {}
        lines = tuple(tuple(_parts(line, names)) for line in text.split("\n"))
        pieces = [piece for line in lines for part in line for piece in part.pieces]
        alone = pieces[0] if len(pieces) == 1 and isinstance(pieces[0], Slot) else None
        return cls(lines, names, alone)

    def fill(self, values: Mapping[str, str], filters: Mapping[str, Filter] = FILTERS) -> str:
        """The text for one row; `values` maps every column to its text, "" for NULL."""
        if self.placeholder is not None:
            return self.placeholder.value(values, filters).strip()
        if len(self.lines) == 1:
            return (_fill_line(self.lines[0], values, filters) or "").strip()
        kept: list[str] = []
        for line in self.lines:
            text = _fill_line(line, values, filters)
            if text is not None and (line or (kept and kept[-1])):
                kept.append(text)
        return "\n".join(kept).strip()

    def fill_uri(self, values: Mapping[str, str], filters: Mapping[str, Filter] = FILTERS) -> str:
        """As `fill`, each value percent-encoded, unless the template is one placeholder: then it is a URI."""
        if self.placeholder is not None:
            return self.fill(values, filters)
        encoded = {name: _encoded(filters[name]) for name in filters}
        return self.fill({column: quote(values[column].strip(), safe="") for column in self.columns}, encoded)


def _encoded(made: Filter) -> Filter:
    """A filter for percent-encoded values."""
    return lambda text: quote(made(unquote(text)).strip(), safe="")


def _fill_line(line: Line, values: Mapping[str, str], filters: Mapping[str, Filter]) -> str | None:
    """The text of a line; None when it has placeholders and all are empty."""
    texts: list[str] = []
    has_slots = False
    has_value = False
    for part in line:
        filled = False
        own: list[str] = []
        for piece in part.pieces:
            if isinstance(piece, str):
                own.append(piece)
                continue
            value = piece.value(values, filters)
            own.append(value)
            has_slots = True
            filled = filled or not _blank(value)
        has_value = has_value or filled
        if filled or not part.optional:
            texts += own
    return None if has_slots and not has_value else "".join(texts)


def _blank(value: str) -> bool:
    return not value or value.isspace()


def _parts(line: str, names: dict[str, str]) -> Iterator[TemplatePart]:
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
            pieces.append(_piece(found, line, names))
    if outside is not None:
        raise ValueError(f"an optional part is not closed on its line, in {line!r}; write [[ for a bracket")
    if pieces:
        yield TemplatePart(tuple(pieces), optional=False)


def _piece(token: str, line: str, names: dict[str, str]) -> str | Slot:
    if token in _ESCAPES:
        return _ESCAPES[token]
    if token in {"{", "}"}:
        raise ValueError(f"an unmatched brace, in {line!r}; write {{{{ or }}}} for a brace")
    return _slot(token[1:-1], line, names) if token.startswith("{") else token


def _slot(inside: str, line: str, names: dict[str, str]) -> Slot:
    choices: list[Choice] = []
    at = 0
    while at < len(inside):
        found = _CHOICE.match(inside, at)
        written = found[1] if found else ""
        if found is None or not written:
            raise ValueError(f"a placeholder without a column, in {line!r}")
        at = found.end()
        if choices and written in FILTERS:
            last = choices[-1]
            choices[-1] = Choice(last.column, (*last.filters, written))
            continue
        quoted = written.startswith('"') and written.endswith('"') and len(written) > 1
        name = written[1:-1].replace('""', '"') if quoted else written
        names.setdefault(folded(name), name)
        choices.append(Choice(folded(name)))
    return Slot(tuple(choices))
