"""A CRM on MySQL or MariaDB.

- The driver sends one statement at a time (the server refuses several), in a READ ONLY transaction with a
  consistent snapshot. Rows come one by one, unbuffered.
- Tables of an engine without transactions are not part of the snapshot, and reading them locks out their
  writers. Where there are any, the server first puts a result aside (SQL_BUFFER_RESULT), and lets go of them.
- Derived tables cannot refer to the row outside them, so the keys of a refs query are collected in place of
  its columns; sqlglot rewrites it.
- No counter of changes can be trusted by an ordinary account: a table's update time is lost on a restart and
  kept for one engine only, statistics may be reset, and the binary log may be off, or leave tables out.

What belongs here: MySQL and MariaDB. What does not: what servers have in common (`server`).
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, cast

import pymysql
import sqlalchemy as sa
from pymysql.constants import CLIENT
from pymysql.constants import FIELD_TYPE as TYPE
from pymysql.cursors import SSCursor

from ingest_assets.sources.crm.databases import QueryError, Row
from ingest_assets.sources.crm.databases.server import (
    CONNECT_TIMEOUT_S,
    ServerDatabase,
    ServerSnapshot,
    names_of_keys,
)
from ingest_assets.sources.crm.databases.values import moment, number, real
from ingest_assets.sources.crm.text import Cell

if TYPE_CHECKING:
    from sqlglot import exp

# How long a stream of rows may take in all; the wait for its next row is bounded by CRM_QUERY_TIMEOUT_S.
_STREAM_S = 12 * 3_600
_LOST, _SLOW = 2013, 1969  # the connection; a query
_BINARY = 63  # the character set of what is no text
# Errors of the server, and of TLS and the connection.
_ADVICE = {
    1044: "the account may not use this database. Grant it SELECT there",
    1045: "the server refuses this user or password, or this host. Correct CRM_DB_URL",
    1049: "there is no such database. Correct CRM_DB_URL",
    1130: "the server does not let this host in. Create the account for it",
    1205: "a table is locked by another session. Try again",
    1412: "a table was altered while it was read. Try again",
    1698: "the server refuses this user or password. Correct CRM_DB_URL",
    1969: "a query took longer than CRM_QUERY_TIMEOUT_S. Raise it, or make the query cheaper",
    3024: "a query took longer than CRM_QUERY_TIMEOUT_S. Raise it, or make the query cheaper",
    3159: "the server asks for TLS. Add ssl_ca to CRM_DB_URL",
    2026: "there is no TLS connection with it. Check ssl_ca in CRM_DB_URL",
}
# What a query is to blame for is in these ranges, except the ones above and those of connections.
_OF_QUERIES = (range(1022, 2000), range(3000, 5000))
_OF_CONNECTIONS = {1040, 1053, 1077, 1078, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1317, 1927}
_WRITES = re.compile(
    r"\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|DROP|ALTER|CREATE|TRIGGER|INDEX|EVENT|SUPER|FILE)\b"
)


class MysqlDatabase(ServerDatabase):
    system = "MySQL"
    dialect = "mysql"
    uncounted = (
        "this server keeps no count of its changes that can be trusted, so every row is compared at each "
        "scheduled refresh"
    )

    def errors(self) -> type[Exception]:
        return cast("type[Exception]", pymysql.MySQLError)

    def connect_arguments(self) -> dict[str, Any]:
        # Also for the answers while it logs in: what listens there may be no MySQL, and say nothing.
        wait = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), CONNECT_TIMEOUT_S)
        return {**wait, "charset": "utf8mb4", "local_infile": False}

    def begin(self, connection: sa.Connection) -> MysqlSnapshot:
        names = {name for name, _ in connection.exec_driver_sql("SHOW VARIABLES LIKE '%%_time'")}
        settings = {
            "time_zone": "'+00:00'", "group_concat_max_len": "4294967295", "lock_wait_timeout": "30",
            "net_write_timeout": f"{_STREAM_S}", "wait_timeout": f"{_STREAM_S}",
        }  # fmt: skip
        if "max_statement_time" in names:
            settings["max_statement_time"] = f"{_STREAM_S}"  # MariaDB, in seconds
        if "max_execution_time" in names:
            settings["max_execution_time"] = f"{_STREAM_S * 1_000}"
        for name, value in settings.items():
            connection.exec_driver_sql(f"SET SESSION {name} = {value}")
        connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        driver: Any = connection.connection.driver_connection
        driver._read_timeout = self.query_timeout_s  # which the driver looks at whenever it reads
        return MysqlSnapshot(connection, self.failing_plainly)

    def state(self, connection: sa.Connection) -> str:
        """Equal to no other: see `uncounted`."""
        connection.exec_driver_sql("SELECT 1")
        return str(time.time_ns())

    def could_write(self, connection: sa.Connection) -> str:
        grants = [str(row[0]) for row in connection.exec_driver_sql("SHOW GRANTS")]
        rights = {right for each in grants for right in _WRITES.findall(each.split(" ON ")[0])}
        return f"it has the rights {', '.join(sorted(rights))}" if rights else ""

    def advice(self, error: BaseException | None) -> str:
        code = code_of(error)
        if "SSL" in str(error) or "certificate" in str(error):
            return self.certificate_days(3306, _begins) or _ADVICE[2026]
        default = "the server cannot be read now. Check that it runs, and CRM_DB_URL; then try again"
        return _ADVICE.get(code, default)

    def said(self, error: BaseException | None) -> str:
        return said(error)


def _begins(connection: socket.socket) -> None:
    """Read the server's greeting, and ask for TLS."""
    head = connection.recv(4, socket.MSG_WAITALL)
    connection.recv(int.from_bytes(head[:3], "little"), socket.MSG_WAITALL)
    can = CLIENT.PROTOCOL_41 | CLIENT.SECURE_CONNECTION | CLIENT.SSL
    asked = struct.pack("<IIB23x", can, 1 << 24, 33)  # what we can do, the longest packet, UTF-8
    connection.sendall(struct.pack("<I", 1 << 24 | len(asked)) + asked)


def code_of(error: BaseException | None) -> int:
    return error.args[0] if error is not None and error.args and isinstance(error.args[0], int) else 0


def said(error: BaseException | None) -> str:
    arguments = error.args if error is not None else ()
    return " ".join(str(arguments[1] if len(arguments) > 1 else error).split())


class _RawCursor(SSCursor):  # type: ignore[misc]  # the driver ships no types
    """Gives each row as the server sent it, and each column's type, as a converter to cells."""

    def abandon(self) -> None:
        """Leave the rest unread, if there is any: the driver would try when the result is collected."""
        if self._result is not None:
            self._result.unbuffered_active = False
            self._result.connection = None

    def converters(self) -> list[Callable[[bytes], Cell]]:
        assert self._result is not None
        return [_converter(field) for field in self._result.fields]


class MysqlSnapshot(ServerSnapshot):
    _buffered: bool | None = None

    def found_places(self) -> dict[str, tuple[str | None, str]]:
        found = self._connection.exec_driver_sql(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = database() ORDER BY table_name"
        )
        return {_text(name): (None, _text(name)) for (name,) in found}

    def compile(self, sql: str) -> list[str]:
        with self._asking(), closing(self._opened(f"SELECT * FROM ({sql}\n) AS compiled LIMIT 0")) as cursor:
            return [column[0] for column in cursor.description]

    def rows(self, sql: str) -> Generator[Row]:
        with self._asking():
            if self._is_buffered():
                sql = re.sub(r"(?i)\ASELECT\b", "SELECT SQL_BUFFER_RESULT", sql)
            cursor = self._opened(sql)
            converters = cursor.converters()
            try:
                while (row := cursor.fetchone()) is not None:
                    yield tuple(
                        None if cell is None else convert(cell)
                        for convert, cell in zip(converters, row, strict=True)
                    )
            except GeneratorExit:  # closed early: the server sends the rest before it can be asked again
                cursor.close()
                raise
            except BaseException:
                cursor.abandon()
                raise

    def twice(self, keys: str, width: int) -> Row | None:
        """Compared as bytes: collations take upper case for lower, and ignore spaces at the end."""
        cells = ", ".join(f"CAST(`k{i}` AS BINARY)" for i in range(width))
        shown = ", ".join(f"CONVERT(MIN(`k{i}`) USING utf8mb4)" for i in range(width))
        named = self._with_names(keys, width)
        found = list(
            self.rows(f"SELECT {shown} FROM ({named}) AS `keys` GROUP BY {cells} HAVING count(*) > 1 LIMIT 1")
        )
        return found[0] if found else None

    def gives_several(self, query: str) -> str:
        """EXISTS takes no notice of DISTINCT, and IS NOT NULL takes NULL for no row."""
        second = f"({query}\nLIMIT 1 OFFSET 1)"
        return (
            f"{second} IS NOT NULL"
            if re.search(r"\bdistinct\b", query, re.IGNORECASE)
            else f"EXISTS {second}"
        )

    def references(self, query: str, width: int) -> str:
        return f"({_collecting(query, width)})"

    def _with_names(self, keys: str, width: int) -> str:
        return f"WITH `keys`({names_of_keys(width)}) AS ({keys}\n) SELECT * FROM `keys`"

    def _is_buffered(self) -> bool:
        if self._buffered is None:
            count = self._connection.exec_driver_sql(
                "SELECT count(*) FROM information_schema.tables t JOIN information_schema.engines e "
                "ON e.engine = t.engine WHERE t.table_schema = database() AND e.transactions <> 'YES'"
            ).scalar()
            self._buffered = bool(count)
        return self._buffered

    def _opened(self, sql: str) -> _RawCursor:
        driver: Any = self._connection.connection.driver_connection
        kept = driver.use_unicode, driver.decoders
        cursor = _RawCursor(driver)
        driver.use_unicode, driver.decoders = False, {}
        try:
            cursor.execute(sql)  # which is when the driver looks at these two
        finally:
            driver.use_unicode, driver.decoders = kept
        return cursor

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._failing_plainly():
            try:
                yield
            except pymysql.MySQLError as error:
                code = code_of(error)
                if code == _LOST and "timed out" in str(error):
                    raise pymysql.OperationalError(_SLOW, "it gave no rows for that long") from None
                known = code in _ADVICE or code in _OF_CONNECTIONS
                if known or not any(code in each for each in _OF_QUERIES):
                    raise
                raise QueryError(said(error).rstrip(".")) from None
            except UnicodeEncodeError:
                raise QueryError("it is not text in Unicode") from None


def _collecting(query: str, width: int) -> str:
    """A query of keys, with an array of them in place of its columns."""
    import sqlglot
    from sqlglot import exp

    try:
        parsed = sqlglot.parse(query, read="mysql")
    except sqlglot.errors.SqlglotError as error:
        raise QueryError(f"it cannot be understood ({str(error).splitlines()[0]})") from None
    select = parsed[0] if len(parsed) == 1 else None
    parts = ("group", "having", "limit", "offset", "with_", "with")
    if not isinstance(select, exp.Select) or any(select.args.get(part) for part in parts):
        raise QueryError(
            "for MySQL, a refs query is one SELECT without WITH, GROUP BY, HAVING, LIMIT and UNION"
        )
    columns = [each.unalias() for each in select.expressions]
    if len(columns) != width or any(isinstance(each, exp.Star) for each in columns):
        raise QueryError(f"it must name {width} columns")
    listed = ", ".join(each.sql("mysql") for each in _bound(select, columns))
    select.set("order", None)
    select.set("distinct", None)
    select.set("expressions", [exp.Column(this=exp.to_identifier("collected_keys"))])
    return select.sql("mysql").replace("collected_keys", f"JSON_ARRAYAGG(JSON_ARRAY({listed}))", 1)


def _bound(select: exp.Select, columns: Sequence[exp.Expression]) -> Sequence[exp.Expression]:
    """The columns as the query's own: an aggregate of outer columns alone would be the outer query's."""
    from sqlglot import exp

    place = "from_" if "from_" in select.arg_types else "from"
    origin = select.args.get(place)
    if origin is not None and origin.this.name.lower() == "dual":
        select.set(place, origin := None)
    tables = [each.this for each in (origin, *(select.args.get("joins") or ())) if each is not None]
    own = {each.alias_or_name.lower() for each in tables}
    named = [found.table.lower() for each in columns for found in each.find_all(exp.Column)]
    if any(isinstance(each, exp.Table) for each in tables) and (
        "document" not in named or any(name in own for name in named)
    ):
        return columns
    one = "(SELECT 1 AS here) AS collecting"
    if origin is None:
        select.from_(one, dialect="mysql", copy=False)
    else:
        select.join(one, join_type="cross", dialect="mysql", copy=False)
    return [exp.If(this=exp.column("here", "collecting"), true=each, false=exp.null()) for each in columns]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _converter(field: Any) -> Callable[[bytes], Cell]:
    simple = _CONVERTERS.get(field.type_code)
    if simple is not None:
        return simple
    if field.type_code == TYPE.GEOMETRY or (
        field.charsetnr == _BINARY and field.type_code in {*_STRINGS, TYPE.VAR_STRING, TYPE.STRING}
    ):
        return bytes
    return bytearray


def _number(text: bytes) -> Cell:
    return number(text.decode())


def _real(text: bytes) -> Cell:
    return real(float(text))


def _bits(raw: bytes) -> Cell:
    return int.from_bytes(raw, "big")


def _date(text: bytes) -> Cell:
    """Without a month or a day, it is no date; MySQL writes zeros there."""
    return None if text.startswith(b"0000-00-00") else moment(text)


def _zoned(text: bytes) -> Cell:
    return None if text.startswith(b"0000-00-00") else moment(text, is_utc=True)


_STRINGS = (TYPE.BLOB, TYPE.TINY_BLOB, TYPE.MEDIUM_BLOB, TYPE.LONG_BLOB, TYPE.VARCHAR)
_CONVERTERS: dict[int, Callable[[bytes], Cell]] = {
    **dict.fromkeys((TYPE.TINY, TYPE.SHORT, TYPE.LONG, TYPE.LONGLONG, TYPE.INT24, TYPE.YEAR), int),
    **dict.fromkeys((TYPE.FLOAT, TYPE.DOUBLE), _real),
    **dict.fromkeys((TYPE.DECIMAL, TYPE.NEWDECIMAL), _number),
    TYPE.BIT: _bits,
    **dict.fromkeys((TYPE.DATE, TYPE.NEWDATE, TYPE.DATETIME), _date),
    TYPE.TIMESTAMP: _zoned,
    TYPE.TIME: bytearray,
    TYPE.JSON: bytearray,
}
