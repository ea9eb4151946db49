"""One container alone: `ingest serve --run-jobs` runs the jobs that it takes, without a Dagster daemon."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Reply
from ingest_assets_tests.embedding.endpoint_server import serving as serving_model
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home, command
from ingest_assets_tests.support.processes import start_server


@contextmanager
def serving(home: Home) -> Iterator[httpx.Client]:
    home = home.with_settings(ingest_http_port=0)
    process = subprocess.Popen(
        command("serve", "--json", "--run-jobs"),
        env=home.env,
        cwd=home.path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=30)  # until the one that runs jobs has ended, too
        assert process.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_job_outlives_a_container_that_is_stopped(home: Home, repo: TestRepo, how: signal.Signals) -> None:
    """Not even one that waits for a model, nor what runs jobs if what serves is killed."""
    with serving_model() as endpoint:
        endpoint.usual = Reply(delay_s=60)
        slow = home.with_settings(spark_control_url=endpoint.url, ingest_dense_dimension=DIMENSION)
        process, url = start_server(slow, subprocess.DEVNULL, "serve", "--run-jobs")
        httpx.post(f"{url}/jobs", json={"repo_path": str(repo.path)}, trust_env=False).raise_for_status()
        ends = time.monotonic() + 60
        while not endpoint.requests:
            assert time.monotonic() < ends
            time.sleep(0.05)
        below = psutil.Process(process.pid).children(recursive=True)
        assert {"run"} < {word for each in below for word in each.cmdline()}
        process.send_signal(how)
        process.communicate(timeout=30)
        _, left = psutil.wait_procs(below, timeout=20)
        assert not left


def test_jobs_are_run_though_what_runs_them_has_died(home: Home, repo: TestRepo) -> None:
    with serving(home) as client:
        [server] = [each for each in psutil.Process().children() if "serve" in each.cmdline()]
        ends = time.monotonic() + 60
        while not (runners := [each for each in server.children() if each.cmdline()[-2:] == ["job", "run"]]):
            assert time.monotonic() < ends
            time.sleep(0.05)
        runners[0].kill()
        with client.stream("GET", "/ingest", params={"repo_url": str(repo.path)}) as answer:
            events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
        assert events[-1]["status"] == "success"


def test_a_container_alone_indexes_and_answers(home: Home, repo: TestRepo) -> None:
    with serving(home) as client:
        with client.stream("GET", "/ingest", params={"repo_url": str(repo.path)}) as answer:
            assert answer.status_code == 200
            events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
        assert [event["sequence"] for event in events] == list(range(len(events)))
        assert (events[0]["event_type"], events[-1]["status"]) == ("ingest.started.v1", "success")
        found = client.get("/search", params={"query": "frobnicate", "source": "repositories"}).json()
        assert found["hits"]
