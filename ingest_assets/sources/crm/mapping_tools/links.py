"""References between tables that no foreign key declares: what names suggest, and what types name.

What belongs here: guesses, all of which the draft tells as such. What does not: what a database declares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingest_assets.sources.crm.mapping_tools.facts import Column, Reference, Table
from ingest_assets.sources.crm.mapping_tools.words import ID_ENDS, SURE, TYPE_ENDS, likeness, words_of

_CLASS_SEPARATORS = ("\\", ".", "::", "/")


def guessed(table: Table, tables: Sequence[Table]) -> Iterator[Reference]:
    """Columns named after another table: "account_id", "AccountId", "assigned_user_id"."""
    if table.is_view:
        return
    for column in table.columns:
        words = words_of(column.name)
        if not words[:-1] or words[-1] not in ID_ENDS or table.key == (column.name,):
            continue
        ends = [words[start:-1] for start in range(len(words) - 1)]
        scored = [
            (likeness(end, words_of(other.name)), len(end), other)
            for other in tables
            if not other.is_view and len(other.key) == 1 and other.key_is != "rowid"
            for end in ends
        ]
        best = max(scored, key=lambda each: each[:2], default=None)
        if best and best[0]:
            other = best[2]
            yield Reference(columns=(column.name,), table=other.name, referred=other.key, declared=False)


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
    alike = [(likeness(words_of(value), words_of(table.name)), table) for table in tables]
    sure = [table for score, table in alike if score == SURE]
    return sure[0] if sure else None
