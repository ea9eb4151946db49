"""`ingest serve`: the HTTP door and the search page."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from ingest_assets.cli import output
from ingest_assets.cli.options import Json
from ingest_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from ingest_assets.doors.mcp import Caller

# How long a thread may keep the interpreter while another waits for it: with the default of 5 ms, a search at
# work holds up the event loop and so every other request.
SWITCH_S = 0.001


def serve(json: Json = False) -> None:
    """Answer people, programs and agents over HTTP until it is told to end (SIGTERM, Ctrl-C)."""
    from ingest_assets.doors import http
    from ingest_assets.doors.http.server import listen, url_of
    from ingest_assets.doors.mcp import MAX_BODY, Benches, mcp_app
    from ingest_assets.doors.queued_jobs import QueuedJobs
    from ingest_assets.workbench import Workbench

    settings = load_settings()
    logging.basicConfig(level=logging.WARNING, format="ingest: %(levelname)s: %(message)s", stream=sys.stderr)
    sys.setswitchinterval(SWITCH_S)
    with listen(settings) as listening, Workbench(settings) as bench, closing(Benches(settings)) as benches:
        door = http.Door(settings, QueuedJobs(bench), heartbeat=partial(_heartbeat, settings))
        agents = mcp_app(benches.lend, _caller, behind_tokens=bool(door.tokens))
        mounted = http.Mounted(
            "/mcp", agents, lifespan=agents.lifespan, refused=agents.refused, max_body=MAX_BODY
        )
        app = http.create_app(door, [mounted])
        http.serve(door, app, listening, partial(output.serving, url_of(listening), bool(door.tokens), json))


def _caller(scope: Mapping[str, Any]) -> Caller | None:
    """Whom the door has let in, for the agents' tools: each looks at the scopes that it needs."""
    from ingest_assets.doors.http.admission import CALLER
    from ingest_assets.doors.mcp import Caller

    let_in = scope.get(CALLER)
    return None if let_in is None else Caller(let_in.name, let_in.scopes)


def _heartbeat(settings: Settings) -> float | None:
    # Dagster takes a second to import, and only /ready asks for it.
    from ingest_assets.automation.instance import seconds_since_heartbeat

    return seconds_since_heartbeat(settings)
