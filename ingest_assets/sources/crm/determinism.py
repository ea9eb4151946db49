"""SQL in a mapping, and in a CRM's views, depends on the data alone: the clock and chance are refused.

Otherwise documents would change though nothing in the CRM has, and two reads of one state would differ.

What belongs here: which functions are refused, and how it is told that one asks for the present time. What
does not: what else SQL may do (`snapshot`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

# Refused when a query is compiled.
REFUSED = frozenset(
    ["random", "randomblob", "changes", "total_changes", "last_insert_rowid", "current_date", "current_time",
     "current_timestamp"]
)  # fmt: skip
# These depend on the data alone unless they are asked for now: by the word, or by giving no time at all.
_OF_TIME = re.compile(rb"(date|time|datetime|julianday|unixepoch|strftime|timediff)\(")
_FORMAT_ALONE = re.compile(r"\bstrftime\s*\(\s*(?:'(?:[^']|'')*'|[\w.]+)\s*\)", re.IGNORECASE)
_NOT_AUTHORISED = "not authorized to use function: "
_ADVICE = "it must depend on the data alone"


# Functions of servers that give something else each time, beside those that `sqlglot` knows as such.
_CHANGING = frozenset(
    ["now", "localtime", "localtimestamp", "clock_timestamp", "statement_timestamp", "timeofday", "sysdate",
     "transaction_timestamp", "curdate", "curtime", "utc_date", "utc_time", "utc_timestamp", "random", "rand",
     "setseed", "gen_random_uuid", "uuid_short", "uuid_generate_v4", "nextval", "currval", "last_insert_id",
     "connection_id", "pg_backend_pid", "txid_current", "row_count", "found_rows"]
)  # fmt: skip
# How many arguments these have when they do.
_CHANGING_WITH = {"unix_timestamp": 0, "age": 1}


def complaint(error: sqlite3.Error) -> str | None:
    """Why a query is refused, if that is why it failed."""
    function = str(error).rpartition(_NOT_AUTHORISED)[2]
    return f"uses {function}(); {_ADVICE}" if function.lower() in REFUSED else None


def asks_for_now(connection: sqlite3.Connection, sql: str, written: Iterable[str]) -> str | None:
    """A complaint about a query that asks for the present time, itself or in a view that it reads; else None.

    Views are part of the compiled query, so that is looked at; `written` is the SQL of people in it.
    """
    asked = any(_FORMAT_ALONE.search(each) for each in written)
    of_time = says_now = False
    for row in connection.execute(f"EXPLAIN {sql}"):
        instruction, first, operand = bytes(row[1]), row[3], bytes(row[5] or b"")
        if instruction in {b"Function", b"PureFunc"} and _OF_TIME.match(operand):
            of_time = True
            asked = asked or first == 0  # no register holds an argument
        says_now = says_now or (instruction == b"String8" and operand.strip().lower() == b"now")
    return f"asks for the present time; {_ADVICE}" if asked or (of_time and says_now) else None


def changing_function(written: Iterable[str], dialect: str) -> str | None:
    """A complaint about the first function in people's SQL that gives something else each time; else None.

    `dialect` as SQLAlchemy calls it. SQL that cannot be read is left to the server.
    """
    import sqlglot
    from sqlglot import exp

    always = (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.CurrentDatetime, exp.Rand, exp.Uuid)
    read = {"postgresql": "postgres"}.get(dialect, "mysql")
    for query in written:
        try:
            functions = list(sqlglot.parse_one(query, read=read).find_all(exp.Func))
        except (sqlglot.errors.SqlglotError, RecursionError):
            continue
        for each in functions:
            unknown = isinstance(each, exp.Anonymous)
            name = (each.name if unknown else each.sql_name()).lower()
            arguments = len(each.expressions) if unknown else None
            by_arguments = name in _CHANGING_WITH and arguments == _CHANGING_WITH[name]
            if isinstance(each, always) or name in _CHANGING or by_arguments:
                return f"uses {name}(); {_ADVICE}"
    return None
