"""`/metrics` for Prometheus: the server's own metrics, what the index holds, and background jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
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
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.service import Service
from ingest_assets.jobs.totals import BOUNDS_S, JobTotals
from ingest_assets.model import IngestError

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
            bounds = [*map(str, map(float, BOUNDS_S)), "+Inf"]
            cumulative = list(accumulate(counts))
            seconds.add_metric([source, outcome], list(zip(bounds, cumulative, strict=True)), total)
        chunks.add_metric([source], of.chunks)
        running.add_metric([source], of.running)
        pending.add_metric([source], of.pending)
        age.add_metric([source], 0 if of.oldest is None else max(0.0, now - of.oldest))
    yield from (ended, seconds, chunks, running, pending, age)


class _Collector:
    """Metric families that are already computed, as a registry takes them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


async def metrics(service: Service, _request: Request, _given: object) -> Response:
    """All metrics. Those of the index and of jobs are left out while the ledger cannot be read."""
    index = CollectorRegistry()
    readable = GaugeMetricFamily("ingest_ledger_readable", "Whether the ledger could be read.", value=1)
    try:
        held, totals, now = (
            (await service.status.get())["sources"],
            await service.job_totals.get(),
            time.time(),
        )
        families = [readable, *index_metrics(held, now), *job_metrics(totals, now)]
    except IngestError:
        families = [GaugeMetricFamily(readable.name, readable.documentation, value=0)]
    index.register(_Collector(families))
    text = await asyncio.to_thread(lambda: generate_latest(service.metrics.registry) + generate_latest(index))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
