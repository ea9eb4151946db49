"""Runs on two workers of Celery, which are killed and cut off: the index is the one that one box makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest_assets.workbench import Workbench
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, serving
from ingest_assets_tests.orchestration.test_kills import Gate
from ingest_assets_tests.support.built_index import Home, new_home
from ingest_assets_tests.support.celery_cluster import Cluster, cluster
from ingest_assets_tests.support.comparing import assert_same_contents, named_contents, recorded

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
    """One machine, on files alone, beside the same CRM."""
    return new_home(tmp_path / "box", 1).with_settings(
        crm_db_path=None,
        crm_db_url=hosts.crm.url,
        spark_control_url=gate.endpoint.url,
        ingest_dense_dimension=DIMENSION,
    )


def _held(bench: Workbench) -> tuple[Any, Any]:
    name = bench.sources["crm"].collection
    return recorded(bench.ledger), named_contents(bench.engine, bench.ledger, name)


def assert_as_on(box: Home, hosts: Cluster) -> None:
    with box.bench() as one, hosts.home.bench() as many:
        (our_rows, ours), (their_rows, theirs) = _held(one), _held(many)
    assert theirs
    for table, rows in our_rows.items():
        assert their_rows[table] == rows, table
    assert_same_contents(theirs, ours)


@pytest.mark.thorough
def test_workers_that_are_killed_and_cut_off_make_the_index_of_one_box(  # noqa: PLR0915 - one history
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
    found = hosts.instance.get_run_by_id(run)
    assert found is not None
    pid = int(found.tags["ingest/process"].split()[1])
    next(each for each in hosts.host_of(run).processes() if each.pid == pid).kill()
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
