"""A CRM on Postgres.

- A mapping's SQL is given to the server as the text of one cursor (PL/pgSQL's OPEN FOR EXECUTE), never as a
  statement: what would be several statements, as `SELECT 1; COMMIT; DROP …`, is refused by the server.
- Rows come by FETCH, so memory is that of a batch. Each value is cast to text by the server, because only it
  knows how to write its types; SQLite's form is made of that here.
- The state is the server's snapshot of transactions: any commit in any of its databases moves it, and nothing
  else makes data visible. On a replica, it is the position in the log that it has replayed.

What belongs here: Postgres. What does not: what servers have in common (`server`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg2
import sqlalchemy as sa
from psycopg2.extensions import BYTES, adapt, register_type

from ingest_assets.certificates import postgres_begins
from ingest_assets.sources.crm.databases import QueryError, Row
from ingest_assets.sources.crm.databases.server import (
    CONNECT_TIMEOUT_S,
    FETCH_BYTES,
    MAX_FETCH,
    ServerDatabase,
    ServerSnapshot,
    names_of_keys,
)
from ingest_assets.sources.crm.databases.values import moment, number, real
from ingest_assets.sources.crm.text import Cell

_BOOL, _BYTEA, _INTEGERS, _FLOATS, _NUMERIC = 16, 17, {20, 21, 23, 26}, {700, 701}, 1700
_TIMESTAMP, _TIMESTAMP_TZ = 1114, 1184
# Beginnings of SQLSTATEs that a query is to blame for: features, cardinality, data, writing, routines, syntax
# and names (and the right to read), limits, a materialized view that is not filled, files.
_OF_QUERIES = ("0A", "21", "22", "25006", "38", "39", "42", "54", "55000", "58P01", "P0")
_ADVICE = (
    ("authentication failed", "the server refuses this user or password. Correct CRM_DB_URL"),
    ("no password supplied", "the server asks for a password. Add it to CRM_DB_URL"),
    ("no pg_hba.conf entry", "the server does not let this user in from here, or not without TLS (sslmode)"),
    ("certificate", "the server's certificate is not accepted. Check sslmode and sslrootcert in CRM_DB_URL"),
    ("SSL", "there is no TLS connection with it. Check sslmode in CRM_DB_URL"),
    ("does not exist", "there is no such database or user. Correct CRM_DB_URL"),
    ("translate host name", "its host is not known. Check CRM_DB_URL, and the name server"),
    ("permission denied", "the account may not read there. Grant it CONNECT, USAGE and SELECT"),
    ("invalid", "it cannot be understood. Correct CRM_DB_URL"),
)
_STATE = """
SELECT pg_postmaster_start_time()::text || ' ' || CASE WHEN pg_is_in_recovery()
    THEN coalesce(pg_last_wal_replay_lsn()::text, '') ELSE txid_current_snapshot()::text END"""
_RELATIONS = """
SELECT n.nspname, c.relname, pg_table_is_visible(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY NOT pg_table_is_visible(c.oid), n.nspname, c.relname"""
_WRITABLE = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)'
AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')"""


class PostgresDatabase(ServerDatabase):
    system = "Postgres"
    dialect = "postgres"

    def errors(self) -> type[Exception]:
        return cast("type[Exception]", psycopg2.Error)

    def connect_arguments(self) -> dict[str, Any]:
        # A server that vanishes without a word is noticed within a minute or so.
        alive = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        return {"connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "utf8", **alive}

    def begin(self, connection: sa.Connection) -> PostgresSnapshot:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        wait_ms = int(self.query_timeout_s * 1_000)
        # For this transaction only: a pooler gives the session to others afterwards.
        for setting in (
            f"statement_timeout = {wait_ms}", f"lock_timeout = {wait_ms}", "cursor_tuple_fraction = 1",
            "idle_in_transaction_session_timeout = 0", "TimeZone = 'UTC'", "DateStyle = 'ISO'",
            "IntervalStyle = 'iso_8601'", "bytea_output = 'hex'", "extra_float_digits = 3",
        ):  # fmt: skip
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        connection.exec_driver_sql("SELECT count(*) FROM pg_class WHERE false")  # pins the state
        if connection.exec_driver_sql("SHOW server_encoding").scalar() == "SQL_ASCII":
            # Its text is of no known encoding: as UTF-8, the server would refuse what is none.
            connection.exec_driver_sql("SET LOCAL client_encoding = 'SQL_ASCII'")
        return PostgresSnapshot(connection, self.failing_plainly)

    def state(self, connection: sa.Connection) -> str:
        return str(connection.exec_driver_sql(_STATE).scalar())

    def could_write(self, connection: sa.Connection) -> str:
        if connection.exec_driver_sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").scalar():
            return "it is a superuser"
        tables = connection.exec_driver_sql(_WRITABLE).scalar()
        return f"it may write to {tables:,} tables" if tables else ""

    def advice(self, error: BaseException | None) -> str:
        code, text = getattr(error, "pgcode", None), str(error)
        if code == "57014":
            return "a query took longer than CRM_QUERY_TIMEOUT_S. Raise it, or make the query cheaper"
        if code == "55P03":
            return "a table is locked by another session. Try again"
        if code == "40001":
            return (
                "the replica cancelled the read in favour of its primary. Raise max_standby_streaming_delay"
            )
        if code is None and "certificate" in text and (days := self.certificate_days(5432, postgres_begins)):
            return days
        found = next((advice for part, advice in _ADVICE if code is None and part in text), None)
        return found or "the server cannot be read now. Check that it runs, and CRM_DB_URL; then try again"

    def said(self, error: BaseException | None) -> str:
        return said(error)


def said(error: BaseException | None) -> str:
    diagnostics = getattr(error, "diag", None)
    text = getattr(diagnostics, "message_primary", None) or str(error)
    return " ".join(text.split("\n\n")[0].split())


class PostgresSnapshot(ServerSnapshot):
    _cursors = 0

    def found_places(self) -> dict[str, tuple[str | None, str]]:
        """Tables of schemas that are not searched have their schema's name before theirs."""
        found: dict[str, tuple[str | None, str]] = {}
        for schema, name, is_visible in self._connection.exec_driver_sql(_RELATIONS):
            found.setdefault(*((name, (None, name)) if is_visible else (f"{schema}.{name}", (schema, name))))
        return found

    def compile(self, sql: str) -> list[str]:
        with self._asking():
            self._execute("SAVEPOINT compiled")
            try:
                return [name for name, _ in self._columns(sql)]
            finally:
                self._execute("ROLLBACK TO SAVEPOINT compiled")

    def rows(self, sql: str) -> Generator[Row]:
        """A QueryError leaves the snapshot usable here too: a transaction would end with it."""
        with self._asking():
            self._execute("SAVEPOINT reading")
        try:
            yield from self._read(sql)
        except QueryError:
            with self._asking():
                self._execute("ROLLBACK TO SAVEPOINT reading")
            raise
        with self._asking():
            self._execute("RELEASE SAVEPOINT reading")

    def _read(self, sql: str) -> Iterator[Row]:
        with self._asking():
            types = [type_ for _, type_ in self._columns(sql)]
            arrays = self._arrays(types)
            names = [f"c{i}" for i in range(len(types))]
            cells = [_selected(*each, arrays) for each in zip(names, types, strict=True)]
            wrapped = f"SELECT {', '.join(cells)} FROM ({sql}\n) AS read({', '.join(names)})"
            converters = [_CONVERTERS.get(type_, bytearray) for type_ in types]
            yield from self._streamed(wrapped, converters)

    def twice(self, keys: str, width: int) -> Row | None:
        names = names_of_keys(width)
        texts = ", ".join(f'k{i}::text COLLATE "C"' for i in range(width))
        found = self.rows(
            f"SELECT {texts} FROM ({keys}\n) AS keys({names}) GROUP BY {texts} HAVING count(*) > 1 LIMIT 1"
        )
        return next(found, None)

    def gives_several(self, query: str) -> str:
        return f"(SELECT count(*) > 1 FROM ({query}\n) AS several)"

    def references(self, query: str, width: int) -> str:
        names = names_of_keys(width)
        return f"(SELECT json_agg(json_build_array({names})) FROM ({query}\n) AS referred({names}))"

    def _streamed(self, sql: str, converters: Sequence[Any]) -> Iterator[Row]:
        name = self._open(sql)
        count = 10
        while True:
            with self._cursor() as cursor:
                cursor.execute(f"FETCH FORWARD {count} FROM {name}".encode())
                found = cursor.fetchall()
            weight = sum(len(cell) for row in found for cell in row if cell is not None)
            for row in found:
                yield tuple(
                    None if cell is None else convert(cell)
                    for convert, cell in zip(converters, row, strict=True)
                )
            if len(found) < count:
                return self._execute(f"CLOSE {name}")
            # So that a batch has about the bytes that it should.
            count = max(1, min(MAX_FETCH, 2 * count, count * FETCH_BYTES // max(1, weight)))

    def _columns(self, sql: str) -> list[tuple[str, int]]:
        """Names and types of a query's columns."""
        name = self._open(f"SELECT * FROM ({sql}\n) AS compiled LIMIT 0")
        with self._cursor() as cursor:
            cursor.execute(f"FETCH FORWARD 1 FROM {name}".encode())
            return [(column.name, column.type_code) for column in cursor.description]

    def _open(self, sql: str) -> str:
        """Open a cursor for a query, which the server takes as one or refuses."""
        self._cursors += 1
        name = f"crm_{self._cursors}"
        body = f"DECLARE it refcursor := '{name}'; BEGIN OPEN it NO SCROLL FOR EXECUTE {_literal(sql)}; END"
        self._execute(f"DO {_literal(body)}")
        return name

    def _arrays(self, types: Sequence[int]) -> set[int]:
        with self._cursor() as cursor:
            listed = ", ".join(map(str, {0, *types}))
            cursor.execute(f"SELECT oid FROM pg_type WHERE typcategory = 'A' AND oid IN ({listed})".encode())
            return {oid for (oid,) in cursor.fetchall()}

    def _execute(self, sql: str) -> None:
        with self._cursor() as cursor:
            cursor.execute(sql.encode())

    def _cursor(self) -> Any:
        """One that gives text as bytes. What it executes is bytes too: nothing in it is replaced."""
        connection = self._connection.connection.driver_connection
        assert connection is not None
        cursor = connection.cursor()
        register_type(BYTES, cursor)
        return cursor

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            with self._failing_plainly():
                try:
                    yield
                except psycopg2.Error as error:
                    if not (error.pgcode or "").startswith(_OF_QUERIES):
                        raise
                    raise QueryError(said(error).rstrip(".")) from None
        except UnicodeEncodeError:
            raise QueryError("it is not text in Unicode") from None


def _literal(text: str) -> str:
    quoted = adapt(text)
    quoted.encoding = "utf8"
    written: str = quoted.getquoted().decode()
    return written


def _selected(name: str, type_: int, arrays: set[int]) -> str:
    if type_ == _BYTEA:
        return name
    return f"to_json({name})::text" if type_ in arrays else f"{name}::text"


def _number(text: bytes) -> Cell:
    return number(text.decode())


def _local(text: bytes) -> Cell:
    return moment(text)


def _zoned(text: bytes) -> Cell:
    """In UTC, except "infinity", and a year before Christ, whose mark is at the end."""
    return moment(text[:-3], is_utc=True) if text.endswith(b"+00") else bytearray(text)


_CONVERTERS: dict[int, Any] = {
    _BOOL: lambda text: int(text == b"true"),
    _BYTEA: bytes,
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(_FLOATS, lambda text: real(float(text))),
    _NUMERIC: _number,
    _TIMESTAMP: _local,
    _TIMESTAMP_TZ: _zoned,
}
