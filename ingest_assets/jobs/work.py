"""What a step of a run does for its job: takes it, reports progress, and ends it.

What belongs here: the order of these. What does not: which jobs are run and by whom (`orchestration`), rows
(`workers`), and what a source's jobs do (their definition).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ingest_assets.jobs.definition import JobsDefinition
from ingest_assets.jobs.event_log import JobEvents
from ingest_assets.jobs.progress import JobProgress, Phase
from ingest_assets.jobs.rows import Job
from ingest_assets.jobs.workers import end, failing, mark_running

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

_PHASES: dict[str, Phase] = {
    "chunks": "chunk",
    "dense_vectors": "embed",
    "sparse_vectors": "embed",
    "collection": "write",
}


class Moved(Protocol):
    """Takes how many items have moved, or what else is done. Raises JobCancelledError to stop the work."""

    def __call__(self, count: int, message: str | None = None) -> None: ...


def not_for_a_job(count: int, message: str | None = None) -> None:
    """For a run without a job: does nothing."""


@contextmanager
def working_for(
    bench: Workbench, source: str, job_id: str, worker_id: str, stage: str
) -> Iterator[tuple[Job, Moved]]:
    """For the duration of a step: the job, and a function to call as the step makes progress.

    A failing step ends the job as failed, or as cancelled; the last step ends it as completed, or as failed
    if what it is for was not done although every step completed.
    """
    definition = bench.sources[source]
    jobs = definition.jobs
    assert jobs is not None, f"{source} has no jobs"
    with failing(bench.ledger, job_id):
        job = mark_running(bench.ledger, job_id, worker_id)
        s = bench.settings
        progress = JobProgress(
            bench.ledger,
            job.id,
            update_interval_s=s.progress_update_interval_seconds,
            cancel_interval_s=s.cancellation_check_interval_seconds,
        )
        stages = definition.stage_names
        phase = jobs.phases.get(stage) or _PHASES.get(stage, "scan")
        total = _expected(bench, source, phase)
        counts = _counts(bench, jobs, job, stages.index(stage), stages.index("chunks"))

        def moved(count: int, message: str | None = None) -> None:
            progress.report(phase, count, total, message=message, **counts)
            progress.check_cancelled()

        moved(0)
        yield job, moved
        done = _counts(bench, jobs, job, stages.index(stage) + 1, stages.index("chunks"))
        progress.report(phase, 1, 1, **done)
        with JobEvents(bench.ledger, job.id) as log:
            for draft in jobs.events(bench, job, stage, progress.check_cancelled):
                log.add(draft)
        progress.flush()
        if stage == stages[-1]:
            unmet = jobs.unmet(bench, job)
            end(bench.ledger, job.id, "completed" if unmet is None else "failed", unmet)


def _counts(bench: Workbench, jobs: JobsDefinition, job: Job, passed: int, chunks: int) -> dict[str, Any]:
    """The counts known once `passed` stages are done. `chunks` is the position of that stage."""
    if passed == 0:
        return {}
    made = jobs.counts(bench, job.repository_id)
    if passed <= chunks:
        return {"files_scanned": made.documents}
    return {
        "files_scanned": made.documents,
        "files_indexed": made.documents,
        "chunks_created": made.chunks,
    }


def _expected(bench: Workbench, source: str, phase: Phase) -> int | None:
    """How many items a phase may have to move at most; None while that cannot be known."""
    if phase == "scan":
        return None
    documents, chunks = bench.recorded(source)
    return documents if phase == "chunk" else chunks
