"""Worker processes: they answer as the server itself would, and start and stop with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from ingest_assets.interfaces.http.workers import ProcessWorker
from ingest_assets_tests.interfaces.http.served import Served, served
from ingest_assets_tests.interfaces.http.test_server import process
from ingest_assets_tests.support.built_index import Home

QUERY = {"query": "renewal of the contract"}


@pytest.fixture(scope="module")
def workers(built_once: Home) -> Iterator[Served]:
    with served(built_once, ingest_http_search_workers=2, ingest_http_timeout_s=20) as server:
        _settled(server)
        yield server


def pids(server: Served) -> list[int]:
    found = [worker.pid for worker in server.service.pool.workers if isinstance(worker, ProcessWorker)]
    return [pid for pid in found if pid]


def test_the_same_answers(workers: Served, api: httpx.Client) -> None:
    with workers.client() as client, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.get("/search", params=QUERY).json()["hits"], range(20)))
        assert all(hits == api.get("/search", params=QUERY).json()["hits"] for hits in answers)
        refused = client.get("/search", params=QUERY | {"filter": "since=never"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert len(set(pids(workers))) == 2
    assert os.getpid() not in pids(workers)


def test_a_killed_worker_is_replaced_without_an_error(workers: Served) -> None:
    before = pids(workers)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    with workers.client() as client:
        assert [client.get("/search", params=QUERY).status_code for _ in range(4)] == [200] * 4
    assert set(pids(workers)).isdisjoint(before)


def test_a_worker_that_hangs_delays_nobody_else(workers: Served) -> None:
    _settled(workers)
    hangs = pids(workers)[0]
    os.kill(hangs, signal.SIGSTOP)
    try:
        with workers.client() as client, ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(client.get, "/search", params=QUERY) for _ in range(2)]
            deadline = time.monotonic() + 10
            while sum(answer.done() for answer in asked) < 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert [client.get("/search", params=QUERY).status_code for _ in range(3)] == [200] * 3
            os.kill(hangs, signal.SIGCONT)
            assert [answer.result().status_code for answer in asked] == [200] * 2
    finally:
        os.kill(hangs, signal.SIGCONT)


@pytest.mark.parametrize("end", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.thorough)])
def test_workers_exit_with_the_server(built_once: Home, end: signal.Signals) -> None:
    two = built_once.with_settings(ingest_http_search_workers=2)
    with process(two) as (server, url), httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        assert client.get("/search", params=QUERY).json()["hits"]
        children = psutil.Process(server.pid).children(recursive=True)
        assert len(children) >= 2
        server.send_signal(end)
        server.wait(15)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, [child.cmdline() for child in alive]


def _settled(server: Served) -> None:
    """Wait until the server has warmed up."""
    deadline = time.monotonic() + 30
    while server.service.pool.taken:
        assert time.monotonic() < deadline
        time.sleep(0.02)
