"""`ingest ui`: the Dagster UI, guarded."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ingest_assets.interfaces.cli import output
from ingest_assets.interfaces.cli.options import Json
from ingest_assets.settings import load_settings


def ui(
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Also run Dagster's daemon: schedules, sensors, background jobs.")
    ] = False,
    json: Json = False,
) -> None:
    """Serve the Dagster UI until SIGTERM or Ctrl-C, to this machine, or to people who have a token.

    INGEST_UI_HOST and INGEST_UI_PORT set the address, INGEST_UI_TOKENS who may log in. Use it instead of
    dagster-webserver and dagster dev, which trust every request that reaches them.
    """
    from ingest_assets.interfaces.listening import url_of
    from ingest_assets.interfaces.ui.server import listen, serve, serve_with_daemon

    settings = load_settings()
    with listen(settings) as listening:
        has_tokens = settings.ingest_ui_tokens is not None
        ready = partial(output.serving, url_of(listening), has_tokens, json)
        (serve_with_daemon if daemon else serve)(settings, listening, ready)
