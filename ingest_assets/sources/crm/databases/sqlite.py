"""A CRM in one SQLite file.

What belongs here: its dialect, its schema and its rows. What does not: opening the file without disturbing
its writer (`snapshot`), and the token of its state (`signature`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ingest_assets.model import SourceUnavailableError
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sources.crm.databases import Column, ForeignKey, QueryError, Row, Table
from ingest_assets.sources.crm.determinism import asks_for_now, complaint
from ingest_assets.sources.crm.signature import beside, file_signature, size_of
from ingest_assets.sources.crm.snapshot import error_code, open_snapshot, unavailable
from ingest_assets.sources.crm.text import Cell, folded

_AS_TEXT = (
    "CASE typeof({0}) WHEN 'integer' THEN CAST({0} AS TEXT) WHEN 'real' THEN "
    "CASE WHEN {0} = CAST({0} AS INTEGER) AND abs({0}) < 9.2e18 THEN CAST(CAST({0} AS INTEGER) AS TEXT) "
    "ELSE printf('%!.17g', {0}) END ELSE {0} END"
)
_ROWIDS = frozenset(["rowid", "_rowid_", "oid"])
# Of FTS3 to FTS5, and of R-trees.
_PARTS_OF_VIRTUAL = (
    "data", "idx", "content", "docsize", "config", "segments", "segdir", "stat", "node", "rowid", "parent"
)  # fmt: skip


@dataclass(slots=True)
class SqliteFile:
    """One file. It is only read, and its writers are never blocked."""

    path: Path
    busy_timeout_s: float = 5.0  # bounds the wait for a lock
    uncounted: str = ""
    dialect: str = "sqlite"

    @property
    def where(self) -> str:
        return f"CRM_DB_PATH: {self.path}"

    @property
    def identity(self) -> str:
        return os.path.normpath(self.path.absolute())

    def signature(self) -> str | None:
        """Differs after every commit to the file."""
        return file_signature(self.path)

    def inside(self) -> SqliteFile:
        return replace(self, path=self.path.absolute())

    def grants(self) -> Grants:
        """The file, and what SQLite keeps beside it, as far as it is there now."""
        real = Path(os.path.realpath(self.path))
        there = [each for each in map(partial(beside, real), ("", "-wal", "-journal")) if each.exists()]
        # Readers record in the index of a log which part of it they still need.
        index = beside(real, "-shm")
        return Grants(read=tuple(there), write=(index,) if index.exists() else ())

    def bounds(self, given: Limits) -> Limits:
        """As given, and room for a copy of the file, which some states of it require."""
        real = Path(os.path.realpath(self.path))
        copy = size_of(real) + size_of(beside(real, "-wal"))
        return replace(given, file_bytes=given.file_bytes + 2 * copy)

    def connect(self) -> None:
        """A file needs no connection."""

    def rights(self) -> str:
        return ""

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        with open_snapshot(self.path, self.busy_timeout_s) as connection:
            yield SqliteSnapshot(connection, partial(unavailable, self.path))


class SqliteSnapshot:
    """One state of a file, in a read transaction."""

    def __init__(
        self, connection: sqlite3.Connection, unavailable: Callable[[sqlite3.Error], SourceUnavailableError]
    ) -> None:
        """`unavailable` says what an error of the file means."""
        self._connection = connection
        self._unavailable = unavailable

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def relation(self, name: str) -> str:
        return self.quote(name)

    def relations(self) -> Sequence[str]:
        """Without the tables that a virtual one, such as an index of texts, keeps its content in."""
        names = self._names("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        virtual = self._names("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")
        inside = {f"{name}_{part}" for name in virtual for part in _PARTS_OF_VIRTUAL}
        return [name for name in names if name not in inside]

    def table(self, name: str) -> Table:
        is_view = self._names("SELECT type FROM sqlite_master WHERE name = ?", name) == ["view"]
        columns = self._all("SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1", name)
        keyed = sorted((int(pk), column) for column, _, pk in columns if int(pk))
        return Table(
            name,
            is_view,
            tuple(Column(column, type_) for column, type_, _ in columns),
            tuple(column for _, column in keyed),
            tuple(key for key in self._indexes(name) if "" not in key),
            tuple(self._foreign_keys(name)),
        )

    def compile(self, sql: str) -> list[str]:
        with self._errors():
            cursor = self._connection.execute(f"SELECT * FROM ({sql}) LIMIT 0")
            return [column[0] for column in cursor.description]

    def rows(self, sql: str) -> Generator[Row]:
        """Rows are fetched one by one, so that two long rows are never held at once."""
        with self._errors():
            yield from self._connection.execute(sql)

    def is_unique(self, table: str, key: Sequence[str]) -> bool:
        types = {folded(column): type_ for column, type_ in self._types(table)}
        wanted = {folded(column) for column in key}
        if any(self.hidden_column(table, column) for column in wanted - types.keys()):
            return True
        # With these column affinities SQLite itself converts '1' to 1, or 1 to '1'.
        if not all(any(word in types.get(name, "") for word in ("INT", "TEXT", "CHAR")) for name in wanted):
            return False
        primary = self._names("SELECT name FROM pragma_table_info(?) WHERE pk", table)
        unique = [*self._indexes(table), tuple(primary)]
        return any(columns and {folded(name) for name in columns} <= wanted for columns in unique)

    def hidden_column(self, table: str, name: str) -> str | None:
        """The number that SQLite gives each row of a table, unless that was made WITHOUT ROWID."""
        if folded(name) not in _ROWIDS or not table:
            return None
        if self._names("SELECT type FROM sqlite_master WHERE name = ?", table) != ["table"]:
            return None
        try:
            # Named with its table: SQLite takes a name in quotation marks that is none for text.
            self.compile(f"SELECT document.{self.quote(name)} FROM {self.relation(table)} AS document")
        except QueryError:
            return None
        return name

    def holds_numbers(self, table: str | None, query: str, column: str) -> bool:
        if table is not None:
            types = {folded(name): type_ for name, type_ in self._types(table)}
            return _is_numeric(types.get(folded(column), "INT" if folded(column) in _ROWIDS else ""))
        # What a column of a query is declared as, SQLite does not say.
        others = self.rows(
            f"SELECT 1 FROM ({query}\n) WHERE typeof({self.quote(column)}) NOT IN ('integer', 'real') LIMIT 1"
        )
        return next(others, None) is None

    def single(self, query: str, several: bytes) -> str:
        """Of several values SQLite would take any."""
        return (
            f"WITH single(value) AS ({query}\n) SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN max(value) "
            f"ELSE x'{several.hex()}' END FROM (SELECT value FROM single LIMIT 2)"
        )

    def gives_several(self, query: str) -> str:
        return f"(WITH several AS ({query}\n) SELECT count(*) > 1 FROM (SELECT 1 FROM several LIMIT 2))"

    def changes_by_itself(self, sql: str, written: Sequence[str]) -> str | None:
        return asks_for_now(self._connection, sql, written)

    def _types(self, table: str) -> list[tuple[str, str]]:
        """Each column with its type in capital letters."""
        rows = self._all("SELECT name, upper(type) FROM pragma_table_info(?) ORDER BY cid", table)
        return [(name, type_) for name, type_ in rows]

    def twice(self, keys: str, width: int) -> Row | None:
        """Compared as text, not only as cells: 1 and '1' would give the same id."""
        names = ", ".join(f"k{i}" for i in range(width))
        texts = ", ".join(f"{_AS_TEXT.format(f'k{i}')} COLLATE BINARY" for i in range(width))
        found = self.rows(
            f"WITH keys({names}) AS ({keys}) "
            f"SELECT {names} FROM keys GROUP BY {texts} HAVING count(*) > 1 LIMIT 1"
        )
        return next(found, None)

    def references(self, query: str, width: int) -> str:
        names = [f"k{i}" for i in range(width)]
        listed, quoted = ", ".join(names), " || ',' || ".join(f"quote({name})" for name in names)
        return (
            f"(WITH referred({listed}) AS ({query}\n) "
            f"SELECT group_concat({quoted}) FROM (SELECT {listed} FROM referred ORDER BY {listed}))"
        )

    def literals(self, cell: Cell) -> Cell:
        return cell  # it is made of them

    def _indexes(self, table: str) -> list[tuple[str, ...]]:
        """The columns of each unique index. That of an expression has no name: it says nothing of a key."""
        indexes = self._names('SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', table)
        members = "SELECT coalesce(name, '') FROM pragma_index_info(?)"
        return [tuple(self._names(members, index)) for index in indexes]

    def _foreign_keys(self, table: str) -> Iterator[ForeignKey]:
        found: dict[str, list[list[str]]] = {}
        sql = (
            'SELECT id, "table", "from", coalesce("to", \'\') '
            "FROM pragma_foreign_key_list(?) ORDER BY id, seq"
        )
        for number, *rest in self._all(sql, table):
            found.setdefault(number, []).append(rest)
        for parts in found.values():
            target = parts[0][0]
            referred = tuple(part[2] for part in parts)
            if "" in referred:  # its primary key
                pk = "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk"
                referred = tuple(self._names(pk, target))
            yield ForeignKey(tuple(part[1] for part in parts), target, referred)

    def _names(self, sql: str, *parameters: str) -> list[str]:
        """The single column of a query about the schema."""
        return [name for (name,) in self._all(sql, *parameters)]

    def _all(self, sql: str, *parameters: str) -> list[list[str]]:
        with self._errors():
            return [[_text(cell) for cell in row] for row in self._connection.execute(sql, parameters)]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # Errors in the SQL itself; locks and damage are the source's problem, not the mapping's.
            if error_code(error) in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH}:
                raise QueryError(complaint(error) or str(error)) from error
            raise self._unavailable(error) from error


def _is_numeric(declared: str) -> bool:
    """Whether a column of this type has a numeric affinity (sqlite.org/datatype3.html, 3.1)."""
    if "INT" in declared:
        return True
    return bool(declared) and not any(word in declared for word in ("CHAR", "CLOB", "TEXT", "BLOB"))


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytearray) else str(cell)
