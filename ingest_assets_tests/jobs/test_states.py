"""No sequence of calls brings a job into a wrong state: checked against a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ingest_assets.jobs import event_log, events, queue, workers
from ingest_assets.jobs.errors import JobCancelledError, JobStateError, UnknownJobError
from ingest_assets.jobs.progress import JobProgress
from ingest_assets.jobs.transitions import Outcome
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.jobs.conftest import repository
from ingest_assets_tests.support.engines import Engines, sqlite_url

ENDED = ("completed", "failed", "cancelled")
JOBS = st.integers(0, 7)


@dataclass
class Expected:
    name: str
    forced: bool
    status: str = "pending"
    worker: str | None = None
    asked: bool = False
    written: int = 0
    percentage: int = 0


class Machine(RuleBasedStateMachine):
    engines: Engines

    def __init__(self) -> None:
        super().__init__()
        self.ledger = self.engines.lend_ledger()
        self.jobs: dict[str, Expected] = {}

    def teardown(self) -> None:
        self.engines.take_ledger(self.ledger)

    def _pick(self, n: int) -> tuple[str, Expected]:
        return list(self.jobs.items())[n % len(self.jobs)]

    @rule(name=st.sampled_from("ab"), forced=st.booleans())
    def start(self, name: str, forced: bool) -> None:
        joined = [
            job_id
            for job_id, job in self.jobs.items()
            if job.name == name and job.status not in ENDED and not job.asked and job.forced >= forced
        ]
        made = queue.start(self.ledger, repository(name), force_reindex=forced)
        assert made.existing == bool(joined)
        if joined:
            assert made.job_id in joined
        else:
            assert made.job_id not in self.jobs
            self.jobs[made.job_id] = Expected(name, forced)

    @precondition(lambda self: self.jobs)
    @rule(n=JOBS, worker=st.sampled_from("xy"))
    def take(self, n: int, worker: str) -> None:
        job_id, job = self._pick(n)
        may = job.status == "pending" or (job.status == "running" and job.worker == worker)
        try:
            workers.mark_running(self.ledger, job_id, worker)
        except JobCancelledError:
            assert job.status == "cancelled"
        except JobStateError:
            assert not may
            assert job.status != "cancelled"
        else:
            assert may
            job.status, job.worker = "running", worker

    @precondition(lambda self: self.jobs)
    @rule(n=JOBS)
    def cancel(self, n: int) -> None:
        job_id, job = self._pick(n)
        try:
            answer = queue.cancel(self.ledger, job_id)
        except JobStateError:
            assert job.status in ENDED
        else:
            assert job.status not in ENDED
            job.asked = job.asked or job.status == "running"
            job.status = "cancelled" if job.status == "pending" else "running"
            assert answer["status"] == job.status

    @precondition(lambda self: self.jobs)
    @rule(n=JOBS, outcome=st.sampled_from(ENDED))
    def end(self, n: int, outcome: Outcome) -> None:
        job_id, job = self._pick(n)
        try:
            done = workers.end(self.ledger, job_id, outcome, "why")
        except JobStateError:
            assert (job.status, outcome) == ("pending", "completed")
        else:
            assert done == (job.status not in ENDED)
            job.status = outcome if done else job.status

    @precondition(lambda self: self.jobs)
    @rule(n=JOBS, count=st.integers(0, 3))
    def write(self, n: int, count: int) -> None:
        job_id, job = self._pick(n)
        drafts = [events.file_detected(f"{job.written + i}") for i in range(count)]
        try:
            first = event_log.append(self.ledger, job_id, drafts)
        except JobCancelledError:
            assert job.status != "running"
        else:
            assert (job.status, first) == ("running", job.written)
            job.written += count

    @precondition(lambda self: self.jobs)
    @rule(n=JOBS, done=st.integers(0, 100))
    def progress(self, n: int, done: int) -> None:
        job_id, job = self._pick(n)
        progress = JobProgress(self.ledger, job_id)
        progress.report("embed", done, 100)
        if job.status == "running":
            job.percentage = max(job.percentage, 50 + done * 40 // 100)
        try:
            progress.check_cancelled()
        except JobCancelledError:
            assert job.asked or job.status != "running"
        else:
            assert not job.asked
            assert job.status == "running"

    @rule(alive=st.sets(st.sampled_from("xy")))
    def orphans(self, alive: set[str]) -> None:
        ended = {one.job_id: one.outcome for one in self._orphans(alive.__contains__)}
        for job_id, job in self.jobs.items():
            lost = job.status == "running" and job.worker not in alive
            assert (job_id in ended) == lost
            if lost:
                job.status = "cancelled" if job.asked else "failed"
                assert ended[job_id] == job.status

    def _orphans(self, is_alive: Callable[[str], bool]) -> list[workers.EndedJob]:
        return workers.end_orphans(self.ledger, is_alive, timeout_s=3_600)

    @rule()
    def forget(self) -> None:
        gone = [job_id for job_id, job in self.jobs.items() if job.status in ENDED]
        assert workers.forget_old(self.ledger, 0) == len(gone)
        for job_id in gone:
            del self.jobs[job_id]
            with pytest.raises(UnknownJobError):
                event_log.after(self.ledger, job_id)

    @rule(places=st.integers(1, 3))
    def launch(self, places: int) -> None:
        running = [job.name for job in self.jobs.values() if job.status == "running"]
        launched = [self.jobs[job.id] for job in workers.to_launch(self.ledger, max_concurrent=places)]
        assert all(job.status == "pending" for job in launched)
        names = [job.name for job in launched]
        assert len(set(names)) == len(names)
        assert not set(names) & set(running)
        waiting = {job.name for job in self.jobs.values() if job.status == "pending"} - set(running)
        assert len(launched) == max(0, min(places - len(running), len(waiting)))

    @invariant()
    def the_table_agrees(self) -> None:
        found = {job["job_id"]: job for job in queue.list_jobs(self.ledger)}
        assert found.keys() == self.jobs.keys()
        for job_id, job in self.jobs.items():
            row = found[job_id]
            assert (row["status"], row["worker_task_id"]) == (job.status, job.worker)
            assert row["progress_percentage"] == (100 if job.status == "completed" else job.percentage)
            kept = event_log.after(self.ledger, job_id)
            ended = job.status in ENDED
            assert [event["sequence"] for event in kept] == list(range(job.written + ended))
            last = [event_log.is_last(event) for event in kept]
            assert last == [False] * job.written + [True] * ended
            assert (row["completed_at"] is not None) == ended


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        ("sqlite", 25),
        ("postgres", 8),
        pytest.param("sqlite", 60, marks=pytest.mark.thorough),
        pytest.param("postgres", 20, marks=pytest.mark.thorough),
    ],
)
def test_states(request: pytest.FixtureRequest, kind: str, examples: int) -> None:
    def postgres_url(_home: Path) -> str:
        return fresh_schema(request.getfixturevalue("postgres"))

    engines = Engines(sqlite_url if kind == "sqlite" else postgres_url, embedded=False)
    machine = type("Lent", (Machine,), {"engines": engines})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples, stateful_step_count=25, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        engines.close()
