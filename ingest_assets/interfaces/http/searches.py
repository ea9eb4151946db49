"""`/search`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.requests import SearchBody, SearchQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.http.workers import SearchRequest


async def search(service: Service, _request: Request, given: SearchBody | SearchQuery) -> Response:
    """The best hits for a query."""
    request = SearchRequest(given.source, given.query, given.mode, given.limit, given.where, given.time_zone)
    return Response(await service.pool.search(request), media_type="application/json")
