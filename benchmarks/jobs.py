"""`python -m benchmarks jobs [--postgres URL]`: what starting, watching and cancelling jobs costs.

10,000 finished jobs are in the table, and two processes run one job each, with events and progress, while
each call is timed: in this process, and over HTTP. An empty database is needed; without a URL it is
SQLite in a new folder.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serve import server
from ingest_assets.jobs import event_log, events, queue, workers
from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.jobs.event_log import JobEvents
from ingest_assets.jobs.progress import JobProgress
from ingest_assets.jobs.queue import JobTarget
from ingest_assets.ledger import Ledger, job_tables

FINISHED = 10_000
CALLS = 200
RUNNING = 2


def main(arguments: list[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--postgres", help="URL of an empty database (SQLite in a new folder)")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = options.postgres or f"sqlite:///{folder}/ledger.sqlite"
        if options.work:
            _work(Ledger(url), options.work)
        else:
            print(json.dumps(_measure(url, Path(folder)), indent=2))


def _measure(url: str, folder: Path) -> dict[str, Any]:
    ledger = Ledger(url)
    figures: dict[str, Any] = {"database": "sqlite" if ledger.is_sqlite else "postgres"}
    _finished(ledger)
    running = [_job(ledger, f"running {n}") for n in range(RUNNING)]
    with _at_work(url, running) as processes:
        while any(queue.status_of(ledger, job)["status"] == "pending" for job in running):
            time.sleep(0.05)  # until all are at work
        jobs = [_job(ledger, f"measured {n}") for n in range(CALLS)]
        figures["start"] = _timed(lambda n: _job(ledger, f"new {n}"))
        figures["start of one that is there"] = _timed(lambda n: _job(ledger, f"new {n}"))
        figures["status, pending"] = _timed(lambda n: queue.status_of(ledger, jobs[n]))
        figures["status, running"] = _timed(lambda _: queue.status_of(ledger, running[0]))
        figures["list of 50"] = _timed(lambda _: queue.list_jobs(ledger))
        figures["to launch, 400 pending"] = _timed(lambda _: workers.to_launch(ledger, max_concurrent=5))
        figures["cancel, pending"] = _timed(lambda n: queue.cancel(ledger, jobs[n]))
        figures["over HTTP"] = _over_http(url, folder, running[0])
        for job in running:
            queue.cancel(ledger, job)
        asked = time.time()
        stopped = [json.loads(process.communicate()[0]) for process in processes]
    figures["cancel reaches the worker, s"] = [round(one.pop("stopped_at") - asked, 2) for one in stopped]
    figures["within the workers"] = stopped
    figures |= _events(ledger)
    began = time.monotonic()
    figures["forgotten jobs"] = workers.forget_old(ledger, 0)
    figures["forget, s"] = round(time.monotonic() - began, 2)
    return figures


@contextmanager
def _at_work(url: str, jobs: Sequence[str]) -> Iterator[Sequence[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "benchmarks.jobs", "--postgres", url, "--work"]
    processes = [subprocess.Popen([*command, job], stdout=subprocess.PIPE, text=True) for job in jobs]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _over_http(url: str, folder: Path, running: str) -> dict[str, Any]:
    """The same calls of a client that keeps its connection."""
    settings = {
        "INGEST_LEDGER_URL": url,
        "INGEST_REPOSITORY_HOSTS": "git.example",
        "INGEST_MAX_PENDING_JOBS": "100000",
    }
    with server(folder, **settings) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
                raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
            return json.loads(text)

        def start(n: int) -> str:
            return str(ask("POST", "/jobs", {"repo_url": f"https://git.example/new/{n}"})["job_id"])

        start(CALLS)  # what the first request of a server prepares
        jobs: list[str] = []
        figures = {
            "start": _timed(lambda n: jobs.append(start(n))),
            "status, pending": _timed(lambda n: ask("GET", f"/jobs/{jobs[n]}")),
            "status, running": _timed(lambda _: ask("GET", f"/jobs/{running}")),
            "list of 50": _timed(lambda _: ask("GET", "/jobs?limit=50")),
            "cancel, pending": _timed(lambda n: ask("DELETE", f"/jobs/{jobs[n]}")),
        }
        connection.close()
    return figures


def _events(ledger: Ledger) -> dict[str, Any]:
    """10,000 files with five chunks each, of 1,000 characters."""
    job = _job(ledger, "many events")
    workers.mark_running(ledger, job, "run")
    began = time.monotonic()
    with JobEvents(ledger, job) as log:
        for n in range(10_000):
            log.add(events.file_detected(f"src/{n}.py", "Python", 5_000))
            for k in range(5):
                span = (1_000 * k, 1_000 * k + 1_000)
                chunk = events.chunk_created(
                    f"{n}-{k}", f"src/{n}.py", "Python", span, ("function", "f"), "x" * 1_000
                )
                log.add(chunk)
    written = time.monotonic()
    workers.end(ledger, job, "completed")
    sequence, count = -1, 0
    while page := event_log.after(ledger, job, sequence):
        sequence, count = page[-1]["sequence"], count + len(page)
    return {
        "events": count,
        "write events, s": round(written - began, 2),
        "read events, s": round(time.monotonic() - written, 2),
    }


def _work(ledger: Ledger, job: str) -> None:
    """A worker: 100 files a second, until it is told to stop."""
    workers.mark_running(ledger, job, f"run of {job}")
    progress = JobProgress(ledger, job)
    forced, seconds = JobProgress(ledger, job, update_interval_s=0), []
    number = 0
    try:
        with JobEvents(ledger, job) as log:
            while True:
                for _ in range(10):
                    log.add(events.file_detected(f"{number}.py", "Python", 10))
                    number += 1
                progress.report("chunk", number, 1_000_000)
                progress.check_cancelled()
                began = time.perf_counter()
                forced.report("chunk", number, 1_000_000)  # each is written
                seconds.append(time.perf_counter() - began)
                time.sleep(0.1)
    except JobCancelledError:
        stopped_at = time.time()
        workers.end(ledger, job, "cancelled")
    print(json.dumps({"stopped_at": stopped_at, "update": _summary(seconds)}))


def _finished(ledger: Ledger) -> None:
    row = {
        "repo_path": "/r",
        "repo_name": "r",
        "project_id": "p",
        "force_reindex": False,
        "status": "completed",
        "progress_percentage": 100,
        "progress_message": "Completed.",
        "files_scanned": 1,
        "files_indexed": 1,
        "chunks_created": 1,
        "metadata": "{}",
        "event_count": 0,
    }
    times = dict.fromkeys(("created_at", "started_at", "completed_at", "updated_at"), time.time() - 3_600)
    rows = [{**row, **times, "id": f"{n:036d}", "repository_id": f"r{n}"} for n in range(FINISHED)]
    with ledger.transaction() as connection:
        connection.execute(job_tables.indexing_jobs.insert(), rows)


def _job(ledger: Ledger, name: str) -> str:
    return queue.start(ledger, JobTarget("repositories", name, f"/{name}", name)).job_id


def _timed(call: Callable[[int], object]) -> dict[str, float]:
    seconds = []
    for n in range(CALLS):
        began = time.perf_counter()
        call(n)
        seconds.append(time.perf_counter() - began)
        time.sleep(0.01)  # so that the workers get on with their work, as with real clients
    return _summary(seconds)


def _summary(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(seconds)
    return {
        "median_ms": round(1_000 * median(ordered), 2),
        "p95_ms": round(1_000 * ordered[int(len(ordered) * 0.95)], 2),
        "max_ms": round(1_000 * ordered[-1], 2),
    }


if __name__ == "__main__":
    main()
