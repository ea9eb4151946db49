"""One [[documents]] entry while it is drafted, the columns that are left for it, and how templates name them.

What belongs here: what `roles` and `draft` share. What does not: decisions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest_assets.sources.crm.mapping_tools import words as w
from ingest_assets.sources.crm.mapping_tools.facts import Column, Table
from ingest_assets.sources.crm.template import FILTERS
from ingest_assets.sources.crm.text import folded

_PLAIN = re.compile(r"[^{}|\"\[\]\n]+")


@dataclass(slots=True)
class Kind:
    """One [[documents]] entry; `notes` are its comments."""

    name: str
    table: Table
    title_columns: list[Column]
    title: str
    kind: str
    where: str = ""  # SQL that leaves rows out
    time: str = ""
    time_format: str = ""
    body: str = ""
    formats: dict[str, str] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    refs: list[dict[str, object]] = field(default_factory=list)
    identity: dict[str, object] = field(default_factory=dict)
    filters: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Columns:
    """The columns of one table by what they are for; each is for one thing only."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.prefix = w.joined(w.singular(w.words_of(table.noun)))
        # Keys of other tables say nothing by themselves.
        keys = {folded(name) for ref in table.trusted for name in ref.columns} - set(map(folded, table.key))
        self.left = [each for each in table.columns if "\n" not in each.name and not each.sample.binary]
        self.left = [each for each in self.left if folded(each.name) not in keys]

    def forms(self, column: Column) -> list[str]:
        words = w.words_of(column.name)
        whole = w.joined(words)
        forms = [whole, whole.removeprefix(self.prefix) or whole]
        return [*forms, *(w.joined(words[start:]) for start in range(1, len(words)))]

    def take(self, names: frozenset[str], *, own: bool = False) -> list[Column]:
        """Those with such a name, the closest first; with `own`, only if nothing else is in the name."""
        found = []
        for column in self.left:
            forms = self.forms(column)[: 2 if own else None]
            rank = next((number for number, form in enumerate(forms) if form in names), None)
            if rank is not None:
                found.append((rank, self.table.columns.index(column), column))
        return [column for _, _, column in sorted(found, key=lambda each: each[:2])]

    def first(self, names: frozenset[str], *, own: bool = False) -> Column | None:
        found = next(iter(self.take(names, own=own)), None)
        return self.used(found) if found else None

    def used(self, column: Column) -> Column:
        self.left = [each for each in self.left if each is not column]
        return column

    def having(self, names: frozenset[str]) -> list[Column]:
        """Those with such a word anywhere, and none that says it is about the value only."""
        return [
            column
            for column in self.left
            if (said := set(w.words_of(column.name)) | {w.joined(w.words_of(column.name))}) & names
            and not said & w.NOT_VALUE
        ]


def unique(name: str, taken: Iterable[str]) -> str:
    there = {folded(each) for each in taken}
    number, unique = 2, name
    while folded(unique) in there:
        unique, number = f"{name}_{number}", number + 1
    return unique


def placeholder(column: Column) -> str:
    """The value of a column in a template."""
    return slot(column.name)


def slot(name: str) -> str:
    plain = _PLAIN.fullmatch(name) and name == name.strip() and name not in FILTERS
    return "{" + (name if plain else '"' + name.replace('"', '""') + '"') + "}"


def escaped(text: str) -> str:
    return re.sub(r"([{}\[\]])", r"\1\1", text)


def label_of(name: str) -> str:
    spaced = " ".join(re.sub(r"[_\s]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)).split())
    return spaced[:1].upper() + spaced[1:] or "Value"
