"""`/search`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.requests import SearchBody, SearchQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.http.workers import SearchRequest
from ingest_assets.tracing import context_to_send


async def search(service: Service, request: Request, given: SearchBody | SearchQuery) -> Response:
    """The best hits for a query."""
    wanted = SearchRequest(
        given.source,
        given.query,
        given.mode,
        given.limit,
        given.where,
        given.time_zone,
        reach=request.scope[CALLER].reach,
        trace=context_to_send(),
    )
    return Response(await service.pool.search(wanted), media_type="application/json")
