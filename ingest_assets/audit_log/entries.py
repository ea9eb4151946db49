"""Appending to the log of calls, and reading it.

What belongs here: rows. What does not: what is left out of them (`hiding`), and their digests' rule
(`ledger.audit_chain`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.audit_log.hiding import MAX_NAME, arguments_text, without_credentials
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.audit_chain import digest_after
from ingest_assets.model import IngestError, RequestError, when

Outcome = Literal["ok", "refused", "failed"]

MAX_LISTED = 1_000
MAX_MESSAGE = 500


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
    digest: str


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
    """Log a call in the connection's transaction: what the call writes and its log are committed together.

    Others that append wait for the transaction to end: a row's digest follows from the one before. Raises
    IngestError when the log has lost its head.
    """
    head = tables.audit_log_head
    # First, because it locks the head.
    if not connection.execute(head.update().values(number=head.c.number + 1)).rowcount:
        raise IngestError("The audit log has lost its head: `ingest audit-log verify` says what is wrong.")
    last = connection.execute(sa.select(head)).one()
    row = {
        "number": last.number,
        "at": time.time(),
        "who": _clean(who, MAX_NAME),
        "transport": _clean(transport, MAX_NAME),
        "tool": _clean(without_credentials(tool), MAX_NAME),
        "arguments": arguments_text(arguments),
        "outcome": outcome,
        "message": _clean(without_credentials(message), MAX_MESSAGE),
    }
    row["digest"] = digest_after(last.digest, row)
    connection.execute(tables.audit_log.insert(), [row])
    connection.execute(head.update().values(digest=row["digest"]))


def read(
    ledger: Ledger, *, limit: int = 50, before: int | None = None, who: str | None = None
) -> list[LoggedCall]:
    """Calls, the newest first; `before` is a number, for the next page. Raises RequestError."""
    if not 1 <= limit <= MAX_LISTED:
        raise RequestError(f"The limit must be 1 to {MAX_LISTED:,}, not {limit}.")
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
                row.digest,
            )
            for row in connection.execute(query)
        ]


def _clean(text: str, limit: int) -> str:
    """Text that every database accepts and every terminal can print: what is not printable is escaped."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])
    return "".join(shown)[:limit]
