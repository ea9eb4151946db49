"""The log of calls: who called which tool, with what, and what became of it. It can only grow.

What belongs here: appending and reading. What does not: what a call is (see `doors.mcp.calls`). Triggers of
the database refuse a change or deletion of a row, whoever asks for it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import ConfigurationError, when

Outcome = Literal["ok", "refused", "failed"]

MAX_LISTED = 1_000
MAX_VALUE = 300  # characters of a text among the arguments
MAX_ARGUMENTS = 4_000  # characters of JSON
MAX_MESSAGE = 500
MAX_NAME = 200  # of who, transport and tool
_DEPTH = 4
_ITEMS = 50
_SECRET_NAME = re.compile(r"token|secret|password|passwd|credential|authorization|api.?key", re.IGNORECASE)
_USER_INFO = re.compile(r"(://)[^/\s@]*@")  # https://user:password@host


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as the log has it."""

    number: int
    at: str
    who: str
    transport: str
    tool: str
    arguments: Any
    outcome: Outcome
    message: str


def append(
    connection: sa.Connection,
    *,
    who: str,
    transport: str,
    tool: str,
    arguments: Mapping[str, Any],
    outcome: Outcome,
    message: str,
) -> None:
    """Log a call, within the transaction of the connection: what a call writes and its log are one."""
    row = {
        "at": time.time(),
        "who": _clean(who, MAX_NAME),
        "transport": _clean(transport, MAX_NAME),
        "tool": _clean(tool, MAX_NAME),
        "arguments": arguments_text(arguments),
        "outcome": outcome,
        "message": _clean(_USER_INFO.sub(r"\1(hidden)@", message), MAX_MESSAGE),
    }
    connection.execute(tables.audit_log.insert(), [row])


def read(ledger: Ledger, *, limit: int = 50, before: int | None = None, who: str | None = None) -> list[Call]:
    """Calls, the newest first; those before a number, for the next page. Raises ConfigurationError."""
    if not 1 <= limit <= MAX_LISTED:
        raise ConfigurationError(f"The limit must be 1 to {MAX_LISTED:,}, not {limit}.")
    t = tables.audit_log
    query = sa.select(t).order_by(t.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(t.c.number < before)
    if who is not None:
        query = query.where(t.c.who == who)
    with ledger.reading() as connection:
        return [
            Call(
                row.number,
                when(row.at),
                row.who,
                row.transport,
                row.tool,
                json.loads(row.arguments),
                row.outcome,
                row.message,
            )
            for row in connection.execute(query)
        ]


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON of a bounded length, without what may be a secret."""
    text = json.dumps(_bounded(arguments, 0))
    if len(text) <= MAX_ARGUMENTS:
        return text
    return json.dumps({"shortened": text[: MAX_ARGUMENTS // 2]})


def _bounded(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        shown = _USER_INFO.sub(r"\1(hidden)@", value[: 4 * MAX_VALUE])
        return shown if len(value) <= MAX_VALUE else f"{shown[:MAX_VALUE]}… ({len(value):,} characters)"
    if value is None or isinstance(value, bool | int | float):
        return value if len(repr(value)) <= MAX_VALUE else "(a long number)"
    if depth == _DEPTH:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_ITEMS]
        return {
            str(key)[:MAX_NAME]: "(hidden)" if _SECRET_NAME.search(str(key)) else _bounded(each, depth + 1)
            for key, each in pairs
        }
    if isinstance(value, list | tuple):
        return [_bounded(each, depth + 1) for each in value[:_ITEMS]]
    return type(value).__name__


def _clean(text: str, limit: int) -> str:
    """As a database takes it: without NULs and halves of characters."""
    return text[:limit].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
