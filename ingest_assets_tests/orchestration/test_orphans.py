"""Runs whose process is gone are marked as failed; all others are left alone."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import dagster as dg
import pytest

from ingest_assets.definitions import build_defs
from ingest_assets.orchestration.orphaned_runs import NOT_YET, TAG, fail_orphaned_runs, process_tags
from ingest_assets.queries.status import status as status_of_ledger
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Reply, serving
from ingest_assets_tests.orchestration.jobs import data_versions
from ingest_assets_tests.orchestration.runs import add_run, status_of
from ingest_assets_tests.orchestration.test_schedule import tick
from ingest_assets_tests.support.built_index import Home, command

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_run_is_failed_and_the_next_refresh_gives_the_same_result(
    empty: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    undisturbed = empty.copy(tmp_path_factory.mktemp("undisturbed") / "home")
    with serving() as endpoint:
        settings = {
            "spark_control_url": endpoint.url,
            "ingest_dense_dimension": DIMENSION,
            "ingest_embed_batch_count": 16,
            "ingest_embed_concurrency": 1,
        }
        home = empty.with_settings(**settings)
        # The second request hangs, which keeps the run in its middle.
        endpoint.then(Reply(), Reply(delay_s=120))
        process = subprocess.Popen(command("build", "--json"), env=home.env, cwd=home.path)
        try:
            wait_for(lambda: len(endpoint.requests) == 2, process)
            with home.instance() as instance:
                (run,) = instance.get_runs()
                assert run.status == STARTED
                assert run.tags[TAG].split()[1] == str(process.pid)
                assert fail_orphaned_runs(instance) == [], "a run at work was taken for dead"
                assert status_of(instance, run.run_id) == STARTED

                process.send_signal(signal.SIGKILL)
                # Not waited for: the process is now a zombie, which still has its id and start time.
                wait_for(lambda: _is_zombie(process.pid), process)
                assert fail_orphaned_runs(instance) == [run.run_id]
                assert status_of(instance, run.run_id) == FAILURE
                assert fail_orphaned_runs(instance) == []
                failed = [e for e in instance.all_logs(run.run_id) if "is gone" in e.message]
                assert len(failed) == 1
        finally:
            process.kill()
            process.wait()
        report = home.refresh()
        assert report.success
        assert report.assets["crm/records"]["unchanged"] > 0, "what was recorded before the kill was lost"
        assert report.assets["crm/records"]["added"] == 0
        other = undisturbed.with_settings(**settings)
        assert other.build().success
        assert _held(home) == _held(other)
        with home.instance() as mine, other.instance() as theirs:
            assert data_versions(mine) == data_versions(theirs)


def _is_zombie(pid: int) -> bool:
    import psutil

    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _held(home: Home) -> tuple[dict[str, object], dict[str, int]]:
    from ingest_assets.stages.audit import audit

    with home.bench() as bench:
        held = status_of_ledger(bench)["sources"]["crm"]
        counts = audit(bench.collection("crm"), bench.ledger)
    assert counts.agrees
    assert counts.expected > 0
    held.pop("last_success")
    return held, counts.to_dict()


def test_a_tick_fails_a_dead_run_and_starts_the_next(built: Home) -> None:
    from datetime import UTC, datetime

    with built.instance() as instance:
        run = add_run(instance, "refresh_search_index", STARTED, _tags(pid=_dead_pid()))
        assert isinstance(tick(built, instance, datetime(2026, 3, 1, 12, tzinfo=UTC)), dg.RunRequest)
        assert status_of(instance, run.run_id) == FAILURE


def test_a_refresh_fails_a_dead_run(built: Home) -> None:
    with built.instance() as instance:
        run = add_run(instance, "refresh_search_index", STARTED, _tags(pid=_dead_pid()))
        assert built.refresh().success
        assert status_of(instance, run.run_id) == FAILURE


def test_only_runs_of_processes_that_are_gone_are_failed(built: Home) -> None:
    mine = process_tags()[TAG]
    host, pid, started = mine.split()
    cases = {
        mine: STARTED,
        # The machine's clock has since been set by a second: the same process.
        f"{host} {pid} {float(started) + 1:.2f}": STARTED,
        # The id now belongs to another process, with another start time.
        f"{host} {pid} {float(started) - 3600:.2f}": FAILURE,
        f"{host} {_dead_pid()} {started}": FAILURE,
        # Not ours to judge.
        f"another-machine {_dead_pid()} {started}": STARTED,
        "": STARTED,
    }
    with built.instance() as instance:
        runs = {
            add_run(instance, "refresh_search_index", STARTED, {TAG: tag} if tag else {}).run_id: expected
            for tag, expected in cases.items()
        }
        failed = fail_orphaned_runs(instance)
        assert {run_id: status_of(instance, run_id) for run_id in runs} == runs
        assert sorted(failed) == sorted(r for r, expected in runs.items() if expected == FAILURE)


def test_a_run_without_a_process_is_failed_when_its_time_to_start_is_up(built: Home) -> None:
    config = (built.dagster / "dagster.yaml").read_text("utf-8")
    assert "start_timeout_seconds: 300" in config
    starting, canceling = dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING
    as_defined = build_defs(built.overrides).resolve_job_def("index_repository").tags
    with built.instance() as instance:
        kept = [
            add_run(instance, "index_repository", STARTED, as_defined),
            add_run(instance, "refresh_search_index", starting, {TAG: NOT_YET}),
            # Started again from the UI, with the tags of the run before it.
            add_run(instance, "refresh_search_index", starting, _tags(pid=_dead_pid())),
            add_run(instance, "refresh_search_index", canceling, {TAG: NOT_YET}),
        ]
        foreign = add_run(instance, "a_job_of_somebody_else", STARTED, {})
        assert fail_orphaned_runs(instance) == []
    (built.dagster / "dagster.yaml").write_text(config.replace("seconds: 300", "seconds: 1"))
    time.sleep(1.1)  # until that is up
    with built.instance() as instance:
        assert sorted(fail_orphaned_runs(instance)) == sorted(run.run_id for run in kept)
        ends = [FAILURE, FAILURE, FAILURE, dg.DagsterRunStatus.CANCELED]
        assert [status_of(instance, run.run_id) for run in kept] == ends
        assert status_of(instance, foreign.run_id) == STARTED


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED])
def test_a_run_that_ended_keeps_its_status(built: Home, status: dg.DagsterRunStatus) -> None:
    with built.instance() as instance:
        run = add_run(instance, "refresh_search_index", status, _tags(pid=_dead_pid()))
        assert fail_orphaned_runs(instance) == []
        assert status_of(instance, run.run_id) == status


def test_a_cancelled_run_whose_process_is_gone_ends_as_cancelled(built: Home) -> None:
    with built.instance() as instance:
        run = add_run(instance, "refresh_search_index", dg.DagsterRunStatus.CANCELING, _tags(pid=_dead_pid()))
        assert fail_orphaned_runs(instance) == [run.run_id]
        assert status_of(instance, run.run_id) == dg.DagsterRunStatus.CANCELED


def test_a_run_notes_its_process(built: Home) -> None:
    report = built.refresh()
    with built.instance() as instance:
        run = instance.get_run_by_id(report.run_id)
        assert run is not None
        assert run.tags[TAG] == process_tags()[TAG]
        assert run.tags[TAG].split()[1] == str(os.getpid())


def _tags(pid: int) -> dict[str, str]:
    host, _, started = process_tags()[TAG].split()
    return {TAG: f"{host} {pid} {started}"}


def _dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
