"""References between tables that no foreign key declares: what names suggest, and what types name.

What belongs here: guesses, all of which the draft tells as such. What does not: what a database declares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingest_assets.sources.crm.mapping_tools.facts import Column, Reference, Table
from ingest_assets.sources.crm.mapping_tools.words import (
    COUNTRY,
    ID_ENDS,
    IDS,
    LOOKUP_STARTS,
    SURE,
    TYPE_ENDS,
    joined,
    likeness,
    shared_prefix,
    singular,
    without,
    words_of,
)
from ingest_assets.sources.crm.text import folded

_LEAST_ABBREVIATION = 3  # letters
_CLASS_SEPARATORS = ("\\", ".", "::", "/")


def guessed(table: Table, tables: Sequence[Table]) -> Iterator[Reference]:
    """Columns named after another table, or its key: "account_id", "AccountId", "fk_account"."""
    if table.is_view:
        return
    prefix = shared_prefix([each.noun for each in tables if not each.is_view])
    for column in table.columns:
        if table.key == (column.name,):
            continue
        if (other := _of_that_key(column, table, tables)) is not None:
            yield Reference(columns=(column.name,), table=other.name, referred=other.key, declared=False)
            continue
        named = _named(words_of(column.name))
        if not named:
            continue
        ends = [named[start:] for start in range(len(named))]
        scored = [
            (_likeness(end, without(prefix, words_of(other.noun))), len(end), other)
            for other in tables
            if not other.is_view and len(other.key) == 1 and other.key_is != "rowid"
            for end in ends
        ]
        if "fk" in words_of(column.name):  # a foreign key beyond doubt, so that less of a name will do
            scored += [(1, len(named), other) for other in _abbreviated(named, scored, prefix)]
        best = max(scored, key=lambda each: each[:2], default=None)
        if best and best[0]:
            other = best[2]
            yield Reference(columns=(column.name,), table=other.name, referred=other.key, declared=False)


def _of_that_key(column: Column, table: Table, tables: Sequence[Table]) -> Table | None:
    """The only table whose key has the name of a column, if that is more than "id"."""
    if joined(words_of(column.name)) in IDS:
        return None
    found = [
        other
        for other in tables
        if other is not table and not other.is_view and other.key_is != "rowid"
        if [folded(name) for name in other.key] == [folded(column.name)]
    ]
    return found[0] if len(found) == 1 else None


def _likeness(end: list[str], table: list[str]) -> int:
    """As `likeness`; look-up tables may have a word before their name, and countries any language."""
    score = likeness(end, table)
    if not score and len(table) > 1 and table[0] in LOOKUP_STARTS:
        score = likeness(end, table[1:])
    if not score and table and {joined(end), joined(singular(end))} & COUNTRY:
        return int(bool({table[-1], *singular(table)[-1:]} & COUNTRY))
    return score


def _named(words: list[str]) -> list[str]:
    """The words of a column that name another table: those before "id", or behind "fk"."""
    if len(words) > 1 and words[-1] in ID_ENDS:
        return words[:-1]
    return words[1:] if len(words) > 1 and words[0] in ID_ENDS else []


def _abbreviated(named: list[str], scored: Sequence[tuple[int, int, Table]], prefix: str) -> Sequence[Table]:
    """The table with the shortest name that begins with a column's only word: of "fk_soc", "societe"."""
    if len(named) != 1 or len(named[0]) < _LEAST_ABBREVIATION:
        return ()
    nouns = {joined(without(prefix, words_of(other.noun))): other for _, _, other in scored}
    found = [noun for noun in nouns if noun.startswith(named[0])]
    return [nouns[min(found, key=lambda noun: (len(noun), noun))]] if found else ()


def polymorphic(table: Table) -> Iterator[tuple[Column, Column]]:
    """Pairs of columns of which one says the table, and the other the key in it: (type, id)."""
    for column in table.columns:
        *base, last = words_of(column.name) or [""]
        if not base or last not in TYPE_ENDS:
            continue
        other = next(
            (each for each in table.columns if words_of(each.name) in ([*base, "id"], [*base, "uuid"])), None
        )
        if other is not None:
            yield column, other


def named_by(value: str, tables: Sequence[Table]) -> Table | None:
    """The table that the value of a type names: "Accounts", "app.models.Contact", "lead"."""
    for separator in _CLASS_SEPARATORS:
        value = value.rpartition(separator)[2]
    alike = [(likeness(words_of(value), words_of(table.noun)), table) for table in tables]
    sure = [table for score, table in alike if score == SURE]
    return sure[0] if sure else None
