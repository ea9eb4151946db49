"""What a database consists of, and what its columns hold, as far as a first look at some rows tells.

What belongs here: facts. What does not: what they mean (`roles`, `links`), and the rows themselves, of which
nothing leaves the confined process but counts and the few values of a column that has only a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from ingest_assets.sources.crm import databases
from ingest_assets.sources.crm.databases import QueryError, Row, Snapshot
from ingest_assets.sources.crm.mapping_tools.facts import Column, Reference, Schema, Table, as_text
from ingest_assets.sources.crm.mapping_tools.links import guessed
from ingest_assets.sources.crm.mapping_tools.sample import sampled
from ingest_assets.sources.crm.mapping_tools.words import IDS, same_noun, words_of
from ingest_assets.sources.crm.text import folded

_ROWS = 500  # of each table that are looked at
_VALUES = 100  # of a column that are looked up in the table that it may refer to
_OWN = "sqlite_"  # how the names of SQLite's own tables begin


def read_schema(snapshot: Snapshot, dialect: str) -> Schema:
    """Look at every table and view of a snapshot."""
    names = [name for name in snapshot.relations() if not name.startswith(_OWN)]
    looked_at = (_table(snapshot, name, dialect) for name in names)
    tables = [table for table in looked_at if table is not None]
    there = {folded(table.name): table for table in tables}
    for table in tables:
        found = [each for each in table.references if folded(each.table) in there]
        taken = {folded(column) for each in found for column in each.columns}
        for guess in guessed(table, tables):
            if folded(guess.columns[0]) not in taken:
                found += _looked_up(snapshot, table, guess, there[folded(guess.table)])
        table.references = tuple(found)
    return Schema(tables=tuple(tables))


def _table(snapshot: Snapshot, name: str, dialect: str) -> Table | None:
    """None for what cannot be read: a view of something that is gone, a table that is kept from us."""
    relation = snapshot.relation(name)
    try:
        columns = snapshot.compile(f"SELECT * FROM {relation}")
        rows = _rows(snapshot, f"SELECT * FROM {relation} LIMIT {_ROWS}")
    except QueryError:
        return None
    declared = snapshot.table(name)
    types = {each.name: each.type for each in declared.columns}
    found = Table(
        name=name,
        sql=relation,
        dialect=dialect,
        is_view=declared.is_view,
        columns=tuple(
            Column(name=column, type=types.get(column, ""), sample=sampled([row[i] for row in rows]))
            for i, column in enumerate(columns)
        ),
        has_rows=bool(rows),
    )
    if declared.is_view:
        _find_key(snapshot, found)
        return found
    _declared_key(snapshot, found, declared)
    found.references = tuple(
        Reference(columns=each.columns, table=each.table, referred=each.referred)
        for each in sorted(declared.foreign_keys, key=lambda key: _places(key.columns, columns))
        if len(each.columns) == len(each.referred)
    )
    return found


def _places(names: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Where they are among the columns of a table: each system lists keys in another order."""
    places = {folded(column): number for number, column in enumerate(columns)}
    return [places.get(folded(name), len(columns)) for name in names]


def _declared_key(snapshot: Snapshot, table: Table, declared: databases.Table) -> None:
    if declared.primary_key:
        table.key = declared.primary_key
    elif declared.unique:
        table.key, table.key_is = min(declared.unique, key=lambda key: (len(key), key)), "unique"
    else:
        _find_key(snapshot, table)
        if not table.key and (rowid := snapshot.hidden_column(table.name, "rowid")):
            table.key, table.key_is = (rowid,), "rowid"
        return
    table.null_keys = _has_null(snapshot, table, table.key)


def _find_key(snapshot: Snapshot, table: Table) -> None:
    """A column that looks like a key, and is one in the rows there are."""
    for column in table.columns:
        if not is_id(column.name, table.noun) or not column.sample.filled:
            continue
        keys = f"SELECT document.{table.quoted(column.name)} FROM {table.sql} AS document"
        if not _has_null(snapshot, table, (column.name,)) and not snapshot.twice(keys, 1):
            table.key, table.key_is = (column.name,), "found"
            return


def is_id(column: str, table: str) -> bool:
    """Whether a column is named as the key of its table: "id", "uuid", "CustomerID" of Customers."""
    *before, last = words_of(column) or [""]
    if last not in IDS:
        return False
    return not before or same_noun(before, words_of(table))


def _looked_up(snapshot: Snapshot, table: Table, guess: Reference, other: Table) -> Sequence[Reference]:
    """The guess with how many values are there; none if the database does not compare the two."""
    column, referred = table.quoted(guess.columns[0]), other.quoted(guess.referred[0])
    filled = f"{as_text(column, table.dialect)} NOT IN ('', '0')"
    values = (
        f"SELECT DISTINCT {column} AS value FROM {table.sql} "
        f"WHERE {column} IS NOT NULL AND {filled} LIMIT {_VALUES}"
    )
    there = f"EXISTS (SELECT 1 FROM {other.sql} AS other WHERE other.{referred} = given.value)"
    sql = f"SELECT count(*), coalesce(sum(CASE WHEN {there} THEN 1 ELSE 0 END), 0) FROM ({values}) AS given"
    try:
        snapshot.compile(sql)
        ((looked_up, found),) = _rows(snapshot, sql)
    except QueryError:
        return []
    return [guess.model_copy(update={"looked_up": looked_up, "found": found})]


def _has_null(snapshot: Snapshot, table: Table, columns: Sequence[str]) -> bool:
    missing = " OR ".join(f"document.{table.quoted(column)} IS NULL" for column in columns)
    return bool(_rows(snapshot, f"SELECT 1 FROM {table.sql} AS document WHERE {missing} LIMIT 1"))


def _rows(snapshot: Snapshot, sql: str) -> list[Row]:
    with closing(snapshot.rows(sql)) as rows:
        return list(rows)
