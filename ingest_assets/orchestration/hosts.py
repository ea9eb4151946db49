"""Runs that may be on several machines: what these have to share, and that they are of one version.

What belongs here: telling from the instance whether runs leave this machine, and refusing what would then
write two halves of an index. What does not: a particular launcher (`celery_runs`).
"""

from __future__ import annotations

import time

import dagster as dg
import sqlalchemy as sa

from ingest_assets import __version__
from ingest_assets.build_id import build_id
from ingest_assets.ledger import Ledger
from ingest_assets.ledger.store import HEAD
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.settings import Settings

VERSION_TAG = "ingest/version"  # on the runs of our jobs: what their starter was
# Dagster and the ledger compare times that different machines wrote.
CLOCK_TOLERANCE_S = 30.0
# Launchers that start a run on the machine that asked for it. Every other one is taken to leave it.
_ON_ONE_HOST = {"DefaultRunLauncher", "SyncInMemoryRunLauncher", "DockerRunLauncher"}


def version() -> str:
    """What has to be the same on all hosts: two builds of one version differ, too."""
    return f"{__version__}, build {build_id()} (ledger {HEAD})"


def on_several_hosts(instance: dg.DagsterInstance) -> bool:
    """Whether the instance may start runs on other machines than its own."""
    return not _ON_ONE_HOST & {kind.__name__ for kind in type(instance.run_launcher).__mro__}


def require_shared_state(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Raises ConfigurationError if runs on several hosts would keep state that only one of them has."""
    if not on_several_hosts(instance):
        return
    launcher = type(instance.run_launcher).__name__
    if settings.qdrant_url is None:
        raise ConfigurationError(
            f"Runs may be on several hosts ({launcher} in dagster.yaml), and the engine in this process "
            "keeps its collections in files of one: name a Qdrant server that all of them reach in "
            "QDRANT_URL."
        )
    if settings.ledger_url.startswith("sqlite"):
        raise ConfigurationError(
            f"Runs may be on several hosts ({launcher} in dagster.yaml), and an SQLite ledger is a file of "
            "one: name a Postgres that all of them reach in INGEST_LEDGER_URL."
        )
    if "sqlite" in type(instance.run_storage).__name__.lower():
        raise ConfigurationError(
            f"Runs may be on several hosts ({launcher} in dagster.yaml), and Dagster's own records are files "
            "of one: set storage to a Postgres that all of them reach in dagster.yaml."
        )


def require_same_version(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Raises ConfigurationError if the run was started by another version than that of this process."""
    started_by = run.tags.get(VERSION_TAG, version())
    if started_by != version() and on_several_hosts(instance):
        raise ConfigurationError(
            f"This run was started by version {started_by}, and this worker is version {version()}: bring "
            "daemon and workers to one version. Nothing was changed."
        )


def require_right_clock(ledger: Ledger) -> None:
    """Raises UnavailableError if this machine's clock differs from that of a ledger's server."""
    if ledger.is_sqlite:
        return
    with ledger.reading() as connection:
        before = time.time()
        there = float(connection.scalar(sa.text("select extract(epoch from clock_timestamp())")) or 0)
        off = (before + time.time()) / 2 - there
    if abs(off) > CLOCK_TOLERANCE_S:
        side = "ahead of" if off > 0 else "behind"
        raise UnavailableError(
            f"The clock of this machine is {abs(off):,.0f} s {side} that of the ledger's server, "
            f"and {CLOCK_TOLERANCE_S:g} s are tolerated: have the time set (NTP) on both."
        )
