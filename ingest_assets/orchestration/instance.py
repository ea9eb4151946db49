"""The Dagster instance that the settings name, for processes that Dagster did not start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from ingest_assets.orchestration.supervision import heartbeats
from ingest_assets.private import keep_private, make_private_folder
from ingest_assets.settings import Settings

_STATE = (
    "history",
    "schedules",
    "storage",
    "logs",
    ".logs_queue",
    ".nux",
    ".telemetry",
)  # that Dagster writes


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance at DAGSTER_HOME; else where the nearest dagster.yaml is; else below INGEST_HOME."""
    home = _home(settings)
    if not home.exists():
        make_private_folder(home)
    elif settings.dagster_home is None:
        # Another place was chosen by somebody who may share it, and keeps the modes that it has.
        for folder in _STATE:
            keep_private(home / folder)
    if not (home / "dagster.yaml").exists():
        # Without a file Dagster would send telemetry.
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def seconds_since_heartbeat(settings: Settings) -> float | None:
    """Since the last heartbeat of the daemon, which runs schedules, sensors and queued runs.

    None if there never was one. Changes nothing.
    """
    home = _home(settings)
    if not (home / "dagster.yaml").exists():
        return None
    with dg.DagsterInstance.from_config(str(home)) as instance:
        beats = heartbeats(instance)
    return max(0.0, time.time() - max(beats)) if beats else None


def _home(settings: Settings) -> Path:
    return settings.dagster_home or _nearest(Path.cwd()) or settings.ingest_home.absolute() / "dagster"


def _nearest(start: Path) -> Path | None:
    return next((folder for folder in (start, *start.parents) if (folder / "dagster.yaml").exists()), None)
