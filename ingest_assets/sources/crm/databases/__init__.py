"""A CRM's database, whatever system it is in: the one interface, and what all of them share.

- `sqlite`: one SQLite file. `csv_folder`: a folder of CSV files, which becomes one.
- `postgres`, `mysql`: a server; `server` is what they have in common, `address` the URL that names
  one, and `servers` the choice.

A `CrmDatabase` says where a CRM is and opens it. A `Snapshot` is one consistent state of it, read-only, with
its schema and its rows. SQL is in the database's own dialect, and a mapping's names are found by `declared`.

What belongs here: the interface. What does not: what is asked of a snapshot (`extract`, mapping commands).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from ingest_assets.model import IngestError
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sources.crm.text import Cell, folded

Row = tuple[Cell, ...]


class Column(NamedTuple):
    name: str  # as declared
    type: str  # as declared, in the database's own words; "" if it has none


class ForeignKey(NamedTuple):
    columns: tuple[str, ...]
    table: str  # the one referred to, as `Snapshot.relations` names it
    referred: tuple[str, ...]


class Table(NamedTuple):
    """A table or view. A view has neither keys nor foreign keys."""

    name: str
    is_view: bool
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()  # further keys that the database keeps unique
    foreign_keys: tuple[ForeignKey, ...] = ()


class QueryError(IngestError):
    """The database refuses a query as it is written, or fails to answer it; its message says why."""


class Snapshot(Protocol):
    """One consistent state, to be used by one thread at a time. Cells of all systems are alike.

    Its methods raise QueryError where the query is wrong, which leaves the snapshot usable, and
    SourceUnavailableError where the database is.
    """

    def quote(self, name: str) -> str:
        """A name as an identifier in SQL."""
        ...

    def relations(self) -> Sequence[str]:
        """The names of all tables and views, as a mapping names them, in order."""
        ...

    def relation(self, name: str) -> str:
        """One of `relations` as SQL."""
        ...

    def table(self, name: str) -> Table:
        """What one of `relations` consists of."""
        ...

    def compile(self, sql: str) -> list[str]:
        """The names of a query's columns. No row is read."""
        ...

    def rows(self, sql: str) -> Generator[Row]:
        """A query's rows as a stream. No other query runs until it is at its end or closed.

        Limit the query if only some are wanted: MySQL sends the others all the same.
        """
        ...

    def is_unique(self, table: str, key: Sequence[str]) -> bool:
        """Whether the database itself keeps these declared columns unique, also as text."""
        ...

    def twice(self, keys: str, width: int) -> Row | None:
        """A key that a query of keys, each of `width` columns, gives twice; they are compared as text."""
        ...

    def single(self, query: str, several: bytes) -> str:
        """SQL for the one value of a query. If it gives several: `several`, or reading it is a QueryError."""
        ...

    def gives_several(self, query: str) -> str:
        """SQL: whether a query of one column gives more than one row."""
        ...

    def holds_numbers(self, table: str | None, query: str, column: str) -> bool:
        """Whether the database compares a column of a table, else of a query, as numbers, with text too."""
        ...

    def hidden_column(self, table: str, name: str) -> str | None:
        """The name of a column that a table has without declaring it, such as SQLite's rowid."""
        ...

    def changes_by_itself(self, sql: str, written: Sequence[str]) -> str | None:
        """Why a query does not depend on the data alone, or does more than read, as a clause.

        `written`: the SQL of people in it.
        """
        ...

    def references(self, query: str, width: int) -> str:
        """SQL for one cell: the rows of a query of keys."""
        ...

    def literals(self, cell: Cell) -> Cell:
        """A cell of `references` as the cells of all keys as SQL literals, in order and joined by commas."""
        ...


class CrmDatabase(Protocol):
    """Where a CRM is. Picklable, and small."""

    @property
    def where(self) -> str:
        """The setting and the place, for messages, without a password."""
        ...

    @property
    def identity(self) -> str:
        """The same whenever it is the same CRM; without secrets, because people see it."""
        ...

    @property
    def uncounted(self) -> str:
        """Why no cheap token tells whether it has changed, as a clause; "" where one does."""
        ...

    @property
    def dialect(self) -> str:
        """Of its SQL: "sqlite", "postgres" or "mysql"."""
        ...

    def rights(self) -> str:
        """What the account that reads it could change, as a clause; "" if nothing, or if there is none."""
        ...

    def signature(self) -> str | None:
        """Equal tokens, equal content. Take it before reading. None when it cannot be read now."""
        ...

    def inside(self) -> CrmDatabase:
        """The same for a process that has another working directory."""
        ...

    def grants(self) -> Grants:
        """The files that a confined process needs to read it, as they are now."""
        ...

    def bounds(self, given: Limits) -> Limits:
        """The limits for reading it."""
        ...

    def connect(self) -> None:
        """Before a process gives up the network: make the one connection that it may have."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open it. Raises SourceUnavailableError, with what to do."""
        ...


def declared(name: str, there: Sequence[str]) -> str | None:
    """The declared name that is meant: the same, else the only one that differs in case. None if unclear.

    Only the letters of ASCII have a case, as in SQLite.
    """
    if name in there:
        return name
    alike = [other for other in there if folded(other) == folded(name)]
    return alike[0] if len(alike) == 1 else None


def literals_of(keys: Sequence[Sequence[Cell]]) -> bytearray | None:
    """Keys as `Snapshot.literals` gives them; None if there are none, as of an aggregate of no rows."""
    ordered = sorted(keys, key=lambda key: [_rank(cell) for cell in key])
    return bytearray(b",").join(_literal(cell) for key in ordered for cell in key) if ordered else None


def _rank(cell: Cell) -> tuple[int, float, bytes]:
    """SQLite's order: NULL, numbers, text, bytes."""
    if cell is None:
        return 0, 0, b""
    if isinstance(cell, int | float):
        return 1, cell, b""
    return (2 if isinstance(cell, bytearray) else 3), 0, bytes(cell)


def _literal(cell: Cell) -> bytes:
    if cell is None:
        return b"NULL"
    if isinstance(cell, int | float):
        return repr(cell).encode()
    if isinstance(cell, bytearray):
        return b"'" + cell.replace(b"'", b"''") + b"'"
    return b"X'" + cell.hex().upper().encode() + b"'"
