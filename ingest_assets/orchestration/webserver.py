"""Dagster's web server as an application, and its daemon as a process.

What belongs here: starting both on the instance that the settings name. What does not: who may use the UI,
and where it listens (`interfaces.ui`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.orchestration.instance import open_instance
from ingest_assets.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

CODE_LOCATION = "ingest_assets.definitions"
EXIT_TIMEOUT_S = 20.0
POLL_MS = 2_000  # how often the UI asks for new data of assets; Dagster's own default


@contextmanager
def web_application(settings: Settings) -> Iterator[ASGIApp]:
    """Dagster's UI and its GraphQL. It trusts every request: never serve it as it is."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    with open_instance(settings) as instance:
        file = _workspace_file(Path(instance.root_directory))
        target = (
            WorkspaceFileTarget(paths=[str(file)])
            if file
            else ModuleTarget(CODE_LOCATION, attribute=None, working_directory=None, location_name=None)
        )
        instance.optimize_for_webserver(
            15_000, 3_600, 20
        )  # ms for a statement, s for a connection; as Dagster
        with WorkspaceProcessContext(
            instance, target, version=__version__, code_server_log_level="warning"
        ) as workspace:
            yield create_app_from_workspace_process_context(workspace, live_data_poll_rate=POLL_MS)


@contextmanager
def daemon(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon, which runs schedules, sensors and queued runs, in a process of its own."""
    with open_instance(settings) as instance:
        home = Path(instance.root_directory)
    file = _workspace_file(home)
    what = ["--workspace", str(file)] if file else ["--module-name", CODE_LOCATION]
    command = [sys.executable, "-m", "dagster._daemon", "run", *what, *_logging(settings)]
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    # Standard output is for results.
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr.fileno())  # noqa: S603 - ours
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _logging(settings: Settings) -> list[str]:
    """What the daemon is told of its log: what was set, else its own defaults."""
    told = []
    if "ingest_log_level" in settings.model_fields_set:
        level = settings.ingest_log_level
        told += ["--log-level", level, "--code-server-log-level", level]
    if settings.ingest_log_format == "json":
        told += ["--log-format", "json"]
    return told


def _workspace_file(home: Path) -> Path | None:
    """What to load, if the operator has said so beside dagster.yaml."""
    found = home / "workspace.yaml"
    return found if found.exists() else None
