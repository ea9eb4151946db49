"""The progress of a running job, written rarely; and whether it must stop, looked up rarely.

Neither ever breaks the work: a ledger that is locked or briefly gone, or a listener that fails, costs one
update, and the next makes up for it. Whoever runs the job calls `report` and `check_cancelled` between
batches, as often as it likes.

What belongs here: a worker's view of its own row while it runs. What does not: how a job ends (workers).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.jobs.rows import RUNNING, checked_id, clean
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.model import IngestError

Phase = Literal["scan", "chunk", "embed", "write"]

# The range of the percentage that each phase covers. Only the end of the job sets it to 100.
BANDS: dict[Phase, tuple[int, int]] = {
    "scan": (0, 10),
    "chunk": (10, 50),
    "embed": (50, 90),
    "write": (95, 99),
}
_VERBS: dict[Phase, str] = {
    "scan": "Files scanned",
    "chunk": "Files chunked",
    "embed": "Chunks embedded",
    "write": "Chunks written",
}
# How long an update waits for other writers before it is dropped, and how soon it is then tried again.
PATIENCE_S = 0.008
RETRY_S = 0.25
# Other writers are brief: when this many updates in a row are dropped, something is wrong.
DROPPED_IN_A_ROW = 5
_MESSAGE_CHARS = 500
_log = logging.getLogger(__name__)


class Update(NamedTuple):
    """What a listener receives."""

    job_id: str
    percentage: int
    message: str
    files_scanned: int
    files_indexed: int
    chunks_created: int


@dataclass(slots=True)
class _Counts:
    files_scanned: int = 0
    files_indexed: int = 0
    chunks_created: int = 0


class JobProgress:
    """The progress of one running job. Safe to share between threads.

    An update is written when a phase begins, and otherwise every `update_interval_s`. Whether the job must
    stop is looked up with every written update, and by `check_cancelled` every `cancel_interval_s`: a job
    that calls both stops within the shorter of the two plus the rest of its batch.
    """

    def __init__(
        self,
        ledger: Ledger,
        job_id: str,
        *,
        update_interval_s: float = 2.0,
        cancel_interval_s: float = 5.0,
        listener: Callable[[Update], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job_id = checked_id(job_id)
        self.percentage = 0
        self.message = ""
        self._ledger = ledger
        self._update_interval_s = update_interval_s
        self._cancel_interval_s = cancel_interval_s
        self._listener = listener
        self._clock = clock
        self._counts = _Counts()
        self._begun: set[Phase] = set()
        self._written_at = self._looked_at = clock()
        self._stop_reason: str | None = None  # set once the job must stop
        self._failures_in_a_row: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._lock = RLock()

    def report(
        self,
        phase: Phase,
        done: int,
        total: int | None = None,
        *,
        files_scanned: int | None = None,
        files_indexed: int | None = None,
        chunks_created: int | None = None,
        message: str | None = None,
    ) -> None:
        """`done` of `total` items of the phase, and counts; leave out what is not known. Never raises."""
        with self._lock:
            self._count(files_scanned, files_indexed, chunks_created)
            low, high = BANDS[phase]
            share = min(1.0, max(0.0, done / total)) if total else 0.0
            # Never decreases: two threads may report out of order, a phase may find that it has more to do.
            self.percentage = max(self.percentage, int(low + (high - low) * share))
            of = f" of {total:,}" if total else ""
            self.message = clean(message or f"{_VERBS[phase]}: {done:,}{of}.", _MESSAGE_CHARS)
            begins = phase not in self._begun
            self._begun.add(phase)
            if begins or self._clock() - self._written_at >= self._update_interval_s:
                self._write()

    def scanned(self, files: int) -> None:
        """All files have been found: 10 %."""
        self.report("scan", 1, 1, files_scanned=files, message=f"Files scanned: {files:,}.")

    def flush(self) -> None:
        """Write the latest report now. Never raises."""
        with self._lock:
            self._write()

    def check_cancelled(self) -> None:
        """Raises JobCancelledError when the job must stop: it was cancelled, or has timed out or ended."""
        with self._lock:
            if self._stop_reason is None and self._clock() - self._looked_at >= self._cancel_interval_s:
                self._swallow("check for a cancellation", self._look)
            if self._stop_reason is not None:
                raise JobCancelledError(self._stop_reason)

    def _count(self, scanned: int | None, indexed: int | None, chunks: int | None) -> None:
        counts = self._counts
        counts.files_scanned = max(counts.files_scanned, scanned or 0)
        counts.files_indexed = max(counts.files_indexed, indexed or 0)
        counts.chunks_created = max(counts.chunks_created, chunks or 0)

    def _write(self) -> None:
        self._written_at = self._clock()
        if not self._swallow("record the progress", self._record, warn_at=DROPPED_IN_A_ROW):
            self._written_at -= max(0.0, self._update_interval_s - RETRY_S)
        listener = self._listener
        if listener is not None:
            counts = self._counts
            update = Update(
                self.job_id,
                self.percentage,
                self.message,
                counts.files_scanned,
                counts.files_indexed,
                counts.chunks_created,
            )
            self._swallow("notify the listener", lambda: listener(update))

    def _record(self) -> None:
        t = job_tables.indexing_jobs
        later = sa.case(
            (t.c.progress_percentage > self.percentage, t.c.progress_percentage), else_=self.percentage
        )
        update = (
            t.update()
            .where(t.c.id == self.job_id, sa.text(RUNNING))
            .values(
                progress_percentage=later,
                progress_message=self.message,
                files_scanned=self._counts.files_scanned,
                files_indexed=self._counts.files_indexed,
                chunks_created=self._counts.chunks_created,
                updated_at=time.time(),
            )
        )
        with self._ledger.brief_transaction(PATIENCE_S) as connection:
            connection.execute(update)
            row = self._row(connection)
        self._judge(row)

    def _look(self) -> None:
        self._looked_at = self._clock()
        with self._ledger.reading() as connection:
            row = self._row(connection)
        self._judge(row)

    def _row(self, connection: sa.Connection) -> Any:
        t = job_tables.indexing_jobs
        query = sa.select(t.c.status, t.c.cancel_requested_at).where(t.c.id == self.job_id)
        return connection.execute(query).one_or_none()

    def _judge(self, row: Any) -> None:
        self._looked_at = self._clock()
        if row is None:
            self._stop_reason = "The job no longer exists."
        elif row.status != "running":
            self._stop_reason = f"The job is {row.status}: it was ended from outside."
        elif row.cancel_requested_at is not None:
            self._stop_reason = "The job was cancelled."

    def _swallow(self, what: str, call: Callable[[], None], *, warn_at: int = 1) -> bool:
        try:
            call()
        # Anything: a one-hour job must not die of a listener, or of a ledger that is locked for a moment.
        # Logged once, because it may last, and recurs with every update.
        except Exception as error:  # noqa: BLE001 - progress is never worth failing the job
            self._failures_in_a_row[what] += 1
            if self._failures_in_a_row[what] == warn_at and what not in self._warned:
                self._warned.add(what)
                reason = str(error) if isinstance(error, IngestError) else f"{type(error).__name__}: {error}"
                _log.warning("Job %s continues, but could not %s: %s", self.job_id, what, reason)
            return False
        self._failures_in_a_row[what] = 0
        return True
