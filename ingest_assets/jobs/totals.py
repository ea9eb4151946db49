"""Sums over all jobs that there ever were, for `/metrics`: outcomes, durations, chunks; and what is going on.

A job that ends is added in the transaction that ends it. Jobs are forgotten after a while, the sums are not,
so they only grow, as counters must.

What belongs here: adding up, and reading the sums. What does not: how they are shown (`/metrics`).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ingest_assets.jobs.rows import PENDING, RUNNING
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.ledger.store import add_up

# Upper bounds of the durations that are told apart, in seconds; a bucket's number is the index of its bound,
# and that of longer jobs comes after the last. Rows hold the numbers: other bounds need a migration.
BOUNDS_S = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 10_800)
NEVER_BEGAN = -1  # the bucket of jobs that ended before they began: they have no duration


@dataclass(slots=True)
class JobTotals:
    """The jobs of one source."""

    ended: dict[str, int] = field(default_factory=dict)  # how many, by outcome
    # By outcome: how many took up to each of `BOUNDS_S`, and how many took longer; and the seconds of all.
    durations: dict[str, tuple[list[int], float]] = field(default_factory=dict)
    chunks: int = 0  # of jobs that have ended and of those that run
    running: int = 0
    pending: int = 0
    oldest: float | None = None  # when the oldest pending job was started, in seconds since 1970


def add_ended(connection: sa.Connection, row: Any) -> None:
    """Add a job that has just ended: its row, as it now is."""
    began = row.started_at is not None
    seconds = max(0.0, row.completed_at - row.started_at) if began else 0.0
    key = {
        "source": row.source,
        "outcome": row.status,
        "bucket": bisect_left(BOUNDS_S, seconds) if began else NEVER_BEGAN,
    }
    more = {"jobs": 1, "seconds": seconds, "chunks": row.chunks_created}
    add_up(connection, job_tables.indexing_job_total, key, more)


def job_totals(ledger: Ledger) -> dict[str, JobTotals]:
    """By source, of the sources that ever had a job. Reads the sums, and the jobs that have not ended."""
    t, total = job_tables.indexing_jobs, job_tables.indexing_job_total
    found: dict[str, JobTotals] = {}
    with ledger.reading() as connection:
        for row in connection.execute(sa.select(total)):
            of = found.setdefault(row.source, JobTotals())
            of.ended[row.outcome] = of.ended.get(row.outcome, 0) + row.jobs
            of.chunks += row.chunks
            if row.bucket != NEVER_BEGAN:
                counts, seconds = of.durations.get(row.outcome, ([0] * (len(BOUNDS_S) + 1), 0.0))
                counts[row.bucket] += row.jobs
                of.durations[row.outcome] = (counts, seconds + row.seconds)
        running = sa.select(t.c.source, sa.func.count(), sa.func.sum(t.c.chunks_created))
        for source, count, chunks in connection.execute(running.where(sa.text(RUNNING)).group_by(t.c.source)):
            of = found.setdefault(source, JobTotals())
            of.running, of.chunks = count, of.chunks + chunks
        pending = sa.select(t.c.source, sa.func.count(), sa.func.min(t.c.created_at))
        for source, count, oldest in connection.execute(pending.where(sa.text(PENDING)).group_by(t.c.source)):
            of = found.setdefault(source, JobTotals())
            of.pending, of.oldest = count, oldest
    return found
