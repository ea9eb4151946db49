"""A job belongs to a source, and is shown under the names of states that the source's users know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.interfaces.job_service import JobRefusedError, JobRequest
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs import workers
from ingest_assets.jobs.definition import JobCounts, JobsDefinition, Scope
from ingest_assets.jobs.errors import JobCancelledError, JobTargetError
from ingest_assets.jobs.queue import JobTarget
from ingest_assets.jobs.work import working_for
from ingest_assets.sources import chunks_stage, documents_stage, record_chunker
from ingest_assets.sources.definition import SourceDefinition, Words
from ingest_assets.sources.registry import Sources, load_sources
from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.small_parts import ToyBench


def _target(_bench: Workbench, location: str, ref: str | None) -> tuple[JobTarget, str | None]:
    if not location.startswith("PMC"):
        raise JobTargetError(f"{location} is not a paper.")
    return JobTarget("papers", location, location, f"paper {location}"), ref


PAPERS = SourceDefinition(
    name="papers",
    title="Papers",
    words=Words(about="papers"),
    open=lambda _bench, _part: pytest.fail("opened"),
    missing=lambda _bench: None,
    stages=(documents_stage("sections", "One row per section."), chunks_stage("sections")),
    chunker=record_chunker,
    jobs=JobsDefinition(
        target=_target,
        prepare=lambda _bench, _job, _check: None,
        counts=lambda _bench, _id: JobCounts(7, 7, 21),
        states={"pending": "queued", "completed": "complete"},
    ),
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ToyBench]:
    """Of a source with jobs of its own, beside those that ship."""
    with ToyBench(tmp_path) as bench:
        bench.sources = Sources([*load_sources().values(), PAPERS])
        yield bench


def test_its_states_have_the_names_of_its_own(bench: ToyBench) -> None:
    jobs = QueuedJobs(bench)
    started = jobs.start(JobRequest("PMC1", source="papers"))
    assert started.status == "queued"
    assert (jobs.status(started.job_id).status, jobs.status(started.job_id).source) == ("queued", "papers")
    assert [job.job_id for job in jobs.list(status="queued")] == [started.job_id]
    assert not jobs.status(started.job_id).has_ended
    workers.mark_running(bench.ledger, started.job_id, "run")
    assert jobs.status(started.job_id).status == "running"
    workers.end(bench.ledger, started.job_id, "completed")
    ended = jobs.status(started.job_id)
    assert (ended.status, ended.has_ended) == ("complete", True)
    assert [job.job_id for job in jobs.list(status="complete")] == [started.job_id]


def test_a_step_of_its_run_reports_what_its_definition_counts(bench: ToyBench) -> None:
    jobs = QueuedJobs(bench)
    job_id = jobs.start(JobRequest("PMC1", source="papers")).job_id
    ends = dict.fromkeys(PAPERS.stage_names, 99) | {
        "sections": 10, "chunks": 50, "dense_vectors": 70, "sparse_vectors": 90,
    }  # fmt: skip
    for stage in PAPERS.stage_names:
        with working_for(bench, "papers", job_id, "run", stage) as (job, moved):
            assert (job.source, job.repository_id) == ("papers", "PMC1")
            moved(1)
        if stage == "chunks":
            status = jobs.status(job_id)
            assert (status.files_scanned, status.chunks_created) == (7, 21)
        if stage != PAPERS.stage_names[-1]:
            assert jobs.status(job_id).progress_percentage == ends[stage]
    assert jobs.status(job_id).status == "complete"


def test_leftovers_of_others_do_not_advance_a_job(tmp_path: Path) -> None:
    assert PAPERS.jobs is not None
    scoped = replace(PAPERS.jobs, scope=lambda _bench, _job: Scope(sa.true(), ("PMC1/",)))
    with ToyBench(tmp_path, progress_update_interval_seconds=0.001) as bench:
        bench.sources = Sources([*load_sources().values(), replace(PAPERS, jobs=scoped)])
        jobs = QueuedJobs(bench)
        job_id = jobs.start(JobRequest("PMC1", source="papers")).job_id
        seen = []
        with working_for(bench, "papers", job_id, "run", "dense_vectors") as (_, work):
            assert work.worked is not None
            for others, own in ((0, 0), (100, 0), (100, 7), (0, 7), (50, 7)):
                time.sleep(0.002)
                work.worked(["PMC10/body"] * others + ["PMC1/body"] * own)
                work(1_000)  # so many were recorded, whoever's they are
                seen.append(jobs.status(job_id).progress_percentage)
    assert seen == [50, 50, 50 + 20 * 7 // 21, 50 + 20 * 14 // 21, 70]


def test_progress_within_a_stage_is_of_what_is_the_job_s_own(tmp_path: Path) -> None:
    with ToyBench(tmp_path, progress_update_interval_seconds=0.001) as bench:
        bench.sources = Sources([*load_sources().values(), PAPERS])
        jobs = QueuedJobs(bench)
        job_id = jobs.start(JobRequest("PMC1", source="papers")).job_id
        seen: dict[str, list[int]] = {}
        for stage, moves in (
            ("chunks", 7),
            ("dense_vectors", 21),
            ("sparse_vectors", 21),
            ("collection", 21),
        ):
            seen[stage] = []
            with working_for(bench, "papers", job_id, "run", stage) as (_, work):
                for count in range(moves + 1):
                    time.sleep(0.002)
                    work(count)
                    seen[stage].append(jobs.status(job_id).progress_percentage)
    assert seen["chunks"] == [10 + 40 * n // 7 for n in range(8)]
    assert seen["dense_vectors"] == [50 + 20 * n // 21 for n in range(22)]
    assert seen["sparse_vectors"] == [70 + 20 * n // 21 for n in range(22)]
    assert (seen["collection"][0], seen["collection"][-1]) == (95, 99)


def test_a_worker_that_cannot_stop_does_not_keep_its_job(bench: ToyBench) -> None:
    """An engine that is busy for long asks nobody whether to go on."""
    jobs = QueuedJobs(bench)
    job_id = jobs.start(JobRequest("PMC1", source="papers")).job_id

    def work_on() -> None:
        with working_for(bench, "papers", job_id, "run", "collection") as (_, work):
            assert (jobs.cancel(job_id).status, jobs.status(job_id).cancelled_at) == ("running", None)
            asked = time.monotonic()
            while jobs.status(job_id).status != "cancelled":
                assert time.monotonic() - asked < 5  # the promise
                time.sleep(0.1)
            while True:  # until it looks again
                work(1)
                time.sleep(0.1)

    with pytest.raises(JobCancelledError):
        work_on()
    assert jobs.status(job_id).status == "cancelled"
    assert jobs.status(job_id).cancelled_at is not None


def test_jobs_of_two_sources_with_one_target_id_are_two(bench: ToyBench) -> None:
    first = JobTarget("papers", "x", "x", "x")
    other = JobTarget("repositories", "x", "x", "x")
    from ingest_assets.jobs import queue

    started = [queue.start(bench.ledger, target).job_id for target in (first, other, first)]
    assert started[0] == started[2] != started[1]
    assert [job.source for job in workers.to_launch(bench.ledger, max_concurrent=5)] == [
        "papers",
        "repositories",
    ]
    assert workers.active_targets(bench.ledger, "papers") == {"x"}


def test_what_is_wrong_is_refused(bench: ToyBench) -> None:
    jobs = QueuedJobs(bench)
    with pytest.raises(JobTargetError, match="nonsense is not a paper"):
        jobs.start(JobRequest("nonsense", source="papers"))
    with pytest.raises(JobRefusedError, match="There is no source 'nope'"):
        jobs.start(JobRequest("PMC1", source="nope"))
    with pytest.raises(JobRefusedError, match="crm has no background jobs"):
        jobs.start(JobRequest("PMC1", source="crm"))
    with pytest.raises(JobRefusedError, match="There is no job status 'asleep'"):
        jobs.list(status="asleep")
