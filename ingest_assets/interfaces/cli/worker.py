"""`ingest worker`: take runs that Dagster sends through Celery."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest_assets.interfaces.cli.options import Json
from ingest_assets.settings import load_settings
from ingest_assets.terminal import print_json, say


def worker(
    concurrency: Annotated[
        int, typer.Option(min=1, max=256, help="How many runs it takes at a time, a process each.")
    ] = 1,
    queue: Annotated[
        str | None, typer.Option(help="The queue to take runs from. By default that of dagster.yaml.")
    ] = None,
    json: Json = False,
) -> None:
    """Take runs that Dagster sends through Celery, until SIGTERM; then those at work still end.

    Any number of workers, on any hosts, that reach the broker, Postgres and Qdrant: see docs/celery.md.
    """
    from ingest_assets.orchestration.celery_runs.worker import run
    from ingest_assets.orchestration.hosts import version

    def ready(taken_from: str) -> None:
        if json:
            print_json({"queue": taken_from, "concurrency": concurrency, "version": version()})
        else:
            say(f"Takes runs from the queue {taken_from}, {concurrency} at a time. Press Ctrl-C to stop.")

    run(load_settings(), concurrency=concurrency, queue=queue, ready=ready)
