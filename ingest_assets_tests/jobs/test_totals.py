"""What `/metrics` says of jobs: sums that outlive them, and cost the same however many ended."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ingest_assets.interfaces.metric_families import job_metrics, text_of
from ingest_assets.jobs import queue, workers
from ingest_assets.jobs.events import iso
from ingest_assets.jobs.progress import JobProgress
from ingest_assets.jobs.totals import BOUNDS_S, JobTotals, job_totals
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets_tests.jobs.conftest import Start
from ingest_assets_tests.support.plans import plan_of, rows_read, statements_of

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
ENDED = 12_000


@both
def test_outcomes_durations_and_chunks_outlive_the_jobs(ledger: Ledger, start: Start) -> None:
    for name, outcome in (("a", "completed"), ("b", "completed"), ("c", "failed")):
        job_id = start(name).job_id
        workers.mark_running(ledger, job_id, "run")
        progress = JobProgress(ledger, job_id, update_interval_s=0)
        progress.report("chunk", 1, 1, chunks_created=7)
        if name == "b":
            _began(ledger, job_id, 45)
        workers.end(ledger, job_id, outcome)  # type: ignore[arg-type]
    queue.cancel(ledger, start("d").job_id)
    running, waiting = start("e").job_id, start("f")
    workers.mark_running(ledger, running, "run")
    JobProgress(ledger, running, update_interval_s=0).report("chunk", 1, 2, chunks_created=4)

    found = job_totals(ledger)["repositories"]
    assert found.ended == {"completed": 2, "failed": 1, "cancelled": 1}
    assert set(found.durations) == {"completed", "failed"}  # a job that never began has no duration
    counts, seconds = found.durations["completed"]
    assert (sum(counts), counts[BOUNDS_S.index(60)]) == (2, 1)
    assert 45 <= seconds < 60
    assert (found.chunks, found.running, found.pending) == (3 * 7 + 4, 1, 1)
    assert found.oldest is not None
    assert iso(found.oldest) == waiting.created_at

    assert workers.forget_old(ledger, 0) == 4
    after = job_totals(ledger)["repositories"]
    assert (after.ended, after.durations, after.chunks) == (found.ended, found.durations, found.chunks)


def _began(ledger: Ledger, job_id: str, seconds_ago: float) -> None:
    t = job_tables.indexing_jobs
    with ledger.transaction() as connection:
        connection.execute(t.update().where(t.c.id == job_id).values(started_at=time.time() - seconds_ago))


@both
def test_a_million_jobs_that_ended_are_not_read(ledger: Ledger, start: Start) -> None:
    t = job_tables.indexing_jobs
    start("a")
    with ledger.transaction() as connection:
        row = dict(connection.execute(sa.select(t)).one()._mapping)
        rows = [
            row | {"id": f"{n:036}", "status": ("completed", "failed")[n % 2], "created_at": float(n)}
            for n in range(ENDED)
        ]
        connection.execute(t.insert(), rows)
    with statements_of(ledger) as statements:
        job_totals(ledger)
    assert len(statements) == 3
    for statement, parameters in statements.items():
        plan = plan_of(ledger, statement, parameters)
        assert rows_read(ledger, statement, parameters) < ENDED // 100, (statement, plan)


@given(st.lists(st.floats(0, 20_000), max_size=30))
def test_the_histogram_is_what_prometheus_takes(seconds: list[float]) -> None:
    counts = [0] * (len(BOUNDS_S) + 1)
    for each in seconds:
        counts[next((n for n, bound in enumerate(BOUNDS_S) if each <= bound), len(BOUNDS_S))] += 1
    totals = JobTotals(ended={"failed": len(seconds)}, durations={"failed": (counts, sum(seconds))})
    text = text_of(list(job_metrics({"papers": totals}, 0))).decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    samples = families["ingest_job_seconds"].samples
    for sample in samples:
        if sample.name.endswith("_bucket"):
            assert sample.value == sum(each <= float(sample.labels["le"]) for each in seconds)
    assert {s.value for s in samples if s.name.endswith("_count")} == {len(seconds)}
    assert families["ingest_job_queue_age_seconds"].samples[0].value == 0
