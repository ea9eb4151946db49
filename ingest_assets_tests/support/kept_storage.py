"""Dagster's storage and migrations, without the work that they repeat.

Dagster makes an SQLAlchemy engine for each event that it stores, so that every statement is compiled anew,
and loads all of its migrations for each run: half of the time of a small refresh. Here engines are kept by
URL, and migrations by folder, as long as the test process lives. Files, connections (each is opened for one
use, as before) and statements are the same.

For each step it also starts four processes that copy the step's log to this process's output, where nobody
reads it: the log itself is a file, as before.

What belongs here: keeping what is the same each time. What does not: replacing any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest


def keep_storage(patch: pytest.MonkeyPatch) -> None:
    """Keep engines and migrations, in this process, and copy no logs."""
    from alembic.script import ScriptDirectory
    from dagster._core.execution import compute_logs
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        patch.setattr(module, "create_engine", _kept_by_arguments(module.create_engine))
    patch.setattr(ScriptDirectory, "from_config", _kept_by_folder(ScriptDirectory.from_config))
    patch.setattr(compute_logs, "tail_to_stream", lambda _file, _stream: nullcontext())


def _kept_by_arguments(create: Callable[..., Any]) -> Callable[..., Any]:
    engines: dict[str, Any] = {}

    def engine(url: str, **options: Any) -> Any:
        key = f"{url} {options}"
        if key not in engines:
            engines[key] = create(url, **options)
        return engines[key]

    return engine


def _kept_by_folder(load: Callable[..., Any]) -> Callable[..., Any]:
    scripts: dict[str | None, Any] = {}

    def from_config(config: Any) -> Any:
        folder = config.get_main_option("script_location")
        if folder not in scripts:
            scripts[folder] = load(config)
        return scripts[folder]

    return from_config
