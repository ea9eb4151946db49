"""How a job ends: one conditional update, with its completed event in the same transaction.

    pending -> running -> completed | failed | cancelled
    pending -> failed | cancelled

What belongs here: ending a job, which clients (cancel) and workers (end) share.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.jobs.event_log import write
from ingest_assets.jobs.events import Tally, completed
from ingest_assets.jobs.rows import ACTIVE, MISSING, PENDING, RUNNING, clean, require
from ingest_assets.jobs.totals import add_ended
from ingest_assets.ledger import job_tables
from ingest_assets.model import IngestError
from ingest_assets.redaction import redact, without_secrets

Outcome = Literal["completed", "failed", "cancelled"]

MESSAGE_CHARS = 2_000
TRACEBACK_CHARS = 20_000
CANCELLED = "The job was cancelled."
_WHERE = {"pending": PENDING, "running": RUNNING, "active": ACTIVE}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed."""

    message: str
    type: str
    traceback: str | None = None

    @classmethod
    def of(cls, error: BaseException | str | None) -> Failure:
        if error is None:
            return cls("The job failed, and no reason was given.", "UnknownError")
        if isinstance(error, str):
            return cls(error, "IngestError")
        name = type(error).__name__
        # Our own messages are sentences; others often need the type to be understood.
        message = str(error) if isinstance(error, IngestError) else f"{name}: {error}"
        return cls(message, name, "".join(traceback.format_exception(without_secrets(error))))


def finish(
    connection: sa.Connection,
    job_id: str,
    outcome: Outcome,
    *,
    expected: Literal["pending", "running", "active"],
    now: float,
    failure: Failure | None = None,
    totals: Tally | None = None,
) -> bool:
    """End a job that is in an `expected` state. False, with nothing changed, when it is in another one."""
    t = job_tables.indexing_jobs
    ending = (
        t.update()
        .where(t.c.id == job_id, sa.text(_WHERE[expected]))
        .values(event_count=t.c.event_count + 1, **_values(outcome, now, failure, totals))
    )
    if not connection.execute(ending).rowcount:
        return False
    row = require(connection, job_id)
    error = None if outcome == "completed" else row.error_message or CANCELLED
    since = row.created_at if row.started_at is None else row.started_at
    missing = json.loads(row.result).get(MISSING)
    draft = completed(totals or _tally(row), round((now - since) * 1000), error, missing)
    write(connection, row, row.event_count - 1, [draft])
    add_ended(connection, row)
    return True


def _values(outcome: Outcome, now: float, failure: Failure | None, totals: Tally | None) -> dict[str, Any]:
    values: dict[str, Any] = {"status": outcome, "completed_at": now, "updated_at": now}
    if outcome == "completed":
        values |= {"progress_percentage": 100, "progress_message": "Completed."}
    elif outcome == "cancelled":
        values |= {"cancelled_at": now, "progress_message": "Cancelled."}
    else:
        failure = failure or Failure.of(None)
        values |= {
            "progress_message": "Failed.",
            "error_message": clean(redact(failure.message), MESSAGE_CHARS),
            "error_type": clean(failure.type, MESSAGE_CHARS),
            "error_traceback": failure.traceback
            and clean(redact(failure.traceback), TRACEBACK_CHARS, tail=True),
        }
    if totals is not None:
        values |= {
            "files_scanned": totals.files_processed,  # those that were skipped were not
            "files_indexed": totals.files_processed,
            "chunks_created": totals.chunks_created,
        }
    return values


def _tally(row: Any) -> Tally:
    """From the events, if there were any; otherwise from what the worker last reported."""
    if row.tally:
        return Tally.from_json(json.loads(row.tally))
    skipped = max(0, row.files_scanned - row.files_indexed)
    return Tally(row.files_scanned, skipped, row.chunks_created, Counter())
