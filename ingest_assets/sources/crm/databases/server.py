"""A CRM on a database server: what Postgres and MySQL have in common.

One connection, one read-only transaction, one state. A confined process connects before it gives up the
network, and keeps nothing but that connection. A server that goes away is a SourceUnavailableError.

What belongs here: the connection and its schema. What does not: what is particular to one server (`postgres`,
`mysql`), and the URL (`address`).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa

from ingest_assets.certificates import Begin, shown_by
from ingest_assets.model import SourceUnavailableError, digest_of
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sources.crm.databases import Column, ForeignKey, Row, Snapshot, Table, literals_of
from ingest_assets.sources.crm.databases.address import parsed, shown
from ingest_assets.sources.crm.databases.values import keys_of
from ingest_assets.sources.crm.determinism import unfit
from ingest_assets.sources.crm.text import Cell

CONNECT_TIMEOUT_S = 10
FETCH_BYTES = 1 << 20  # what one batch of rows should have
MAX_FETCH = 500  # rows


class ServerDatabase(ABC):
    """A database on a server, in which one account may read."""

    system = ""  # for messages
    dialect = ""
    uncounted = ""

    def __init__(self, url: str, query_timeout_s: float) -> None:
        """`url` is one that `address.parsed` takes. `query_timeout_s` bounds the wait for a query's rows."""
        self.url, self.query_timeout_s = url, query_timeout_s
        self._connection: sa.Connection | None = None

    @property
    def where(self) -> str:
        return f"CRM_DB_URL: {self.identity}"

    @property
    def identity(self) -> str:
        return shown(parsed(self.url))

    def inside(self) -> ServerDatabase:
        return type(self)(self.url, self.query_timeout_s)

    def grants(self) -> Grants:
        return Grants()

    def bounds(self, given: Limits) -> Limits:
        return given

    def connect(self) -> None:
        self._connection = self._connected()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        connection, self._connection = self._connection or self._connected(), None
        with _ended(connection):
            with self.failing_plainly():
                snapshot = self.begin(connection)
            yield snapshot

    def signature(self) -> str | None:
        """None when the server cannot be reached."""
        try:
            with closing(self._connected()) as connection, self.failing_plainly():
                return digest_of(self.identity, self.state(connection))
        except SourceUnavailableError:
            return None

    def rights(self) -> str:
        """What the account could change, as a clause; "" if nothing."""
        with closing(self._connected()) as connection, self.failing_plainly():
            return self.could_write(connection)

    @contextmanager
    def failing_plainly(self) -> Iterator[None]:
        """Errors of the driver as SourceUnavailableErrors."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self.unavailable(error.orig) from None
        except self.errors() as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: BaseException | None) -> SourceUnavailableError:
        """What an error means for the person who has to act on it. Without its cause, which has the URL."""
        return SourceUnavailableError(
            f"{self.where}: {self.advice(error)}. ({self.system}: {self.said(error).rstrip('.')}.)"
        )

    def certificate_days(self, default_port: int, begin: Begin) -> str:
        """What the day says of the server's certificate, as a clause; "" if it is valid, or not known."""
        url = parsed(self.url)
        return shown_by(url.host or "", url.port or default_port, begin)

    def _connected(self) -> sa.Connection:
        engine = sa.create_engine(
            parsed(self.url), poolclass=sa.pool.NullPool, connect_args=self.connect_arguments(), echo=False
        )
        with self.failing_plainly():
            try:
                return engine.connect()
            except OSError as error:  # a file of the URL's TLS parameters
                why = error.strerror or "it is not what it should be"
                raise SourceUnavailableError(
                    f"{self.where}: a file that CRM_DB_URL names cannot be read: {why}."
                ) from None

    @abstractmethod
    def errors(self) -> type[Exception]:
        """What the driver raises."""

    @abstractmethod
    def connect_arguments(self) -> dict[str, Any]:
        """For the driver."""

    @abstractmethod
    def begin(self, connection: sa.Connection) -> ServerSnapshot:
        """Start the transaction, and pin the state that it reads."""

    @abstractmethod
    def state(self, connection: sa.Connection) -> str:
        """What every commit changes."""

    @abstractmethod
    def could_write(self, connection: sa.Connection) -> str: ...

    @abstractmethod
    def advice(self, error: BaseException | None) -> str:
        """What to do about an error, as a clause."""

    @abstractmethod
    def said(self, error: BaseException | None) -> str:
        """The server's own words, on one line."""


@contextmanager
def _ended(connection: sa.Connection) -> Iterator[None]:
    """Close it in the end, broken or not: nothing is to be saved."""
    try:
        yield
    finally:
        connection.invalidate()
        connection.close()


class ServerSnapshot(ABC):
    """A state of a server's database, in a transaction."""

    def __init__(self, connection: sa.Connection, failing_plainly: Callable[[], Any]) -> None:
        self._connection = connection
        self._failing_plainly = failing_plainly
        self._places: dict[str, tuple[str | None, str]] | None = None

    def quote(self, name: str) -> str:
        return self._connection.dialect.identifier_preparer.quote_identifier(name)

    def relations(self) -> Sequence[str]:
        return list(self.places)

    def relation(self, name: str) -> str:
        schema, table = self.places[name]
        return self.quote(table) if schema is None else f"{self.quote(schema)}.{self.quote(table)}"

    @property
    def places(self) -> dict[str, tuple[str | None, str]]:
        """Each table's name in a mapping -> its schema, if that must be named, and its name there."""
        if self._places is None:
            with self._failing_plainly():
                self._places = self.found_places()
        return self._places

    def table(self, name: str) -> Table:
        schema, table = self.places[name]
        with self._failing_plainly(), warnings.catch_warnings():
            warnings.simplefilter("ignore", sa.exc.SAWarning)  # types that SQLAlchemy does not know
            inspector = sa.inspect(self._connection)
            columns = inspector.get_columns(table, schema)
            is_view = table in inspector.get_view_names(schema)
            keys = [] if is_view else self._keys(inspector, table, schema)
            foreign = [] if is_view else inspector.get_foreign_keys(table, schema)
        return Table(
            name,
            is_view,
            tuple(Column(each["name"], self._type(each["type"])) for each in columns),
            keys[0] if keys else (),
            tuple(keys[1:]),
            tuple(
                ForeignKey(
                    tuple(each["constrained_columns"]),
                    self._named(each["referred_schema"], each["referred_table"]),
                    tuple(each["referred_columns"]),
                )
                for each in foreign
            ),
        )

    def is_unique(self, table: str, key: Sequence[str]) -> bool:
        """A column has one type, so what is unique is so as text; but its values may be NULL."""
        schema, name = self.places[table]
        with self._failing_plainly():
            keys = self._keys(sa.inspect(self._connection), name, schema)
        return any(columns and set(columns) <= set(key) for columns in keys)

    def single(self, query: str, several: bytes) -> str:  # noqa: ARG002 - a server refuses several itself
        return query

    def holds_numbers(self, table: str | None, query: str, column: str) -> bool:
        """A column has one type, which any value of it shows."""
        source = self.relation(table) if table is not None else f"({query}\n)"
        name = self.quote(column)
        sql = f"SELECT {name} FROM {source} AS document WHERE {name} IS NOT NULL LIMIT 1"
        with closing(self.rows(sql)) as rows:
            first = next(rows, None)
        return first is not None and isinstance(first[0], int | float)

    def hidden_column(self, table: str, name: str) -> str | None:  # noqa: ARG002 - there are none that last
        return None

    def changes_by_itself(self, sql: str, written: Sequence[str]) -> str | None:  # noqa: ARG002 - see below
        """As far as the mapping's own SQL says; what views do is not looked at."""
        return unfit(written, self._connection.dialect.name)

    def literals(self, cell: Cell) -> Cell:
        return literals_of(keys_of(cell)) if isinstance(cell, bytes | bytearray) else None

    def _keys(self, inspector: sa.Inspector, table: str, schema: str | None) -> list[tuple[str, ...]]:
        """The primary key, which may be empty, then what else is unique."""
        primary = tuple(inspector.get_pk_constraint(table, schema)["constrained_columns"])
        unique = [tuple(each["column_names"]) for each in inspector.get_unique_constraints(table, schema)]
        for index in inspector.get_indexes(table, schema):
            columns = index["column_names"]
            partial = (index.get("dialect_options") or {}).get("postgresql_where")
            if index["unique"] and not partial and all(columns) and not index.get("expressions"):
                unique.append(tuple(str(column) for column in columns))
        return [primary, *(columns for columns in dict.fromkeys(unique) if columns != primary)]

    def _named(self, schema: str | None, table: str) -> str:
        """A table's name in a mapping."""
        qualified = f"{schema}.{table}"
        return qualified if schema is not None and qualified in self.places else table

    def _type(self, type_: sa.types.TypeEngine[Any]) -> str:
        try:
            return type_.compile(self._connection.dialect)
        except sa.exc.CompileError:  # one that SQLAlchemy does not know
            return ""

    @abstractmethod
    def found_places(self) -> dict[str, tuple[str | None, str]]: ...

    @abstractmethod
    def compile(self, sql: str) -> list[str]: ...

    @abstractmethod
    def rows(self, sql: str) -> Generator[Row]: ...

    @abstractmethod
    def twice(self, keys: str, width: int) -> Row | None: ...

    @abstractmethod
    def gives_several(self, query: str) -> str: ...

    @abstractmethod
    def references(self, query: str, width: int) -> str: ...


def names_of_keys(width: int) -> str:
    return ", ".join(f"k{i}" for i in range(width))
