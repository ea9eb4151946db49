"""Runs on two workers of Celery, which are killed and cut off: the index is the one that one box makes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ingest_assets_tests.celery_soak import assert_as_on, box_beside, killed_at_random
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, serving
from ingest_assets_tests.orchestration.test_kills import Gate
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.celery_cluster import Cluster, cluster

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
REFRESH, BUILD = "refresh_search_index", "build_search_index"


@pytest.fixture
def gate() -> Iterator[Gate]:
    with serving() as endpoint:
        gate = Gate(endpoint)
        gate.open()
        yield gate
        gate.open()


@pytest.fixture
def hosts(tmp_path: Path, postgres: str, gate: Gate) -> Iterator[Cluster]:
    with cluster(
        tmp_path, postgres, spark_control_url=gate.endpoint.url, ingest_dense_dimension=DIMENSION
    ) as made:
        yield made


@pytest.fixture
def box(tmp_path: Path, hosts: Cluster, gate: Gate) -> Home:
    return box_beside(
        hosts, tmp_path / "box", spark_control_url=gate.endpoint.url, ingest_dense_dimension=DIMENSION
    )


@pytest.mark.thorough
def test_workers_that_are_killed_and_cut_off_make_the_index_of_one_box(
    hosts: Cluster, box: Home, gate: Gate
) -> None:
    first, second = hosts.worker("first"), hosts.worker("second")

    def in_the_middle() -> str:
        gate.close()
        run = hosts.send(REFRESH)
        hosts.wait(lambda: gate.holds and hosts.status(run) == dg.DagsterRunStatus.STARTED, first.said)
        return run

    assert hosts.ended(hosts.send(BUILD)) == SUCCESS
    assert box.build().success
    assert_as_on(box, hosts)

    # A worker is killed, with all of its processes. The other one goes on from what was recorded.
    hosts.crm.edit(1, changes=6, inserts=6, deletes=3)
    run = in_the_middle()
    (lost := hosts.host_of(run)).kill()
    gate.open()
    assert hosts.ended(run, watched=True) == FAILURE
    assert "No worker has known of this run" in hosts.said(run)
    assert hosts.ended(hosts.send(REFRESH)) == SUCCESS
    assert box.refresh().success
    assert_as_on(box, hosts)
    lost.start()

    # Only the process of a run is killed: its worker notices at once, and takes the next one.
    hosts.crm.edit(2, changes=6, inserts=6)
    run = in_the_middle()
    os.kill(hosts.process_of(run) or 0, signal.SIGKILL)
    gate.open()
    assert hosts.ended(run, watched=True) == FAILURE
    assert "process for this run has died" in hosts.said(run)

    # A rebuild, for which nothing needs to have been finished.
    assert hosts.ended(hosts.send(BUILD)) == SUCCESS
    assert box.build().success
    assert_as_on(box, hosts)

    # The network of a worker falls silent in mid-run, and comes back before it counts as lost.
    hosts.crm.edit(3, changes=6, inserts=6)
    run = in_the_middle()
    relays = hosts.host_of(run).relays.values()
    for relay in relays:
        relay.fall_silent()
    gate.open()
    hosts.watch()
    assert hosts.status(run) == dg.DagsterRunStatus.STARTED
    for relay in relays:
        relay.restore()
    assert hosts.ended(run, watched=True) == SUCCESS
    assert box.refresh().success
    assert_as_on(box, hosts)

    # Every connection breaks: with that to Postgres its lock is lost, and the run writes no more.
    hosts.crm.edit(4, changes=6, inserts=6)
    run = in_the_middle()
    relays = hosts.host_of(run).relays.values()
    for relay in relays:
        relay.hang_up()
    for relay in relays:
        relay.restore()
    gate.open()
    assert hosts.ended(run, watched=True) == FAILURE
    assert hosts.ended(hosts.send(REFRESH)) == SUCCESS
    assert box.refresh().success
    assert_as_on(box, hosts)
    assert (first.stop(), second.stop()) == (0, 0)


@pytest.mark.thorough
def test_workers_and_runs_that_are_killed_at_random(tmp_path: Path, postgres: str) -> None:
    """`python -m ingest_assets_tests.celery_soak` goes on for longer, with other seeds."""
    with killed_at_random(tmp_path, postgres, seed=1) as soak:
        soak.go_on(seconds=20)
        soak.come_to_rest()
