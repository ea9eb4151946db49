"""A [[documents]] entry bound to an open database: its SQL, the checks on it, and rows with ids and digests.

What belongs here: everything that needs both the mapping and the database. What does not: how a row is
rendered (render) and how the database is opened (snapshot).
"""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import Iterator, Sequence

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.crm.mapping import CrmMapping, DocumentMapping, RefMapping
from ingest_assets.sources.crm.snapshot import error_code
from ingest_assets.sources.crm.text import Cell, key_part

Row = tuple[Cell, ...]

_LITERAL = re.compile(rb"'((?:[^']|'')*)'|X'([0-9A-F]*)'|[^,]+")  # what SQL's quote() writes
_NAMES_SHOWN = 40


class Extract:
    """The rows of one document kind: the key's cells, those of the other used columns, one per ref query.

    Raises ConfigurationError from the constructor when the database lacks what the mapping names, when a
    query in it is wrong, or when the key is not unique.
    """

    def __init__(self, entry: DocumentMapping, mapping: CrmMapping, connection: sqlite3.Connection) -> None:
        self.entry = entry
        self.fields = mapping.fields
        self._place = f'{mapping.origin}, [[documents]] "{entry.name}"'
        self._connection = connection
        self._origin = f"({entry.query}\n)" if entry.query else _quoted(entry.table or "")
        self._digest = mapping.digest_of(entry).encode()
        self._width = len(entry.key)
        self._mapping = mapping
        self._check_columns()
        self.columns = tuple(entry.used_columns())
        self.ref_queries = tuple(ref for ref in entry.refs if ref.query)
        cells = [self._cell(column) for column in self.columns]
        cells += [self._ref_cell(ref) for ref in self.ref_queries]
        self.sql = f"SELECT {', '.join(cells)} FROM {self._origin} AS document"
        self._prepare(self.sql, "the complete query")
        self._check_unique()

    def rows(self) -> Iterator[Row]:
        """Every row once. Rows are fetched one by one, so that two long rows are never held at once."""
        return iter(self._connection.execute(self.sql))

    def id_of(self, row: Row) -> str:
        """The document's id. Raises ConfigurationError when a part of the key is NULL."""
        if self._width == 1 and (part := key_part(row[0])) is not None:  # the common case, four times as fast
            return f"{self.entry.name}/{part}"
        parts = [key_part(cell) for cell in row[: self._width]]
        if None in parts:
            column = self.entry.key[parts.index(None)]
            raise ConfigurationError(
                f'{self._place}: the key column "{column}" is NULL in a row. '
                "A document needs a key: choose other key columns, or a query that leaves such rows out."
            )
        return "/".join([self.entry.name, *(part for part in parts if part is not None)])

    def frame(self, row: Row) -> bytes:
        """The input of the document's digest: the entry's own digest and the row's cells."""
        return frame(self._digest, row)

    def _cell(self, column: str) -> str:
        computed = {name.lower(): sql for name, sql in self.entry.columns.items()}
        if column in computed:
            return f"({computed[column]}\n) AS {_quoted(column)}"
        return f"document.{_quoted(column)}"

    def ref_width(self, ref: RefMapping) -> int:
        """How many cells the keys that `ref` refers to have."""
        return self._mapping.key_width(ref.to)

    def _ref_cell(self, ref: RefMapping) -> str:
        """SQL for one text: the cells of the referenced keys as SQL literals, in the order of the keys."""
        names = [f"k{i}" for i in range(self.ref_width(ref))]
        listed, quoted = ", ".join(names), " || ',' || ".join(f"quote({name})" for name in names)
        cell = (
            f"(WITH referred({listed}) AS ({ref.query}\n) "
            f"SELECT group_concat({quoted}) FROM (SELECT {listed} FROM referred ORDER BY {listed}))"
        )
        self._prepare(f"SELECT {cell} FROM {self._origin} AS document", f'the query of refs to "{ref.to}"')
        return cell

    def _check_columns(self) -> None:
        if self.entry.table:
            self._check_table(self.entry.table)
        what = f'table "{self.entry.table}"' if self.entry.table else "the query"
        there = self._prepare(f"SELECT * FROM {self._origin} AS document", what)
        known = {name.lower() for name in there}
        for name, sql in self.entry.columns.items():
            if name.lower() in known:
                raise ConfigurationError(f'{self._place}: {what} has a column "{name}" already.')
            self._prepare(f"SELECT ({sql}\n) FROM {self._origin} AS document", f'column "{name}"')
        known |= {name.lower() for name in self.entry.columns}
        for column, where in self.entry.used_columns().items():
            if column not in known:
                instead = _near(column, there)
                raise ConfigurationError(
                    f'{self._place}: {what} has no column "{column}", which {where} uses.{instead}'
                )

    def _check_table(self, table: str) -> None:
        names = self._names("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        if table.lower() not in {name.lower() for name in names}:
            instead = _near(table, names)
            raise ConfigurationError(f'{self._place}: there is no table or view "{table}".{instead}')

    def _prepare(self, sql: str, what: str) -> list[str]:
        """The column names of a query, which is compiled without reading a row."""
        try:
            cursor = self._connection.execute(f"SELECT * FROM ({sql}) LIMIT 0")
        except sqlite3.Error as error:
            # Only errors in the SQL itself; locks and damage are the source's problem, not the mapping's.
            if error_code(error) != sqlite3.SQLITE_ERROR:
                raise
            raise ConfigurationError(f"{self._place}: {what} does not work in this CRM: {error}.") from error
        return [column[0] for column in cursor.description]

    def _check_unique(self) -> None:
        if self.entry.table and self._is_unique(self.entry.table):
            return
        # Compared as text, not only as cells: 1 and '1' would give the same id.
        cells = [self._cell(column) for column in self.columns[: self._width]]
        keys = ", ".join(f"k{i}" for i in range(self._width))
        texts = ", ".join(f"{_AS_TEXT.format(f'k{i}')} COLLATE BINARY" for i in range(self._width))
        twice = self._connection.execute(
            f"WITH keys({keys}) AS (SELECT {', '.join(cells)} FROM {self._origin} AS document) "
            f"SELECT {keys} FROM keys GROUP BY {texts} HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if twice:
            columns = ", ".join(self.entry.key)
            raise ConfigurationError(
                f"{self._place}: the key ({columns}) is not unique; two rows have {self.id_of(twice)!r}. "
                "Add columns to the key, or write a query with one row per document."
            )

    def _is_unique(self, table: str) -> bool:
        """Whether the database itself keeps the key unique, also as text: then the rows need no check."""
        names = self._names("SELECT name FROM pragma_table_info(?) ORDER BY cid", table)
        declared = self._names("SELECT upper(type) FROM pragma_table_info(?) ORDER BY cid", table)
        types = {name.lower(): type_ for name, type_ in zip(names, declared, strict=True)}
        key = {column.lower() for column in self.entry.key}
        # With these column affinities SQLite itself converts '1' to 1, or 1 to '1'.
        if not all(any(word in types.get(column, "") for word in ("INT", "TEXT", "CHAR")) for column in key):
            return False
        indexes = self._names('SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', table)
        # The column of an index on an expression has no name: such an index says nothing about the key.
        members = "SELECT coalesce(name, '') FROM pragma_index_info(?)"
        unique = [self._names(members, index) for index in indexes]
        unique.append(self._names("SELECT name FROM pragma_table_info(?) WHERE pk", table))
        return any(columns and {name.lower() for name in columns} <= key for columns in unique)

    def _names(self, sql: str, *parameters: str) -> list[str]:
        """The single column of a query about the schema."""
        return [name.decode(errors="replace") for (name,) in self._connection.execute(sql, parameters)]


_AS_TEXT = (
    "CASE typeof({0}) WHEN 'integer' THEN CAST({0} AS TEXT) "
    "WHEN 'real' THEN printf('%!.17g', {0}) ELSE {0} END"
)


def frame(start: bytes, row: Sequence[Cell]) -> bytes:
    """`start` and the cells as one byte string; rows that differ in any cell give different strings."""
    parts: list[bytes | bytearray] = [start]
    for cell in row:
        if isinstance(cell, bytearray):
            parts += (b"t%d:" % len(cell), cell)
        elif isinstance(cell, int):
            parts.append(b"%d;" % cell)
        elif cell is None:
            parts.append(b"-;")
        elif isinstance(cell, bytes):
            parts += (b"b%d:" % len(cell), cell)
        else:
            parts.append(f"{cell!r};".encode())
    return b"".join(parts)


def referred_keys(literals: Cell, width: int) -> Iterator[tuple[Cell, ...]]:
    """The keys in a ref query's cell, each of `width` cells."""
    if isinstance(literals, bytearray):
        found = [_cell_of(match) for match in _LITERAL.finditer(literals)]
        yield from (tuple(found[i : i + width]) for i in range(0, len(found), width))


def _cell_of(literal: re.Match[bytes]) -> Cell:
    text, blob = literal.groups()
    if text is not None:
        return bytearray(text.replace(b"''", b"'"))
    if blob is not None:
        return bytes.fromhex(blob.decode())
    written = literal.group()
    if written == b"NULL":
        return None
    return int(written) if written.lstrip(b"-").isdigit() else float(written)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _near(name: str, there: Sequence[str]) -> str:
    """What exists instead, the closest matches first."""
    if not there:
        return " The database has none at all."
    lower = {other.lower(): other for other in there}
    close = [lower[other] for other in difflib.get_close_matches(name.lower(), lower, n=3)]
    ordered = close + [other for other in there if other not in close]
    more = f" and {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else ""
    return f" There are: {', '.join(ordered[:_NAMES_SHOWN])}{more}."
