"""Runs background jobs where no Dagster daemon does: `ingest job run`, and `ingest serve --run-jobs`.

Each job is a process of its own, as a run that the daemon launches is: what one of them takes or dies of
concerns no other; and none of them outlives the process that started it, even if that is killed. Which jobs
may run, and which have to end, is decided where the daemon's sensor decides it.

What belongs here: the processes. What does not: runs (`runs`), and what is launched (`orchestration`).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ingest_assets.model import IngestError
from ingest_assets.settings import Settings

log = logging.getLogger(__name__)
LOOKED_FOR_EVERY_S = 1.0
# How long jobs, and what runs them, may take to end by themselves once they were told to; then they are
# killed. What runs them has longer than they have, so that none is left when it is killed itself.
JOBS_PATIENCE_S, PATIENCE_S = 4.0, 9.0


_BELOW = f"from {__name__} import end_with_input; from {__package__} import main; end_with_input(); main()"


def _started(*job: str) -> subprocess.Popen[bytes]:
    # Its input is a pipe that nobody writes to. It ends when this process does, however that dies. How a job
    # ended is in the ledger, and in the log: nobody reads what it prints.
    command = [sys.executable, "-c", _BELOW, "job", "run", *job, *(["--json"] if job else [])]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S603 - this program, and a job's id


def end_with_input() -> None:
    """From now on this process ends when its input does."""
    threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    while os.read(0, 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)  # for its own jobs, or what it has to put in order; as `_stop` waits for it
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def running_jobs(settings: Settings) -> Iterator[None]:
    """For the duration of the block, another process runs jobs as they come."""
    from ingest_assets.jobs.workers import note_launcher
    from ingest_assets.workbench import Workbench

    with Workbench(settings) as bench:
        note_launcher(bench.ledger)  # it takes a few seconds to start, and jobs are accepted meanwhile
    runner = _Kept()
    # A web server that SIGTERM has stopped raises it again, which would end this process before it ends that.
    before = signal.signal(signal.SIGTERM, _unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        runner.stop()


class _Kept:
    """The process that runs jobs: another one is started when it ends before it is told to."""

    def __init__(self) -> None:
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._process = _started()
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self) -> None:
        while True:
            status = self._process.wait()
            if self._stopping.wait(LOOKED_FOR_EVERY_S):
                return
            log.warning("The process that runs jobs ended (%s); starting another one.", status)
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = _started()

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
        _stop(self._process, patience_s=PATIENCE_S)


def _unwind(*_: object) -> NoReturn:
    raise SystemExit(0)


class JobRunner:
    """Runs jobs as they come, until `stop` is set."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings, self._stop = settings, stop
        self._processes: dict[str, subprocess.Popen[bytes]] = {}  # by job

    def run(self) -> None:
        """Jobs that are running when it is stopped are ended by whoever runs jobs next."""
        from ingest_assets.jobs.workers import note_no_launcher
        from ingest_assets.orchestration.indexing_jobs import due_jobs
        from ingest_assets.orchestration.instance import open_instance
        from ingest_assets.workbench import Workbench

        try:
            with open_instance(self._settings) as instance, Workbench(self._settings) as bench:
                said = ""
                while not self._stop.is_set():
                    try:
                        due = due_jobs(instance, bench)
                    except (IngestError, OSError) as error:  # a ledger that is away may come back
                        if str(error) != said:  # once, and not every second until somebody mends it
                            log.warning("%s", said := str(error))
                    except Exception:  # Dagster's storage raises anything while it is locked
                        log.exception("Looking for jobs failed; it is tried again.")
                    else:
                        said = ""
                        self._follow([job.id for job in due.launch], due.ended)
                    self._stop.wait(LOOKED_FOR_EVERY_S)
                note_no_launcher(bench.ledger)
        finally:
            _stop(*self._processes.values(), patience_s=JOBS_PATIENCE_S)

    def _follow(self, launch: list[str], ended: list[str]) -> None:
        for job_id in [job for job, each in self._processes.items() if each.poll() is not None]:
            _ended(self._processes.pop(job_id))
        for job_id in ended:
            if (process := self._processes.pop(job_id, None)) is not None:
                process.kill()
                _ended(process)
        for job_id in launch:
            if job_id not in self._processes:
                self._processes[job_id] = _started(job_id)


def _stop(*processes: subprocess.Popen[bytes], patience_s: float) -> None:
    """Have all of them end, which takes up to `patience_s`."""
    ends = time.monotonic() + patience_s
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
        _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Only then its input is closed: before, that would tell it to end for a second time."""
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
