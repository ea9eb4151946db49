"""`ingest serve`: the HTTP door and the search page."""

from __future__ import annotations

import logging
import sys
from functools import partial

from ingest_assets.cli import output
from ingest_assets.cli.options import Json
from ingest_assets.settings import Settings, load_settings

# How long a thread may keep the interpreter while another waits for it: with the default of 5 ms, a search at
# work holds up the event loop and so every other request.
SWITCH_S = 0.001


def serve(json: Json = False) -> None:
    """Answer searches over HTTP, with a page for people, until it is told to end (SIGTERM, Ctrl-C)."""
    from ingest_assets.doors import http
    from ingest_assets.doors.http.server import listen, url_of

    settings = load_settings()
    logging.basicConfig(level=logging.WARNING, format="ingest: %(levelname)s: %(message)s", stream=sys.stderr)
    sys.setswitchinterval(SWITCH_S)
    with listen(settings) as listening:
        door = http.Door(settings, heartbeat=partial(_heartbeat, settings))
        app = http.create_app(door)
        http.serve(door, app, listening, partial(output.serving, url_of(listening), bool(door.tokens), json))


def _heartbeat(settings: Settings) -> float | None:
    # Dagster takes a second to import, and only /ready asks for it.
    from ingest_assets.automation.instance import seconds_since_heartbeat

    return seconds_since_heartbeat(settings)
