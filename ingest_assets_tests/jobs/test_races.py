"""Many processes and threads work on the same jobs: each state change happens once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ingest_assets.jobs import event_log, events, queue, workers
from ingest_assets.jobs.errors import JobCancelledError, JobStateError
from ingest_assets.ledger import Ledger
from ingest_assets_tests.jobs.conftest import Start, repository

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)

# Starts, takes, cancels and ends the same jobs as the other workers, and writes events for them.
WORK = """
import json, sys
from ingest_assets.jobs import event_log, events, queue, workers
from ingest_assets.jobs.errors import JobCancelledError, JobStateError
from ingest_assets.ledger import Ledger
ledger, me = Ledger(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
done = []
def tried(what, call):
    try:
        done.append([what, call()])
    except (JobCancelledError, JobStateError) as error:
        done.append([what + " refused", type(error).__name__])
for n in range(6):
    job = queue.start(ledger, queue.JobTarget("repositories", f"r{n}", f"/r{n}", "r"))
    done.append(["started", [job.job_id, job.existing]])
    id = job.job_id
    tried("took", lambda: [id, workers.mark_running(ledger, id, me).id and me])
    for k in range(3):
        drafts = [events.file_detected(f"{me} {k} {i}") for i in range(4)]
        tried("events", lambda: event_log.append(ledger, id, drafts))
    if n % 2:
        tried("cancelled", lambda: queue.cancel(ledger, id)["status"])
    tried("ended", lambda: [id, workers.end(ledger, id, "completed" if n % 3 else "failed")])
print(json.dumps(done))
"""


@both
def test_processes_working_on_the_same_jobs(ledger: Ledger, ledger_url: str) -> None:
    command = [sys.executable, "-c", WORK, ledger_url]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*command, f"worker {n}"], stdin=pipe, stdout=pipe, text=True) for n in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    done = [entry for process in processes for entry in json.loads(process.communicate(timeout=60)[0])]
    assert [process.returncode for process in processes] == [0] * 3

    jobs = {job["job_id"]: job for job in queue.list_jobs(ledger)}
    made = Counter(value[0] for what, value in done if what == "started" and not value[1])
    assert made == Counter(dict.fromkeys(jobs, 1))
    took = [tuple(value) for what, value in done if what == "took"]
    assert Counter(job for job, _ in took).most_common(1)[0][1] == 1
    assert dict(took) == {job: row["worker_task_id"] for job, row in jobs.items() if row["worker_task_id"]}
    ended = Counter(value[0] for what, value in done if what == "ended" and value[1])
    assert ended == Counter(dict.fromkeys(jobs, 1))
    for job in jobs:
        found = event_log.after(ledger, job)
        assert [event["sequence"] for event in found] == list(range(len(found)))
        assert [event_log.is_last(event) for event in found] == [False] * (len(found) - 1) + [True]
        assert len({event["event_id"] for event in found}) == len(found)
        paths = [event["payload"]["file_path"].rsplit(" ", 1) for event in found[:-1]]
        batches = [paths[i : i + 4] for i in range(0, len(paths), 4)]  # as they were written
        assert all([p[1] for p in batch] == ["0", "1", "2", "3"] for batch in batches)
        assert found[-1]["payload"]["files_detected"] == len(found) - 1


def _at_once(count: int, call: Callable[[int], object]) -> list[object]:
    barrier = Barrier(count)

    def one(n: int) -> object:
        barrier.wait()
        try:
            return call(n)
        except (JobStateError, JobCancelledError) as error:
            return type(error)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@both
def test_threads_starting_the_same_job_get_one(ledger: Ledger) -> None:
    for n in range(5):
        jobs = _at_once(6, lambda _, n=n: queue.start(ledger, repository(str(n))).job_id)  # type: ignore[misc]
        assert len(set(jobs)) == 1
    assert len(queue.list_jobs(ledger)) == 5


@both
def test_cancelling_and_taking_a_job_at_once(ledger: Ledger, start: Start) -> None:
    """Either the job never runs, or its worker is told to stop."""
    for n in range(10):
        job = start(str(n)).job_id

        def call(k: int, job: str = job) -> object:
            return queue.cancel(ledger, job) if k else workers.mark_running(ledger, job, "run")

        took, cancelled = _at_once(2, call)
        status = queue.status_of(ledger, job)
        assert isinstance(cancelled, dict)
        assert cancelled["status"] == status["status"]
        if status["status"] == "cancelled":
            assert took is JobCancelledError
        else:
            assert (status["status"], status["cancel_requested"]) == ("running", True)


@both
def test_appending_events_and_ending_at_once(ledger: Ledger, start: Start) -> None:
    for n in range(5):
        job = start(str(n)).job_id
        workers.mark_running(ledger, job, "run")

        def call(k: int, job: str = job) -> object:
            if k == 0:
                return workers.end(ledger, job, "completed")
            return event_log.append(ledger, job, [events.file_detected(f"{k}/{i}") for i in range(10)])

        results = _at_once(4, call)
        found = event_log.after(ledger, job)
        written = sum(isinstance(result, int) and result is not True for result in results)
        assert [event["sequence"] for event in found] == list(range(10 * written + 1))
        assert [event_log.is_last(event) for event in found].index(True) == 10 * written
