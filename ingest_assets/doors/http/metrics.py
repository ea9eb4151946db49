"""Figures for Prometheus: what was asked, how long it took, and what the index holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.model import IngestError

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
COUNTS = {
    "documents": "Documents that are recorded.",
    "chunks": "Chunks that are recorded.",
    "points": "Points that the store has acknowledged, in the live generation.",
    "parked": "Items that were refused and wait for a change.",
}


class Metrics:
    """Of one server, in a registry of its own, so that several can be in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ingest_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ingest_http_seconds",
            "Seconds until an answer began.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request. Routes are patterns, not paths: there are few of them."""
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, door: Door) -> None:
        """Also show how busy a server is."""
        for name, text, value in (
            ("ingest_searches_taken", "Searches that run or wait.", lambda: door.pool.taken),
            ("ingest_event_streams", "Event streams that are open.", lambda: door.streams),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)


def index_metrics(sources: dict[str, dict[str, Any]], now: float) -> Iterator[Metric]:
    """Gauges of the status, a sample a source."""
    for name, text in COUNTS.items():
        family = GaugeMetricFamily(f"ingest_{name}", text, labels=["source"])
        for source, held in sources.items():
            family.add_metric([source], held[name])
        yield family
    text = "Seconds since the collection was last brought up to date; absent before the first time."
    family = GaugeMetricFamily("ingest_seconds_since_last_success", text, labels=["source"])
    for source, held in sources.items():
        if held["last_success"]:
            family.add_metric([source], now - datetime.fromisoformat(held["last_success"]).timestamp())
    yield family


class _Index:
    """What `index_metrics` gives, as a registry takes it."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


async def metrics(door: Door, _request: Request, _given: object) -> Response:
    """All figures. Those of the index are left out while the ledger does not answer."""
    index = CollectorRegistry()
    readable = GaugeMetricFamily("ingest_ledger_readable", "Whether the ledger answered just now.", value=1)
    try:
        families = [readable, *index_metrics((await door.status.get())["sources"], time.time())]
    except IngestError:
        families = [GaugeMetricFamily(readable.name, readable.documentation, value=0)]
    index.register(_Index(families))
    text = await asyncio.to_thread(lambda: generate_latest(door.metrics.registry) + generate_latest(index))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
