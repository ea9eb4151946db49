"""What people decide about a batch: each decision is logged in the transaction that carries it out.

What belongs here: who decided what, and why, in the audit log and in the manifest. What does not: what
follows from it (`gates`, `removing`).
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets import audit_log
from ingest_assets.model import NotFoundError, RequestError, when
from ingest_assets.sources.spool import manifest

# About a batch; those that `extra` of its row keeps are the last ones.
DECISIONS = ("open_gate", "close_gate", "retry_batch", "remove_batch", "redeliver_events")
MAX_WHY = 300  # characters, as many as the audit log keeps of an argument


class Decider(NamedTuple):
    """Who decides, and why."""

    who: str  # the name of the token's owner, or of the system's user
    why: str
    transport: str  # "http", "cli"


class UnknownBatchError(NotFoundError):
    """There is no batch of this tag."""

    def __init__(self, batch_tag: str) -> None:
        super().__init__(f"There is no batch {batch_tag[:200]!r}. `ingest spool list` shows those there are.")


def require_why(why: str) -> None:
    """Raises RequestError unless a reason is given that the audit log can keep."""
    if not why.strip():
        raise RequestError("Say why: the reason is kept in the audit log.")
    require_short(why)


def require_short(why: str) -> None:
    """Raises RequestError for a reason that the audit log would cut off. There need not be one."""
    if len(why) > MAX_WHY:
        raise RequestError(f"The reason has {len(why):,} characters; at most {MAX_WHY} are kept.")


def batch_to_change(connection: sa.Connection, batch_tag: str) -> Any:
    """The batch's row, locked until the transaction ends. Raises UnknownBatchError."""
    row = manifest.find_to_change(connection, batch_tag)
    if row is None:
        raise UnknownBatchError(batch_tag)
    return row


def log(connection: sa.Connection, what: str, batch_tag: str | None, by: Decider, **facts: int) -> None:
    """Log a decision about a batch, or all, in the transaction that carries it out.

    The manifest keeps who made the last ones about a batch.
    """
    # As a path, because a tag alone looks like a key, which would be hidden.
    about = "batches" if batch_tag is None else f"batches/{batch_tag}"
    audit_log.append(
        connection,
        who=by.who,
        transport=by.transport,
        tool=what,
        arguments={"batch": about, "why": by.why, **facts},
        outcome="ok",
        message="",
    )
    if batch_tag is not None:
        manifest.note(connection, batch_tag, **{what: {"by": by.who, "at": when(time.time())}})
