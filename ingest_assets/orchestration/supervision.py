"""How Dagster's daemon does: its heartbeats, and how each schedule and sensor ended its latest tick.

What belongs here: reading that from the instance. What does not: who is told (`interfaces.daemon_health`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg

from ingest_assets.model import IngestError, when
from ingest_assets.queries.doctor import DAEMON_SILENT_S
from ingest_assets.queries.status import last_refreshes
from ingest_assets.redaction import redact
from ingest_assets.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Tick:
    """The latest look of a schedule or a sensor: `started`, `skipped`, `success` or `failure`.

    `at` is in UTC, as ISO 8601. `reason` says why it skipped or failed, and is empty otherwise.
    """

    at: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Health:
    """`starting` until the daemon has sent its first heartbeats, then `ok`, or `silent` when one is late.

    `seconds_since_heartbeat` is of the part of the daemon that has been silent longest; None before the
    first. `refreshed`: when the collection of each source last completed (UTC), None if it never did.
    `problem`: why that is not known.
    """

    status: Literal["starting", "ok", "silent"]
    seconds_since_heartbeat: float | None
    refreshed: dict[str, str | None]
    ticks: dict[str, Tick]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A daemon that is started now, on this instance."""

    instance: dg.DagsterInstance
    bench: Workbench
    started: float = field(default_factory=time.time)  # seconds since 1970

    def health(self) -> Health:
        """As it is now."""
        now = time.time()
        # The scheduler, the sensors and the queue beat each for themselves, and each can hang. Heartbeats of
        # an earlier process prove nothing.
        beats = [beat for beat in heartbeats(self.instance) if beat >= self.started]
        silent = now - min(beats, default=self.started)
        status: Literal["starting", "ok", "silent"] = "ok" if beats else "starting"
        refreshed, problem = self._refreshed()
        return Health(
            "silent" if silent > DAEMON_SILENT_S else status,
            max(0.0, round(silent, 1)) if beats else None,
            refreshed,
            latest_ticks(self.instance),
            problem,
        )

    def _refreshed(self) -> tuple[dict[str, str | None], str | None]:
        try:
            return last_refreshes(self.bench), None
        except IngestError as error:  # the daemon works all the same
            return {}, str(error)


def heartbeats(instance: dg.DagsterInstance) -> list[float]:
    """The last heartbeat of each part of the daemon, in seconds since 1970."""
    return [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]


def latest_ticks(instance: dg.DagsterInstance) -> dict[str, Tick]:
    """The latest tick of each schedule and sensor that ever ticked, by name."""
    found = {}
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if ticks:
            reason = ticks[0].skip_reason or (ticks[0].error.message if ticks[0].error else "")
            outcome = ticks[0].status.value.lower()
            found[state.name] = Tick(when(ticks[0].timestamp), outcome, redact(reason.strip()))
    return dict(sorted(found.items()))
