"""The Dagster instance that the settings name, for processes that Dagster did not start."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from ingest_assets.certificates import postgres_begins, shown_by
from ingest_assets.model import ConfigurationError, IngestError, UnavailableError
from ingest_assets.orchestration.supervision import heartbeats
from ingest_assets.private import keep_private, make_private_folder
from ingest_assets.redaction import without_secrets
from ingest_assets.settings import DAGSTER_STATE, Settings

_EXCERPT = 300  # characters of what Dagster says of its file
_OPENING_S = 60.0  # that another process may take to open an instance; afterwards it is not waited for


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance at DAGSTER_HOME; else where the nearest dagster.yaml is; else below INGEST_HOME."""
    home = settings.dagster_folder
    if not home.exists():
        make_private_folder(home)
    elif settings.dagster_home is None:
        # Another place was chosen by somebody who may share it, and keeps the modes that it has.
        for folder in DAGSTER_STATE:
            keep_private(home / folder)
    with _instance_at(home) as instance:
        yield instance


@contextmanager
def _instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    """Raises ConfigurationError if dagster.yaml cannot be used, UnavailableError if its records cannot."""
    file = home / "dagster.yaml"
    with ExitStack() as stack:
        try:
            with _alone(home):
                if not file.exists():
                    # Without a file Dagster would send telemetry.
                    file.write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
                instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
                instance.run_launcher  # noqa: B018 - made when it is first asked for
        except Exception as error:  # noqa: BLE001 - see `_explained`
            raise _explained(file, error) from without_secrets(error)
        yield instance


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Open an instance while no other process of ours on this host does.

    Dagster makes its tables and notes their version in several steps. Two that mix them note two versions,
    and then nobody can open the instance any more.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(home / ".opening.lock", mode=0o600)
    with suppress(Timeout):  # one that waits for a server: its tables are older than that
        lock.acquire(timeout=_OPENING_S)
    try:
        yield
    finally:
        lock.release()


def _explained(file: Path, error: Exception) -> IngestError:
    """What Dagster raises when it reads its file, and connects: of many kinds, and some fill a screen."""
    said = "\n".join(map(str, _causes(error)))
    if unset := re.search(r'environment variable "(\w+)" which is not set', said):
        return ConfigurationError(f"{file} needs {unset[1]}, which is not set.")
    if isinstance(error, sa.exc.OperationalError) or type(error).__name__ == "DagsterPostgresException":
        driver = [line for line in said.splitlines() if "OperationalError) " in line]
        reason = driver[0].partition("OperationalError) ")[2] if driver else type(error).__name__
        reason = _certificate_days(reason) or reason
        return UnavailableError(
            f"Dagster's records, in what {file} names under storage, cannot be used: {reason.rstrip('.')}. "
            "Nothing was changed."
        )
    lines = [line for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if re.match(r"\s*Error \d+:", line)), " ".join(lines))
    told = " ".join(told.removeprefix("Failure condition: ").split())[:_EXCERPT]
    return ConfigurationError(f"{file} cannot be used: {told}")


def _certificate_days(reason: str) -> str:
    """What the day says of the certificate of Dagster's Postgres; libpq says only that it is refused."""
    server = re.search(r'connection to server at "([^"]+)".*?, port (\d+) failed', reason)
    if server is None or "certificate" not in reason:
        return ""
    return shown_by(server[1], int(server[2]), postgres_begins)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def seconds_since_heartbeat(settings: Settings) -> float | None:
    """Since the last heartbeat of the daemon, which runs schedules, sensors and queued runs.

    None if there never was one. Changes nothing.
    """
    home = settings.dagster_folder
    if not (home / "dagster.yaml").exists():
        return None
    with _instance_at(home) as instance:
        beats = heartbeats(instance)
    return max(0.0, time.time() - max(beats)) if beats else None
