"""Runs background jobs where no Dagster daemon does: `ingest job run`, and `ingest serve --run-jobs`.

Each job is a process of its own, as a run that the daemon launches is: what one of them takes or dies of
concerns no other. Which jobs may run, and which have to end, is decided where the daemon's sensor decides it.

What belongs here: the processes. What does not: runs (`runs`), and what is launched (`orchestration`).
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ingest_assets.model import IngestError
from ingest_assets.settings import Settings

log = logging.getLogger(__name__)
LOOKED_FOR_EVERY_S = 1.0
# How long a process may take to end by itself once it was told to; then it is killed.
PATIENCE_S = 8.0


def _started(*job: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ingest_assets", "job", "run", *job]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - this program, and a job's id


@contextmanager
def running_jobs(settings: Settings) -> Iterator[None]:
    """For the duration of the block, another process runs jobs as they come."""
    from ingest_assets.jobs.workers import note_launcher
    from ingest_assets.workbench import Workbench

    with Workbench(settings) as bench:
        note_launcher(bench.ledger)  # it takes a few seconds to start, and jobs are accepted meanwhile
    process = _started()
    try:
        yield
    finally:
        _stop(process)


class JobRunner:
    """Runs jobs as they come, until `stop` is set."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings, self._stop = settings, stop
        self._processes: dict[str, subprocess.Popen[bytes]] = {}  # by job

    def run(self) -> None:
        """Jobs that are running when it is stopped are ended by whoever runs jobs next."""
        from ingest_assets.orchestration.indexing_jobs import due_jobs
        from ingest_assets.orchestration.instance import open_instance
        from ingest_assets.workbench import Workbench

        try:
            with open_instance(self._settings) as instance, Workbench(self._settings) as bench:
                while not self._stop.is_set():
                    try:
                        due = due_jobs(instance, bench)
                    except (IngestError, OSError) as error:  # a ledger that is away may come back
                        log.warning("%s", error)
                    else:
                        self._follow([job.id for job in due.launch], due.ended)
                    self._stop.wait(LOOKED_FOR_EVERY_S)
        finally:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                _stop(process)

    def _follow(self, launch: list[str], ended: list[str]) -> None:
        self._processes = {job: each for job, each in self._processes.items() if each.poll() is None}
        for job_id in ended:
            if (process := self._processes.pop(job_id, None)) is not None:
                process.kill()
                process.wait()
        for job_id in launch:
            if job_id not in self._processes:
                self._processes[job_id] = _started(job_id)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
