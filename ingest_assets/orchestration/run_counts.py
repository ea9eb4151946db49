"""What Dagster's records say of runs, as numbers: the queue, what ended and how, the last run of each stage.

What belongs here: reading the instance, a bounded amount each time. What does not: in which form it is told.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus

from ingest_assets.sources.registry import Sources
from ingest_assets.sources.stages import shared_stages

BOUNDS_S = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
OUTCOMES = ("added", "changed", "removed", "parked")
_Status = dg.DagsterRunStatus
_UNDER_WAY = [_Status.STARTING, _Status.STARTED, _Status.CANCELING]
_ENDED = {_Status.SUCCESS: "success", _Status.FAILURE: "failure", _Status.CANCELED: "canceled"}
# A run may be recorded as ended a little after that of a later one.
_OVERLAP = timedelta(minutes=5)
_PAGE = 500
_MANUAL = "__ASSET_JOB"  # Dagster's name for assets that somebody chose by hand


@dataclass(slots=True)
class RunCounts:
    """Runs that ended since this was made, by job and outcome. Used by one thread at a time."""

    instance: dg.DagsterInstance
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, tuple[list[int], float]] = field(default_factory=dict)  # by job; see BOUNDS_S
    _seen: dict[str, datetime] = field(default_factory=dict)

    def read(self) -> None:
        """Count those that ended meanwhile."""
        cursor = None
        after, newest = self.since - _OVERLAP, self.since
        while True:
            wanted = dg.RunsFilter(statuses=list(_ENDED), updated_after=after)
            page = self.instance.get_run_records(wanted, limit=_PAGE, cursor=cursor)
            for record in page:
                run, at = record.dagster_run, _utc(record.update_timestamp)
                if run.run_id in self._seen or at <= self._began:
                    continue
                self._seen[run.run_id] = at
                newest = max(newest, at)
                self._count(record)
            if len(page) < _PAGE:
                break
            cursor = page[-1].dagster_run.run_id
        self.since = newest
        self._seen = {run: at for run, at in self._seen.items() if at > newest - 2 * _OVERLAP}

    _began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.since

    def _count(self, record: dg.RunRecord) -> None:
        run = record.dagster_run
        job = "assets" if run.job_name == _MANUAL else run.job_name
        self.ended[job, _ENDED[run.status]] += 1
        if record.start_time is not None and record.end_time is not None:
            took = max(0.0, record.end_time - record.start_time)
            counts, total = self.seconds.get(job, ([0] * (len(BOUNDS_S) + 1), 0.0))
            counts[bisect_left(BOUNDS_S, took)] += 1
            self.seconds[job] = counts, total + took


@dataclass(frozen=True, slots=True)
class Queue:
    """Runs that wait, those under way, and for how many seconds the oldest has waited."""

    queued: int
    under_way: int
    age_s: float


def queue_of(instance: dg.DagsterInstance) -> Queue:
    """As it is now."""
    waiting = dg.RunsFilter(statuses=[_Status.QUEUED])
    oldest = instance.get_run_records(waiting, limit=1, ascending=True)
    age_s = time.time() - _utc(oldest[0].create_timestamp).timestamp() if oldest else 0.0
    under_way = instance.get_runs_count(dg.RunsFilter(statuses=_UNDER_WAY))
    return Queue(instance.get_runs_count(waiting), under_way, max(0.0, age_s))


@dataclass(frozen=True, slots=True)
class LastRun:
    """How long the last run of a stage took, and how many items had which outcome."""

    seconds: float
    items: dict[str, int]


def last_runs(instance: dg.DagsterInstance, sources: Sources) -> dict[tuple[str, str], LastRun]:
    """Of every stage that ever ran, by source and stage."""
    found = {}
    for source in sources.values():
        for stage in (*source.stages, *shared_stages(source)):
            event = instance.get_latest_materialization_event(dg.AssetKey([source.name, stage.name]))
            if event is None or event.asset_materialization is None:
                continue
            metadata = event.asset_materialization.metadata
            said: dict[str, Any] = {name: value.value for name, value in metadata.items()}
            if "seconds" in said:
                items = {outcome: int(said.get(outcome, 0)) for outcome in OUTCOMES}
                found[source.name, stage.name] = LastRun(float(said["seconds"]), items)
    return found


def lags(
    instance: dg.DagsterInstance, sources: Sources, refreshed: dict[str, str | None], now: float
) -> dict[str, float]:
    """For how many seconds each source is known to have changed without a refresh that completed since."""
    looked: dict[str, list[float]] = defaultdict(list)
    of_sensor = {source.sensor_name: source.name for source in sources.values()}
    for state in instance.all_instigator_state():
        if (source := of_sensor.get(state.name)) is None or source not in refreshed:
            continue
        at = refreshed[source]
        ticks = instance.get_ticks(
            state.instigator_origin_id,
            state.selector_id,
            after=datetime.fromisoformat(at).timestamp() if at else None,
            statuses=[TickStatus.SUCCESS],  # those that requested a run, because something had changed
            limit=_PAGE,
        )
        looked[source] += [tick.timestamp for tick in ticks]
    return {source: max(0.0, now - min(looked[source], default=now)) for source in refreshed}


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
