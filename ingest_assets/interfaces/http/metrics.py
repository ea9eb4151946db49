"""`/metrics` for Prometheus: the server's own metrics, and what the index holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.service import Service
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


class _Collector:
    """Metric families that are already computed, as a registry takes them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


async def metrics(service: Service, _request: Request, _given: object) -> Response:
    """All metrics. Those of the index are left out while the ledger cannot be read."""
    index = CollectorRegistry()
    readable = GaugeMetricFamily("ingest_ledger_readable", "Whether the ledger could be read.", value=1)
    try:
        families = [readable, *index_metrics((await service.status.get())["sources"], time.time())]
    except IngestError:
        families = [GaugeMetricFamily(readable.name, readable.documentation, value=0)]
    index.register(_Collector(families))
    text = await asyncio.to_thread(lambda: generate_latest(service.metrics.registry) + generate_latest(index))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
