"""`/metrics` of the daemon: the queue of runs, how they ended, how far the index is behind each source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ingest_assets.interfaces.metric_families import (
    buckets,
    index_metrics,
    job_metrics,
    readable,
    text_of,
    timing_metrics,
)
from ingest_assets.jobs.totals import job_totals
from ingest_assets.model import IngestError
from ingest_assets.orchestration.run_counts import (
    BOUNDS_S,
    LastRun,
    Queue,
    RunCounts,
    lags,
    last_runs,
    queue_of,
)
from ingest_assets.orchestration.supervision import Health, Watched
from ingest_assets.queries.status import last_refreshes, status
from ingest_assets.timings import TIMINGS


@dataclass(slots=True)
class DaemonMetrics:
    """The metrics of one daemon. Its counters begin when it does."""

    watched: Watched
    counts: RunCounts = field(init=False)
    process: ProcessCollector = field(init=False)  # CPU, memory and open files of the daemon's own process

    def __post_init__(self) -> None:
        self.counts = RunCounts(self.watched.instance)
        self.process = ProcessCollector(registry=CollectorRegistry())

    def text(self) -> bytes:
        """All of them. Those of the index and of jobs are left out while the ledger cannot be read."""
        instance, bench, now = self.watched.instance, self.watched.bench, time.time()
        self.counts.read()
        families: list[Metric] = [
            *_daemon(self.watched.health()),
            *_queue(queue_of(instance)),
            *_ended(self.counts),
            *_stages(last_runs(instance, bench.sources)),
            *timing_metrics(TIMINGS.counts()),
            *self.process.collect(),
        ]
        try:
            held = status(bench)["sources"]
            behind = lags(instance, bench.sources, last_refreshes(bench), now)
            totals = job_totals(bench.ledger)
            families += [
                readable(value=True),
                *index_metrics(held, now),
                *job_metrics(totals, now),
                *_lag(behind),
            ]
        except IngestError:
            families.append(readable(value=False))
        return text_of(families)


def _daemon(health: Health) -> Iterator[Metric]:
    works = GaugeMetricFamily(
        "ingest_daemon_works", "Whether the daemon's heartbeats come.", value=float(health.status == "ok")
    )
    text = "Seconds since the last heartbeat of the part of the daemon that has been silent longest."
    yield works
    if health.seconds_since_heartbeat is not None:
        yield GaugeMetricFamily(
            "ingest_daemon_heartbeat_age_seconds", text, value=health.seconds_since_heartbeat
        )
    ticks = GaugeMetricFamily(
        "ingest_tick_failed", "Whether the latest tick of a schedule or sensor failed.", labels=["name"]
    )
    for name, tick in health.ticks.items():
        ticks.add_metric([name], float(tick.outcome == "failure"))
    yield ticks


def _queue(queue: Queue) -> Iterator[Metric]:
    runs = GaugeMetricFamily("ingest_runs", "Runs that have not ended, by state.", labels=["state"])
    runs.add_metric(["queued"], queue.queued)
    runs.add_metric(["under way"], queue.under_way)
    yield runs
    text = "For how long the oldest queued run has waited; 0 if none does."
    yield GaugeMetricFamily("ingest_run_queue_age_seconds", text, value=queue.age_s)


def _ended(counts: RunCounts) -> Iterator[Metric]:
    ended = CounterMetricFamily("ingest_runs_ended", "Runs that ended.", labels=["job", "outcome"])
    for (job, outcome), count in counts.ended.items():
        ended.add_metric([job, outcome], count)
    yield ended
    seconds = HistogramMetricFamily("ingest_run_seconds", "Seconds that runs took.", labels=["job"])
    for job, (each, total) in counts.seconds.items():
        seconds.add_metric([job], buckets(BOUNDS_S, each), total)
    yield seconds


def _stages(found: dict[tuple[str, str], LastRun]) -> Iterator[Metric]:
    seconds = GaugeMetricFamily(
        "ingest_stage_seconds", "Seconds that the last run of a stage took.", labels=["source", "stage"]
    )
    items = GaugeMetricFamily(
        "ingest_stage_items",
        "Items of the last run of a stage, by outcome.",
        labels=["source", "stage", "outcome"],
    )
    for (source, stage), last in found.items():
        seconds.add_metric([source, stage], last.seconds)
        for outcome, count in last.items.items():
            items.add_metric([source, stage, outcome], count)
    yield from (seconds, items)


def _lag(behind: dict[str, float]) -> Iterator[Metric]:
    text = "For how long a source is known to have changed without a refresh that completed since; 0 if not."
    lag = GaugeMetricFamily("ingest_source_lag_seconds", text, labels=["source"])
    for source, seconds in behind.items():
        lag.add_metric([source], seconds)
    yield lag
