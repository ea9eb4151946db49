"""SQL in a mapping, and in a CRM's views, depends on the data alone: the clock and chance are refused.

So is, on servers, what does more than read: a read-only transaction lets it lock rows, wait and read files.

Otherwise documents would change though nothing in the CRM has, and two reads of one state would differ.

What belongs here: which functions are refused, and how it is told that one asks for the present time. What
does not: what else SQL may do (`snapshot`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr, Func

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


# Functions of servers that give something else each time, or for another account, beside those that `sqlglot`
# knows as such.
_CHANGING = frozenset(
    ["now", "localtime", "localtimestamp", "clock_timestamp", "statement_timestamp", "timeofday", "sysdate",
     "transaction_timestamp", "curdate", "curtime", "utc_date", "utc_time", "utc_timestamp", "random", "rand",
     "setseed", "gen_random_uuid", "uuid_short", "uuid_generate_v4", "nextval", "currval", "last_insert_id",
     "connection_id", "pg_backend_pid", "txid_current", "row_count", "found_rows", "random_bytes", "lastval",
     "gen_random_bytes", "random_normal", "sys_guid", "uuidv4", "uuidv7", "uuid_v4", "uuid_v7",
     "pg_current_xact_id", "pg_current_snapshot", "txid_current_snapshot", "pg_postmaster_start_time",
     "current_setting", "user", "system_user", "current_role", "inet_client_addr", "inet_client_port"]
)  # fmt: skip
# How many arguments these have when they do.
_CHANGING_WITH = {"unix_timestamp": 0, "age": 1}
# Functions that wait, lock, run SQL or programs, read files, or change the session or the server.
_ACTING = re.compile(
    r"(?:pg_)?sleep(?:_for|_until)?|benchmark|set_config|setval|pg_notify|pg_(?:try_)?advisory_.*|dblink(?:_.*)?"
    r"|pg_(?:read|ls|stat|file|create|drop|logical|replication|switch|rotate|reload|terminate|cancel|promote)_.*"
    r"|lo_(?:import|export|creat|create|from_bytea|get|put|open|close|unlink|truncate(?:64)?)"
    r"|(?:query|cursor|table|schema|database)_to_xml.*|load_file|get_lock|is_(?:free|used)_lock"
    r"|release_(?:all_)?locks?|(?:master|source)_(?:pos|gtid)_wait|wait_(?:for|until)_.*gtids?(?:_set)?"
    r"|sys_(?:exec|eval)"
)
_READS = "a mapping only reads"
# Comments whose content MySQL and MariaDB run, which nobody else reads; not those within a string or a name.
_RUN_COMMENT = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`|(/\*M?!)", re.DOTALL)


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


def unfit(written: Iterable[str], dialect: str) -> str | None:
    """A complaint about people's SQL that gives something else each time, or does more than read; else None.

    `dialect` as SQLAlchemy calls it. SQL that cannot be read is left to the server.
    """
    import sqlglot

    read = {"postgresql": "postgres"}.get(dialect, "mysql")
    for query in written:
        if read == "mysql" and any(match[1] for match in _RUN_COMMENT.finditer(query)):
            return f"has a comment that the server runs (/*!); {_READS}"
        try:
            parsed = sqlglot.parse_one(query, read=read)
            if found := _locking(parsed) or next(filter(None, map(_complaint_of, _functions(parsed))), None):
                return found
        except (sqlglot.errors.SqlglotError, RecursionError):
            continue
    return None


def _functions(parsed: Expr) -> Iterator[Func]:
    from sqlglot import exp

    return parsed.find_all(exp.Func)


def _locking(parsed: Expr) -> str | None:
    """Locks would keep writers out; variables of a session, and samples, are not of the data."""
    from sqlglot import exp

    if parsed.find(exp.Lock):
        return f"locks rows; {_READS}"
    if parsed.find(exp.TableSample):
        return f"takes rows by chance; {_ADVICE}"
    variable = parsed.find(exp.SessionParameter, exp.Parameter)
    return f"uses the variable {variable.sql('mysql')}; {_ADVICE}" if variable else None


def _complaint_of(function: Func) -> str | None:
    from sqlglot import exp

    always = (
        exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.CurrentDatetime, exp.Rand, exp.Uuid,
        exp.CurrentUser, exp.SessionUser, exp.Systimestamp,
    )  # fmt: skip
    unknown = isinstance(function, exp.Anonymous)
    name = (function.name if unknown else function.sql_name()).lower()
    if _ACTING.fullmatch(name):
        return f"uses {name}(); {_READS}"
    by_arguments = unknown and _CHANGING_WITH.get(name) == len(function.expressions)
    if isinstance(function, always) or name in _CHANGING or by_arguments:
        return f"uses {name}(); {_ADVICE}"
    return None
