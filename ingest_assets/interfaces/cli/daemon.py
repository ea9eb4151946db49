"""`ingest daemon`, and whether Dagster's daemon is running.

Importing Dagster takes a second: it happens only when asked.
"""

from __future__ import annotations

from ingest_assets.interfaces.cli import output
from ingest_assets.interfaces.cli.options import Json
from ingest_assets.settings import Settings, load_settings


def heartbeat(settings: Settings) -> float | None:
    """Seconds since the daemon's last heartbeat; None if there was none."""
    from ingest_assets.orchestration.instance import seconds_since_heartbeat

    return seconds_since_heartbeat(settings)


def daemon(json: Json = False) -> None:
    """Run Dagster's daemon, which starts refreshes and background jobs, until SIGTERM or Ctrl-C.

    GET /health answers 200 while it works, with the last refresh of each source and why schedules skipped.
    INGEST_DAEMON_HOST and INGEST_DAEMON_PORT set the address.
    """
    from ingest_assets.interfaces import daemon_health
    from ingest_assets.interfaces.listening import url_of

    settings = load_settings()
    with daemon_health.listen(settings) as listening:
        daemon_health.run(
            settings, listening, lambda: output.running_daemon(f"{url_of(listening)}/health", json)
        )
