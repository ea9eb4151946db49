"""Whether Dagster's daemon is running. Importing Dagster takes a second, so it happens only when asked."""

from __future__ import annotations

from ingest_assets.settings import Settings


def heartbeat(settings: Settings) -> float | None:
    """Seconds since the daemon's last heartbeat; None if there was none."""
    from ingest_assets.orchestration.instance import seconds_since_heartbeat

    return seconds_since_heartbeat(settings)
