"""A job is cancelled in time, and fails when its time is up, whatever its worker is at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.jobs import work
from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.jobs.queue import JobTarget, cancel, start, status_of
from ingest_assets.jobs.work import working_for
from ingest_assets.jobs.workers import end_orphans
from ingest_assets.sources.repositories.definition import SOURCE
from ingest_assets.stopping import ASKED_EVERY_S, go_on
from ingest_assets_tests.support.small_parts import ToyBench

PROMISED_S = 5.0  # contract: a cancellation reaches the worker within
TARGET = JobTarget("repositories", "file:/r", "/r", "r")


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str) -> Iterator[ToyBench]:
    given: dict[str, Any] = {
        "progress_update_interval_seconds": 0.001,
        "cancellation_check_interval_seconds": 0.001,
    }
    with ToyBench(tmp_path, ledger_url=ledger_url, **given) as bench:
        yield bench


def test_what_waits_keeps_the_promise() -> None:
    assert work.PATIENCE_S + work.LOOKED_AT_EVERY_S < PROMISED_S
    assert ASKED_EVERY_S < PROMISED_S / 5


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("stage", SOURCE.stage_names)
def test_a_worker_that_cannot_look_is_not_waited_for(
    bench: ToyBench, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "PATIENCE_S", 0.01)
    monkeypatch.setattr(work, "LOOKED_AT_EVERY_S", 0.01)
    job_id = start(bench.ledger, TARGET).job_id
    stuck, freed = threading.Event(), threading.Event()
    said: list[BaseException] = []

    def run() -> None:
        try:
            with working_for(bench, "repositories", job_id, "run", stage) as (_, working):
                stuck.set()
                freed.wait(60)
                working(1)
        except JobCancelledError as error:
            said.append(error)

    worker = threading.Thread(target=run)
    worker.start()
    try:
        assert stuck.wait(60)
        cancel(bench.ledger, job_id)
        ended = threading.Event()
        while status_of(bench.ledger, job_id)["status"] == "running" and not ended.wait(0.01):
            assert worker.is_alive()
        assert status_of(bench.ledger, job_id)["status"] == "cancelled"
        assert worker.is_alive()
    finally:
        freed.set()
        worker.join()
    # The worker finds out as soon as it looks, and cannot change how the job has ended.
    assert len(said) == 1
    assert status_of(bench.ledger, job_id)["status"] == "cancelled"


@pytest.mark.parametrize("stage", SOURCE.stage_names)
def test_a_job_whose_time_is_up_has_failed_and_its_worker_stops(bench: ToyBench, stage: str) -> None:
    job_id = start(bench.ledger, TARGET).job_id

    def run() -> None:
        with working_for(bench, "repositories", job_id, "run", stage):
            [ended] = end_orphans(bench.ledger, lambda _worker: True, timeout_s=0)
            assert (ended.job_id, ended.outcome) == (job_id, "failed")
            while True:  # what waits for a remote, a model, a child or an engine
                go_on()

    with pytest.raises(JobCancelledError, match="ended from outside"):
        run()
    status = status_of(bench.ledger, job_id)
    assert (status["status"], status["error_type"]) == ("failed", "JobTimeoutError")
    # The target is free for another job.
    assert start(bench.ledger, TARGET).job_id != job_id
