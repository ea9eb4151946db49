"""What stands while the product is in use, real processes to be killed: Dagster's daemon, `ingest serve`.

What belongs here: starting, finding and killing them, and jobs as a client has them over HTTP. What does not:
what has to hold then.
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

from ingest_assets.assets.indexing import JOB_TAG
from ingest_assets.automation.orphans import TAG
from ingest_assets.jobs.events import COMPLETED
from ingest_assets_tests.built import ROOT, Home, command

DAEMON = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", str(ROOT / "workspace.yaml")]
SETTLED = frozenset({"completed", "failed", "cancelled"})
PATIENCE_S = 60.0
POLL_S = 0.1


def start_server(home: Home, stderr: Any) -> tuple[subprocess.Popen[str], str]:
    """`ingest serve --json` in a process of its own, and where it listens."""
    started = subprocess.Popen(
        command("serve", "--json"),
        env=home.with_settings(ingest_http_port=0).env,
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


class Standing:
    """The processes of one home. What they say is in `said.log` there."""

    daemon: subprocess.Popen[bytes]
    server: subprocess.Popen[str]

    def __init__(self, home: Home) -> None:
        self.home = home
        self._log = (home.path / "said.log").open("ab")
        self._client = _client()

    def start(self) -> None:
        """What does not run."""
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
        """Without a word, as the system does it that is out of memory."""
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                process.kill()
        self.wait(lambda: not any(_lives(process.pid) for process in processes))

    def processes(self) -> list[psutil.Process]:
        """All that live of this home, those too whose parent was killed."""
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
        """Over HTTP."""
        answer = self._client.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    def start_job(self, repository: Path, **options: Any) -> str:
        """Its id."""
        started: dict[str, str] = self.ask("POST", "/jobs", repo_path=str(repository), **options)
        return started["job_id"]

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/jobs/{job_id}")
        return found

    def wait_for(self, job_id: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """How a job has ended; that its events tell the same is checked."""
        self.wait(lambda: self.job(job_id)["status"] in SETTLED, seconds)
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
        """Kill all, and let go."""
        self.kill(*self.processes())
        self._client.close()
        self._log.close()


def _client(url: str = "") -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=20)


def _lives(pid: int) -> bool:
    """A zombie does not: it waits for a parent that may never ask for it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _has_ended(process: subprocess.Popen[Any]) -> bool:
    """Of a killed one that is a zombie threads may still be at their end, and hold its port until then."""
    if process.poll() is None and not _lives(process.pid):
        process.wait()
    return process.poll() is not None


@contextmanager
def standing(home: Home) -> Iterator[Standing]:
    """Nothing is started yet; at the end all is killed."""
    stand = Standing(home)
    try:
        yield stand
    finally:
        stand.close()
