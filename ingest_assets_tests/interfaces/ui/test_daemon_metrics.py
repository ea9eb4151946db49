"""`/metrics` of the daemon: what runs did and wait for, and how far the index is behind its sources."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from prometheus_client.parser import text_string_to_metric_families

from ingest_assets.interfaces.daemon_metrics import DaemonMetrics
from ingest_assets.orchestration.run_counts import lags
from ingest_assets.orchestration.supervision import Watched
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets_tests.orchestration.jobs import run
from ingest_assets_tests.orchestration.runs import add_run
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import built, built_once

__all__ = ["built", "built_once"]
REFRESH = "refresh_search_index"


@pytest.fixture
def instance(built: Home) -> Iterator[dg.DagsterInstance]:
    with built.instance() as made:
        yield made


def values(text: bytes) -> dict[tuple[str, ...], float]:
    """By the metric's name and the values of its labels, sorted by label."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name, *(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def test_runs_are_counted_once_and_only_since_the_daemon_began(
    built: Home, instance: dg.DagsterInstance
) -> None:
    with built.bench() as bench:
        metrics = DaemonMetrics(Watched(instance, bench))
        before = values(metrics.text())
        assert not [key for key in before if key[0].startswith("ingest_runs_ended")]
        built.edit(2, changes=3)
        assert run(built, instance, REFRESH).success
        queued = add_run(instance, REFRESH, dg.DagsterRunStatus.QUEUED, {})
        add_run(instance, REFRESH, dg.DagsterRunStatus.STARTED, {})
        failed = add_run(instance, "build_search_index", dg.DagsterRunStatus.STARTED, {})
        instance.report_run_failed(failed, "told to")
        for _ in range(2):
            found = values(metrics.text())
            assert found["ingest_runs_ended_total", REFRESH, "success"] == 1
            assert found["ingest_runs_ended_total", "build_search_index", "failure"] == 1
            assert found["ingest_run_seconds_count", REFRESH] == 1
    assert (found["ingest_runs", "queued"], found["ingest_runs", "under way"]) == (1, 1)
    assert 0 <= found["ingest_run_queue_age_seconds",] < 60
    assert found["ingest_ledger_readable",] == 1
    if sys.platform == "linux":
        assert found["process_cpu_seconds_total",] > 0
        assert found["process_resident_memory_bytes",] > 1_000_000
    assert found["ingest_points", "crm"] > 0
    record = instance.get_latest_materialization_event(dg.AssetKey(["crm", "collection"]))
    assert record is not None
    assert record.asset_materialization is not None
    said: Any = record.asset_materialization.metadata
    assert found["ingest_stage_seconds", "crm", "collection"] == said["seconds"].value > 0
    assert found["ingest_stage_items", "added", "crm", "collection"] == said["added"].value
    assert queued.run_id
    for stage in CRM.stage_names:
        assert ("ingest_stage_seconds", "crm", stage) in found


def test_without_a_ledger_the_rest_is_told(built: Home, instance: dg.DagsterInstance) -> None:
    nowhere = built.with_settings(ingest_ledger_url="postgresql://nobody@127.0.0.1:9/none")
    with nowhere.bench() as bench:
        found = values(DaemonMetrics(Watched(instance, bench)).text())
    assert found["ingest_ledger_readable",] == 0
    assert found["ingest_runs", "queued"] == 0
    assert not [key for key in found if key[0] in {"ingest_points", "ingest_source_lag_seconds"}]


def test_how_far_the_index_is_behind_a_source(built: Home, instance: dg.DagsterInstance) -> None:
    with built.bench() as bench:
        sources = bench.sources
    now = time.time()
    iso = datetime.fromtimestamp(now - 100, UTC).isoformat()
    assert lags(instance, sources, {"crm": iso}, now) == {"crm": 0}
    for ago, status in ((500, TickStatus.SUCCESS), (90, TickStatus.SKIPPED)):
        _tick(instance, now - ago, status)
    # A change before the refresh, and a look that found none: nothing is behind.
    assert lags(instance, sources, {"crm": iso}, now) == {"crm": 0}
    for ago in (60, 30):
        _tick(instance, now - ago, TickStatus.SUCCESS)
    assert lags(instance, sources, {"crm": iso}, now)["crm"] == pytest.approx(60, abs=1)
    assert lags(instance, sources, {"crm": None}, now)["crm"] == pytest.approx(500, abs=1)


def _tick(instance: dg.DagsterInstance, at: float, status: TickStatus) -> None:
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin

    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("ingest_assets"), "__repository__")
    origin = RemoteInstigatorOrigin(repository, CRM.sensor_name)
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData(min_interval=30)
    )
    if instance.get_instigator_state(state.instigator_origin_id, state.selector_id) is None:
        instance.add_instigator_state(state)
    instance.create_tick(
        TickData(
            state.instigator_origin_id, CRM.sensor_name, InstigatorType.SENSOR, status, at,
            selector_id=state.selector_id, run_ids=[],
        )
    )  # fmt: skip
