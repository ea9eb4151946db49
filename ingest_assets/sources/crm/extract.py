"""A [[documents]] entry bound to an open database: its SQL, the checks on it, and rows with ids and digests.

What belongs here: everything that needs both the mapping and the database. What does not: how a row is
rendered (render) and what a database can be asked, in which dialect (databases).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.crm.databases import QueryError, Row, Snapshot, declared
from ingest_assets.sources.crm.mapping import CrmMapping, DocumentMapping, RefMapping
from ingest_assets.sources.crm.text import Cell, folded, key_part

Complain = Callable[[str, str], None]  # takes the key in the entry, and what is wrong

_LITERAL = re.compile(rb"'((?:[^']|'')*)'|X'([0-9A-F]*)'|[^,]+")  # what SQL's quote() writes
_NAMES_SHOWN = 40
# The cell of a column whose query gives more than one row, where the database does not refuse that itself.
SEVERAL = b"\0several rows, where a column can have one"


class Extract:
    """The rows of one document kind: the key's cells, those of the other used columns, one per ref query.

    Raises ConfigurationError from the constructor when the database lacks what the mapping names, when a
    query in it is wrong, or when the key is not unique. With `complain`, that is told of everything that is
    wrong, with the key in the entry, and nothing is raised; then rows can be read only if `fits`.
    """

    def __init__(
        self,
        entry: DocumentMapping,
        mapping: CrmMapping,
        database: Snapshot,
        complain: Complain | None = None,
    ) -> None:
        self.entry = entry
        self.fits = True
        self._complain = complain
        self.fields = mapping.all_fields
        self.times = mapping.time_reader(entry)
        self.place = f'{mapping.origin}, [[documents]] "{entry.name}"'
        self._database = database
        self._table = self._found_table(entry.table) if entry.table else ""
        if entry.query:
            self._origin = f"({entry.query}\n)"
        else:
            self._origin = database.relation(self._table) if self._table else ""
        self._digest = mapping.digest_of(entry).encode()
        self._width = len(entry.key)
        self._mapping = mapping
        self._computed = {folded(name): sql for name, sql in entry.columns.items()}
        self._listed = entry.queries()
        self._names: dict[str, str] = {}
        self._of_rows = "query" if entry.query else "table"  # the key in the entry that says where rows are
        self.sql = ""
        self.columns = tuple(entry.used_columns())
        self.ref_queries = tuple(ref for ref in entry.refs if ref.query)
        names = self._checked_columns() if self._origin else None
        ref_cells = [self._ref_cell(ref) for ref in self.ref_queries] if names is not None else []
        if names is None or not self.fits:
            return
        self._names = names
        self.numeric_keys = {ref.to: self.numeric_key(ref.to) for ref in entry.refs}
        cells = [self._cell(column) for column in self.columns]
        cells += [f"{cell} AS ref{i}" for i, cell in enumerate(ref_cells)]
        self.sql = f"SELECT {', '.join(cells)} FROM {self._origin} AS document"
        if self._prepare(self.sql, "the complete query", self._of_rows) is None:
            return
        self._check_determinism()
        if self.fits:
            self._check_unique()

    def _wrong(self, key: str, message: str, cause: QueryError | None = None) -> None:
        if self._complain is None:
            raise ConfigurationError(f"{self.place}: {message}") from cause
        self.fits = False
        self._complain(key, message)

    def rows(self, limit: int | None = None) -> Generator[Row]:
        """Every row once, or the first ones. No other query runs until it is at its end or closed."""
        listed = [column in self._listed for column in self.columns]
        as_they_are = not (self.ref_queries or any(listed))
        literals = self._database.literals
        try:
            with closing(self._database.rows(_limited(self.sql, limit))) as rows:
                for row in rows:
                    if as_they_are:
                        yield row
                        continue
                    plain = zip(row[: len(listed)], listed, strict=True)
                    cells = (_lines(literals(cell)) if is_list else cell for cell, is_list in plain)
                    yield (*cells, *map(literals, row[len(listed) :]))
        except QueryError as error:
            key, why = self._several() or (self._of_rows, f"reading its rows failed: {error}.")
            self._wrong(key, why, error)

    def _several(self) -> tuple[str, str] | None:
        """Which column has several rows, and in which document, where the database says neither."""
        for name, sql in self.entry.columns.items():
            if folded(name) not in self.columns:
                continue
            several = self._database.gives_several(sql)
            try:
                with closing(self._database.rows(f"{self._keys()} WHERE {several} LIMIT 1")) as rows:
                    if (row := next(rows, None)) is not None:
                        return f"columns.{name}", several_rows(name, self.id_of(row))
            except QueryError:
                continue  # it is so written that it cannot be asked
        return None

    def id_of(self, row: Row) -> str:
        """The document's id. Raises ConfigurationError when a part of the key is NULL."""
        if self._width == 1 and (part := key_part(row[0])) is not None:  # the common case, four times as fast
            return f"{self.entry.name}/{part}"
        parts = [key_part(cell) for cell in row[: self._width]]
        if None in parts:
            column = self.entry.key[parts.index(None)]
            raise ConfigurationError(f"{self.place}: {null_in_key(column)}")
        return "/".join([self.entry.name, *(part for part in parts if part is not None)])

    def ids(self) -> Generator[str]:
        """The ids of all rows, of which nothing but the keys is read."""
        with closing(self._database.rows(self._keys())) as rows:
            for row in rows:
                yield self.id_of(row)

    def null_key(self) -> str | None:
        """A column of the key that is NULL in some row."""
        for number, column in enumerate(self.entry.key):
            names = ", ".join(f"k{i}" for i in range(self._width))
            keys = f"WITH found({names}) AS ({self._keys()})"
            sql = f"{keys} SELECT 1 FROM found WHERE k{number} IS NULL LIMIT 1"
            if next(self._database.rows(sql), None):
                return column
        return None

    def _keys(self) -> str:
        cells = [self._cell(column) for column in self.columns[: self._width]]
        return f"SELECT {', '.join(cells)} FROM {self._origin} AS document"

    def frame(self, row: Row) -> bytes:
        """The input of the document's digest: the entry's own digest and the row's cells."""
        return frame(self._digest, row)

    def _cell(self, column: str) -> str:
        name = self._database.quote(column)
        if column in self._computed:
            return f"({self._database.single(self._computed[column], SEVERAL)}\n) AS {name}"
        if column in self._listed:
            return f"{self._database.references(self._listed[column], 1)} AS {name}"
        return f"document.{self._database.quote(self._names[column])}"

    def ref_width(self, ref: RefMapping) -> int:
        """How many cells the keys that `ref` refers to have."""
        return self._mapping.key_width(ref.to)

    def numeric_key(self, to: str) -> tuple[bool, ...]:
        """Of each column of a kind's key, whether the database compares it as a number, with text too."""
        entry = next(each for each in self._mapping.documents if each.name == to)
        table = declared(entry.table, self._database.relations()) if entry.table else None
        try:
            return tuple(
                self._database.holds_numbers(table, entry.query or "", column) for column in entry.key
            )
        except QueryError:
            return (False,) * len(entry.key)  # what is wrong is reported where its own documents are read

    def _ref_cell(self, ref: RefMapping) -> str:
        """SQL for one cell: the referenced keys."""
        what, key = f'the query of refs to "{ref.to}"', f"refs number {self.entry.refs.index(ref) + 1}"
        return self._prepare_references(ref.query or "", self.ref_width(ref), what, key)

    def _checked_columns(self) -> dict[str, str] | None:
        """The declared name of each used column that the mapping does not compute; None without rows."""
        what = f'table "{self.entry.table}"' if self.entry.table else "the query"
        there = self._prepare(f"SELECT * FROM {self._origin} AS document", what, self._of_rows)
        if there is None:
            return None
        known = {folded(name) for name in there}
        for own, sql in self.entry.columns.items():
            if folded(own) in known:
                self._wrong(f"columns.{own}", f'{what} has a column "{own}" already.')
            cell = f"({sql}\n) AS {self._database.quote(own)}"
            query = f"SELECT {cell} FROM {self._origin} AS document"
            self._prepare(query, f'column "{own}"', f"columns.{own}")
        for key, sql in self._listed.items():
            self._prepare_references(sql, 1, f'the query of "{key}"', key)
        names: dict[str, str] = {}
        for column, (meant, where) in self.entry.used_columns().items():
            if column in self._computed or column in self._listed:
                continue
            name = declared(meant, there) or self._database.hidden_column(self._table, meant)
            if name is None:
                instead = _near(meant, there)
                self._wrong(where, f'{what} has no column "{meant}", which {where} uses.{instead}')
            names[column] = name or meant
        return names

    def _prepare_references(self, sql: str, width: int, what: str, key: str) -> str:
        """SQL for one cell: the keys that a query gives."""
        try:
            cell = self._database.references(sql, width)
        except QueryError as error:
            self._wrong(key, f"{what} does not work in this CRM: {error}.", error)
            return "NULL"
        self._prepare(f"SELECT {cell} AS ref FROM {self._origin} AS document", what, key)
        return cell

    def _found_table(self, table: str) -> str:
        """The table or view as it is declared; "" if there is none."""
        names = self._database.relations()
        name = declared(table, names)
        if name is None:
            self._wrong("table", f'there is no table or view "{table}".{_near(table, names)}')
        return name or ""

    def _prepare(self, sql: str, what: str, key: str) -> list[str] | None:
        """The column names of a query, which is compiled without reading a row; None if it is wrong."""
        try:
            return self._database.compile(sql)
        except QueryError as error:
            self._wrong(key, f"{what} does not work in this CRM: {error}.", error)
            return None

    def _check_determinism(self) -> None:
        queries = (
            self.entry.query,
            *self._computed.values(),
            *self._listed.values(),
            *(ref.query for ref in self.ref_queries),
        )
        if why := self._database.changes_by_itself(self.sql, [query for query in queries if query]):
            self._wrong(self._of_rows, f"a query in it, or a view that it reads, {why}.")

    def _check_unique(self) -> None:
        key = [self._names.get(column) for column in self.columns[: self._width]]
        known = [name for name in key if name is not None]
        if self._table and len(known) == len(key) and self._database.is_unique(self._table, known):
            return
        try:
            twice = self._database.twice(self._keys(), self._width)
        except QueryError as error:
            self._wrong("key", f"looking for its keys failed: {error}.", error)
            return
        if twice:
            columns = ", ".join(self.entry.key)
            self._wrong(
                "key",
                null_in_key(self.entry.key[twice.index(None)])
                if None in twice
                else f"the key ({columns}) is not unique; two rows have {self.id_of(twice)!r}. "
                "Add columns to the key, or write a query with one row per document.",
            )


def _limited(sql: str, limit: int | None) -> str:
    return sql if limit is None else f"{sql} LIMIT {limit}"


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


def _lines(literals: Cell) -> Cell:
    """The values of a cell of `references`, one in a line."""
    values = [value for (value,) in referred_keys(literals, 1) if value is not None]
    texts = (bytes(each) if isinstance(each, bytearray | bytes) else str(each).encode() for each in values)
    return bytearray(b"\n".join(texts)) if values else None


def null_in_key(column: str) -> str:
    """What is wrong with a row that has no key."""
    return (
        f'the key column "{column}" is NULL in a row. '
        "A document needs a key: choose other key columns, or a query that leaves such rows out."
    )


def several_rows(column: str, document_id: str) -> str:
    """What is wrong with a query under `columns`."""
    return (
        f'the query of the column "{column}" gives several rows for {document_id}. '
        "Choose one of them by ORDER BY and LIMIT 1, or join them by group_concat."
    )


def _near(name: str, there: Sequence[str]) -> str:
    """What exists instead, the closest matches first."""
    if not there:
        return " The database has none at all."
    lower = {other.lower(): other for other in there}
    close = [lower[other] for other in difflib.get_close_matches(name.lower(), lower, n=3)]
    ordered = close + [other for other in there if other not in close]
    more = f" and {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else ""
    return f" There are: {', '.join(ordered[:_NAMES_SHOWN])}{more}."
