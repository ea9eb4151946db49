"""`ingest daemon`: what a supervisor is told of Dagster's daemon, and who is told how much."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from copy import copy
from functools import partial
from pathlib import Path

import dagster as dg
import httpx
import psutil
import pytest
from dagster._daemon.types import DaemonHeartbeat
from pydantic import SecretStr
from starlette.testclient import TestClient

from ingest_assets.interfaces.daemon_health import application
from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.orchestration.supervision import Health, Tick, Watched
from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import built, built_once
from ingest_assets_tests.support.processes import start_server

__all__ = ["built", "built_once"]
TOKEN = "prometheus-" + "0123456789" * 3


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def beat(instance: dg.DagsterInstance, part: str, at: float) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, part, "1", []))


@pytest.mark.parametrize(
    ("started_s_ago", "beats_s_ago", "status"),
    [
        (5, [], "starting"),
        (600, [], "silent"),  # it never came up
        (5, [30], "starting"),  # the heartbeat of the process before
        (600, [1, 20], "ok"),
        (600, [1, 300], "silent"),  # the sensors go on, the schedules hang
        (600, [-30], "ok"),  # a clock that was set back
    ],
)
def test_the_state(
    built_once: Home,
    instance: dg.DagsterInstance,
    started_s_ago: float,
    beats_s_ago: list[float],
    status: str,
) -> None:
    now = time.time()
    for part, ago in zip(("SCHEDULER", "SENSOR"), beats_s_ago, strict=False):
        beat(instance, part, now - ago)
    with Workbench(built_once.load()) as bench:
        found = Watched(instance, bench, now - started_s_ago).health()
    assert found.status == status
    assert (found.seconds_since_heartbeat is None) == (status == "starting" or not beats_s_ago)
    assert found.refreshed["crm"] is not None
    assert found.problem is None


def test_who_is_told_how_much() -> None:
    state = Health("ok", 1.0, {"crm": None}, {"sensor": Tick("2026-01-01", "skipped", "/srv/secret")}, None)
    app = application(
        lambda: state, lambda: b"ingest_runs 1\n", Tokens.of(SecretStr(f"prometheus:{TOKEN}:read"))
    )
    with TestClient(app, client=("127.0.0.1", 1)) as here, TestClient(app, client=("10.1.1.1", 1)) as there:
        assert here.get("/health").json()["ticks"]["sensor"]["reason"] == "/srv/secret"
        assert there.get("/health").json() == {"status": "ok"}
        assert there.post("/health").status_code == 405
        assert here.get("/metrics").text == "ingest_runs 1\n"
        assert there.get("/metrics").status_code == 401
        assert there.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text == "ingest_runs 1\n"
    with TestClient(application(lambda: state, bytes), client=("10.1.1.1", 1)) as there:
        assert there.get("/metrics").status_code == 401


def test_a_daemon_that_does_not_work_fails_the_probe() -> None:
    for state, status in (("starting", 503), ("silent", 503), ("ok", 200)):
        found = Health(state, None, {}, {}, None)  # type: ignore[arg-type]
        with TestClient(application(partial(copy, found), bytes), client=("::1", 1)) as client:
            assert client.get("/health").status_code == status


@pytest.mark.thorough
def test_the_process(built: Home) -> None:
    """A real daemon: its health, that both end together, and that a daemon that dies is an error."""
    with (built.path / "said.log").open("ab") as said:
        process, url = start_server(built, said, "daemon")
        deadline = time.monotonic() + 60
        while (answer := httpx.get(url, timeout=30)).status_code != 200:
            assert answer.json()["status"] == "starting"
            assert time.monotonic() < deadline
            time.sleep(0.5)
        while "repository_heads_sensor" not in (ticks := httpx.get(url, timeout=30).json()["ticks"]):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert ticks["repository_heads_sensor"]["outcome"] == "skipped"
        assert "no repository is kept in step" in ticks["repository_heads_sensor"]["reason"]
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
        assert not psutil.wait_procs(children, timeout=10)[1]
        process, _ = start_server(built, said, "daemon")
        daemon = next(
            child
            for child in psutil.Process(process.pid).children()
            if "dagster._daemon" in " ".join(child.cmdline())
        )
        daemon.kill()
        process.communicate(timeout=60)
        assert process.returncode == 1
    assert "Dagster's daemon ended" in (built.path / "said.log").read_text(encoding="utf-8")
