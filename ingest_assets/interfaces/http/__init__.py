"""The HTTP service: search, status, jobs and their events, metrics, and the search page.

- `app`: the table of routes, and the application made from it
- `service`: the state of a running server; `server`: the process that listens
- `front`, `admission`, `operations`: what every request goes through before a handler gets it
- `health`, `searches`, `jobs`, `events`, `metrics`, `page`: the handlers
- `declared`: the operations that sources declare
- `readiness`, `search_pool`, `bounded_pool`, `workers`, `shared_result`, `request_metrics`: what the service
  is made of
- `requests`, `answers`, `problems`: what a request may contain, and what is sent back
- `openapi`: the OpenAPI document, made from the table of routes

It uses Starlette's routing, requests and responses rather than FastAPI: `operations` would have to replace
FastAPI's validation and error handling, and its OpenAPI document would not include our errors.

What belongs here: what goes over the wire. What does not: the work itself, which `queries` and `jobs` do.
"""

from ingest_assets.interfaces.http.app import create_app
from ingest_assets.interfaces.http.server import serve
from ingest_assets.interfaces.http.service import Mounted, Service

__all__ = ["Mounted", "Service", "create_app", "serve"]
