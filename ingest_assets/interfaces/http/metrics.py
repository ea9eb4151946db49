"""`/metrics` for Prometheus: the server's own metrics, what the index holds, and background jobs."""

from __future__ import annotations

import asyncio
import time

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.metric_families import (
    index_metrics,
    job_metrics,
    readable,
    text_of,
    timing_metrics,
)
from ingest_assets.model import IngestError
from ingest_assets.timings import TIMINGS


async def metrics(service: Service, _request: Request, _given: object) -> Response:
    """All metrics. Those of the index and of jobs are left out while the ledger cannot be read."""
    families = [*timing_metrics(TIMINGS.counts())]
    try:
        held, totals, now = (
            (await service.status.get())["sources"],
            await service.job_totals.get(),
            time.time(),
        )
        families += [readable(value=True), *index_metrics(held, now), *job_metrics(totals, now)]
    except IngestError:
        families.append(readable(value=False))
    text = await asyncio.to_thread(lambda: generate_latest(service.metrics.registry) + text_of(families))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
