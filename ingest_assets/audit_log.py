"""The log of calls: who called which tool, with which arguments, and the outcome. It is append-only.

What belongs here: appending and reading. What does not: what a call is (see `interfaces.mcp.calls`). Database
triggers refuse to change or delete a row, whoever asks.
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
MAX_VALUE = 300  # characters of one text argument
MAX_ARGUMENTS = 4_000  # characters of JSON
MAX_MESSAGE = 500
MAX_NAME = 200  # of who, transport and tool
_DEPTH = 4
_ITEMS = 50
_SECRET_NAME = re.compile(r"token|secret|password|passwd|credential|authorization|api.?key", re.IGNORECASE)
_USER_INFO = re.compile(r"(://)[^/\s@]*@")  # https://user:password@host


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One logged call."""

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
    """Log a call in the connection's transaction: what the call writes and its log are committed together."""
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


def read(
    ledger: Ledger, *, limit: int = 50, before: int | None = None, who: str | None = None
) -> list[LoggedCall]:
    """Calls, the newest first; `before` is a number, for the next page. Raises ConfigurationError."""
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
            LoggedCall(
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
    """Arguments as JSON of bounded length, without possible secrets."""
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
    """Text that every database accepts: without NULs and lone surrogates."""
    return text[:limit].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
