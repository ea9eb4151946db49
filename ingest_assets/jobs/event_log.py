"""The log of job events: appended in order, read again from any position.

The sequence of an event is allocated by an update of its job's row, in the transaction that writes the event:
the row's lock makes concurrent writers take turns, so sequences have no gaps, and a reader that has seen one
event has seen all before it.

What belongs here: writing and reading. What does not: what events say (events).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from types import TracebackType
from typing import Any, Self, cast

import sqlalchemy as sa

from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.jobs.events import COMPLETED, Context, Draft, JobEvent, Tally, seal
from ingest_assets.jobs.rows import RUNNING, checked_id, require
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.model import ConfigurationError

BATCH = 500  # events per transaction: about 10 ms
INTERVAL_S = 1.0  # how long an event may stay in the buffer
MAX_READ = 10_000
# A sequence is an INTEGER of four bytes on Postgres.
MAX_SEQUENCE = 2**31 - 1


def append(ledger: Ledger, job_id: str, drafts: Sequence[Draft]) -> int:
    """Write events of a running job, in order. Returns the sequence of the first.

    Raises JobCancelledError when the job is not running, UnknownJobError when there is none, and
    UnavailableError when the ledger does not answer. Completed events are only written by ending the job.
    """
    job_id = checked_id(job_id)
    if any(draft.event_type == COMPLETED for draft in drafts):
        raise ValueError("A completed event is written by ending the job.")
    t = job_tables.indexing_jobs
    with ledger.transaction() as connection:
        taken = (
            t.update()
            .where(t.c.id == job_id, sa.text(RUNNING))
            .values(event_count=t.c.event_count + len(drafts))
        )
        if not connection.execute(taken).rowcount:
            row = require(connection, job_id)
            raise JobCancelledError(f"The job is {row.status}: it takes no more events.")
        row = require(connection, job_id)
        tally = Tally.from_json(json.loads(row.tally)) if row.tally else Tally()
        for draft in drafts:
            tally.count(draft)
        first: int = row.event_count - len(drafts)
        write(connection, row, first, drafts)
        connection.execute(t.update().where(t.c.id == job_id).values(tally=json.dumps(tally.as_json())))
    return first


def write(connection: sa.Connection, job: Any, first: int, drafts: Sequence[Draft]) -> None:
    """Write events whose sequences, from `first` on, were allocated in this transaction."""
    now = time.time()
    context = Context(job_id=job.id, repo_url=job.repo_path, git_ref=job.git_ref)
    rows = [
        {
            "job_id": job.id,
            "sequence": sequence,
            # ASCII, so that what a database rejects (NUL characters, lone surrogates) is escaped.
            "event": json.dumps(seal(draft, context, sequence, now)),
            "at": now,
        }
        for sequence, draft in enumerate(drafts, first)
    ]
    if rows:
        connection.execute(job_tables.indexing_job_events.insert(), rows)


def after(ledger: Ledger, job_id: str, sequence: int = -1, limit: int = 1_000) -> list[JobEvent]:
    """The events of a job after the given sequence, in order; -1 gives them from the first.

    An empty list does not mean the end: a job has ended when its last event is a completed one (`is_last`).
    Raises UnknownJobError, and ConfigurationError for a sequence or a limit out of range.
    """
    job_id = checked_id(job_id)
    if not -1 <= sequence <= MAX_SEQUENCE:
        raise ConfigurationError("The sequence to continue after must be an event's, or -1 for all events.")
    if not 1 <= limit <= MAX_READ:
        raise ConfigurationError(f"The limit of events must be 1 to {MAX_READ:,}, not {limit}.")
    t = job_tables.indexing_job_events
    query = (
        sa.select(t.c.event)
        .where(t.c.job_id == job_id, t.c.sequence > sequence)
        .order_by(t.c.sequence)
        .limit(limit)
    )
    with ledger.reading() as connection:
        found = connection.scalars(query).all()
        if not found:
            require(connection, job_id)
    return [cast("JobEvent", json.loads(event)) for event in found]


def is_last(event: Mapping[str, object]) -> bool:
    """Whether this is the last event of its job."""
    return event["event_type"] == COMPLETED


def sequence_of(last_event_id: str | None) -> int:
    """The sequence to continue after, from a client's Last-Event-ID; -1 when it sends none.

    The `id:` of an event is its sequence. Raises ConfigurationError for anything that is not a sequence.
    """
    text = (last_event_id or "").strip()
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SEQUENCE))):
        raise ConfigurationError("Last-Event-ID is not the id of an event: send the last one received.")
    return min(int(text), MAX_SEQUENCE)


class JobEvents:
    """Appends the events of one job in batches: 10,000 files are not 10,000 transactions.

    Use it in a `with` block, which writes what is left at its end. Events are buffered until there are
    `batch` of them, or one is added after the first has waited `interval_s`; call `flush` before a pause.
    """

    def __init__(
        self, ledger: Ledger, job_id: str, *, batch: int = BATCH, interval_s: float = INTERVAL_S
    ) -> None:
        self.job_id = checked_id(job_id)
        self._ledger = ledger
        self._batch = batch
        self._interval_s = interval_s
        self._buffer: list[Draft] = []
        self._buffered_since = 0.0
        self._lock = Lock()

    def add(self, draft: Draft) -> None:
        """Raises what `append` raises, for all buffered events; they are not retried."""
        with self._lock:
            if not self._buffer:
                self._buffered_since = time.monotonic()
            self._buffer.append(draft)
            full = len(self._buffer) >= self._batch
            if full or time.monotonic() - self._buffered_since >= self._interval_s:
                self._write()

    def flush(self) -> None:
        with self._lock:
            self._write()

    def _write(self) -> None:
        drafts, self._buffer = self._buffer, []
        if drafts:
            append(self._ledger, self.job_id, drafts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes what is left even when the block failed, but then the block's own error counts."""
        try:
            self.flush()
        except Exception:
            # The block's own error says more; without one, this is the error.
            if error is None:
                raise
