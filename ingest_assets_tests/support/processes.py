"""The processes of the product in use, real ones to be killed: Dagster's daemon, `ingest serve` and `ui`.

What belongs here: starting, finding and killing them, and jobs as a client sees them over HTTP. What does
not: what must hold afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil

from ingest_assets.jobs.events import COMPLETED
from ingest_assets.orchestration.assets import JOB_TAG
from ingest_assets.orchestration.orphaned_runs import TAG
from ingest_assets_tests.support.built_index import ROOT, Home, command

DAEMON = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", str(ROOT / "workspace.yaml")]
ENDED = frozenset({"completed", "failed", "cancelled"})
PATIENCE_S = 60.0
POLL_S = 0.1


def start_server(home: Home, stderr: Any, *which: str) -> tuple[subprocess.Popen[str], str]:
    """`ingest serve --json`, or another server, in a process of its own, and where it listens."""
    started = subprocess.Popen(
        command(*(which or ("serve",)), "--json"),
        env=home.with_settings(ingest_http_port=0, ingest_ui_port=0, ingest_daemon_port=0).env,
        cwd=home.path,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert started.stdout is not None
    lines = ""
    while not lines.rstrip().endswith("}"):
        line = started.stdout.readline()
        assert line, started.communicate()
        lines += line
    return started, json.loads(lines)["url"]


class RunningProduct:
    """The processes of one home. Their output is in `said.log` there."""

    daemon: subprocess.Popen[bytes]
    server: subprocess.Popen[str]

    def __init__(self, home: Home) -> None:
        self.home = home
        self._log = (home.path / "said.log").open("ab")
        self._client = _client()

    def start(self) -> None:
        """Start what is not running."""
        if not hasattr(self, "daemon") or _has_ended(self.daemon):
            self.daemon = subprocess.Popen(
                DAEMON, env=self.home.env, cwd=self.home.path, stdout=self._log, stderr=self._log
            )
        if not hasattr(self, "server") or _has_ended(self.server):
            self.server, url = start_server(self.home, self._log)
            # A new client too: the new server may have the port of the old one, whose connections are dead.
            self._client.close()
            self._client = _client(url)

    def kill(self, *processes: psutil.Process | subprocess.Popen[Any]) -> None:
        """Kill without warning, as the system does when it is out of memory."""
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                process.kill()
        self.wait(lambda: not any(_lives(process.pid) for process in processes))

    def processes(self) -> list[psutil.Process]:
        """All live processes of this home, including those whose parent was killed."""
        mine, found = self.home.env["INGEST_HOME"], []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it ended meanwhile, or is not ours to look at
                if process.environ().get("INGEST_HOME") == mine and _lives(process.pid):
                    found.append(process)
        return found

    def worker(self, job_id: str) -> psutil.Process:
        """The process that works on a job."""
        with self.home.instance() as instance:
            (run,) = instance.get_runs(dg.RunsFilter(tags={JOB_TAG: job_id}))
        return psutil.Process(int(run.tags[TAG].split()[1]))

    def runs_ended(self) -> bool:
        with self.home.instance() as instance:
            return all(run.is_finished for run in instance.get_runs())

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Send a request over HTTP."""
        answer = self._client.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    def start_job(self, repository: Path, **options: Any) -> str:
        """Start a job; returns its id."""
        started: dict[str, str] = self.ask("POST", "/jobs", repo_path=str(repository), **options)
        return started["job_id"]

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/jobs/{job_id}")
        return found

    def wait_for(self, job_id: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until a job has ended; returns its status, and checks that its events agree."""
        self.wait(lambda: self.job(job_id)["status"] in ENDED, seconds)
        job = self.job(job_id)
        with self._client.stream("GET", f"/jobs/{job_id}/events") as answer:
            events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
        assert [event["sequence"] for event in events] == list(range(len(events)))
        ends = [event for event in events if event["event_type"] == COMPLETED]
        assert ends == events[-1:]
        succeeded = job["status"] == "completed"
        assert ends[0]["status"] == ("success" if succeeded else "failed")
        assert bool(ends[0]["payload"]["error"]) == (not succeeded)
        assert bool(job["error_message"]) == (job["status"] == "failed"), "it does not say why"
        return job

    def said(self) -> str:
        return (self.home.path / "said.log").read_text("utf-8", "replace")

    def wait(self, until: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, self.said()[-10_000:]
            time.sleep(POLL_S)

    def close(self) -> None:
        """Kill all processes, and close what is open."""
        self.kill(*self.processes())
        self._client.close()
        self._log.close()


def _client(url: str = "") -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=20)


def _lives(pid: int) -> bool:
    """A zombie does not live: it waits for a parent that may never collect it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _has_ended(process: subprocess.Popen[Any]) -> bool:
    """The threads of a killed process that is a zombie may still be ending, and hold its port until then."""
    if process.poll() is None and not _lives(process.pid):
        process.wait()
    return process.poll() is not None


@contextmanager
def running_product(home: Home) -> Iterator[RunningProduct]:
    """Starts nothing by itself; kills everything at the end."""
    product = RunningProduct(home)
    try:
        yield product
    finally:
        product.close()
