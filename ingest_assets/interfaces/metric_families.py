"""Metrics for Prometheus that several servers tell: of the index, of background jobs, of models and engines.

What belongs here: families made of what was read already. What does not: reading it, and who may ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest

from ingest_assets import timings
from ingest_assets.jobs.totals import BOUNDS_S, JobTotals

COUNTS = {
    "documents": "Documents recorded.",
    "chunks": "Chunks recorded.",
    "points": "Points of the live generation that the store has acknowledged.",
    "parked": "Parked items (dead letters): refused, and retried when they change.",
}


def index_metrics(sources: dict[str, dict[str, Any]], now: float) -> Iterator[Metric]:
    """Gauges of the index's status, one sample per source."""
    for name, text in COUNTS.items():
        family = GaugeMetricFamily(f"ingest_{name}", text, labels=["source"])
        for source, held in sources.items():
            family.add_metric([source], held[name])
        yield family
    text = "Seconds since the last successful run of the collection; absent before the first one."
    family = GaugeMetricFamily("ingest_seconds_since_last_success", text, labels=["source"])
    for source, held in sources.items():
        if held["last_success"]:
            family.add_metric([source], now - datetime.fromisoformat(held["last_success"]).timestamp())
    yield family


def job_metrics(totals: Mapping[str, JobTotals], now: float) -> Iterator[Metric]:
    """Counters of the jobs that ended, and gauges of those that have not, by source."""
    ended = CounterMetricFamily("ingest_jobs", "Background jobs that ended.", labels=["source", "outcome"])
    seconds = HistogramMetricFamily(
        "ingest_job_seconds",
        "Seconds from when a worker took a job to its end, waiting for other runs included.",
        labels=["source", "outcome"],
    )
    chunks = CounterMetricFamily(
        "ingest_job_chunks", "Chunks of the targets of jobs, as they are made.", labels=["source"]
    )
    running = GaugeMetricFamily("ingest_jobs_running", "Background jobs that run.", labels=["source"])
    pending = GaugeMetricFamily("ingest_jobs_pending", "Background jobs that wait.", labels=["source"])
    age = GaugeMetricFamily(
        "ingest_job_queue_age_seconds",
        "For how long the oldest pending job has waited; 0 if none does.",
        labels=["source"],
    )
    for source, of in totals.items():
        for outcome, count in of.ended.items():
            ended.add_metric([source, outcome], count)
        for outcome, (counts, total) in of.durations.items():
            seconds.add_metric([source, outcome], buckets(BOUNDS_S, counts), total)
        chunks.add_metric([source], of.chunks)
        running.add_metric([source], of.running)
        pending.add_metric([source], of.pending)
        age.add_metric([source], 0 if of.oldest is None else max(0.0, now - of.oldest))
    yield from (ended, seconds, chunks, running, pending, age)


def timing_metrics(counts: timings.Counts) -> Iterator[Metric]:
    """Histograms of how long models and engines took to answer this server."""
    seconds = HistogramMetricFamily(
        "ingest_operation_seconds",
        "Seconds of one request to a model, one search in the engine, one batch written to it.",
        labels=["operation"],
    )
    for operation, (each, total) in counts.items():
        seconds.add_metric([operation], buckets(timings.BOUNDS_S, each), total)
    yield seconds


def buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts between bounds, as a histogram has them."""
    return list(zip([*map(str, map(float, bounds)), "+Inf"], accumulate(counts), strict=True))


def readable(*, value: bool) -> Metric:
    """Whether what follows could be read."""
    text = "Whether the ledger could be read."
    return GaugeMetricFamily("ingest_ledger_readable", text, value=float(value))


def text_of(families: list[Metric]) -> bytes:
    """As a scrape has them."""
    registry = CollectorRegistry()
    registry.register(_Collector(families))
    return generate_latest(registry)


class _Collector:
    """Metric families that are already computed, as a registry takes them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
