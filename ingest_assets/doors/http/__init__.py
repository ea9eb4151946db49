"""HTTP: searching, status, jobs and their events, metrics, and a page for people.

What belongs here: what arrives and leaves on the wire. `admission` is who is let in, `operations` what every
route goes through besides (what it may say, for how long), `front` what every request does, `app` the table
of routes, of which the OpenAPI document is made too. What does not: what is done; that is the library's.

Starlette's routing, requests and responses; not FastAPI, whose injection of dependencies would hide the four
things that `operations` does, and whose document would still not know of our errors.
"""

from ingest_assets.doors.http.app import Door, Mounted, create_app
from ingest_assets.doors.http.server import serve

__all__ = ["Door", "Mounted", "create_app", "serve"]
