"""`ingest serve`: the HTTP service and the search page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest_assets.interfaces.cli import output
from ingest_assets.interfaces.cli.daemon import heartbeat
from ingest_assets.interfaces.cli.job_runner import running_jobs
from ingest_assets.interfaces.cli.options import Json
from ingest_assets.settings import load_settings

if TYPE_CHECKING:
    from ingest_assets.interfaces.tokens import Caller

# How long a thread may hold the interpreter's lock while another one waits. With the default of 5 ms, a
# running search delays the event loop, and thereby every other request.
SWITCH_S = 0.001


def serve(
    json: Json = False,
    run_jobs: Annotated[
        bool, typer.Option("--run-jobs", help="Run background jobs too: for a container that is alone.")
    ] = False,
) -> None:
    """Serve people (search page), programs (HTTP) and agents (MCP) until SIGTERM or Ctrl-C.

    INGEST_HTTP_HOST and INGEST_HTTP_PORT set the address.
    """
    from ingest_assets.interfaces import http
    from ingest_assets.interfaces.http.server import listen
    from ingest_assets.interfaces.listening import url_of
    from ingest_assets.interfaces.mcp import MAX_BODY, WorkbenchPool, mcp_app
    from ingest_assets.interfaces.queued_jobs import QueuedJobs
    from ingest_assets.workbench import Workbench

    settings = load_settings()
    sys.setswitchinterval(SWITCH_S)
    with (
        listen(settings) as listening,
        Workbench(settings) as bench,
        closing(WorkbenchPool(settings)) as pool,
        running_jobs(settings) if run_jobs else nullcontext(),
    ):
        jobs = partial(QueuedJobs.of, bench, "http")
        service = http.Service(settings, jobs, heartbeat=partial(heartbeat, settings))
        agents = mcp_app(pool.borrow, _caller, behind_tokens=bool(service.tokens))
        mounted = http.Mounted(
            "/mcp", agents, None, lifespan=agents.lifespan, refused=agents.refused, max_body=MAX_BODY
        )
        app = http.create_app(service, [mounted])
        http.serve(
            service, app, listening, partial(output.serving, url_of(listening), bool(service.tokens), json)
        )


def _caller(scope: Mapping[str, Any]) -> Caller | None:
    """The caller that the service has let in. Each tool checks the scope that it needs."""
    from ingest_assets.interfaces.http.admission import CALLER

    caller: Caller | None = scope.get(CALLER)
    return caller
