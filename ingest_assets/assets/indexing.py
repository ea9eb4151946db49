"""The indexing job that a run works for, if it works for one: taken, told how far it is, and settled.

What belongs here: what a step of a run has to do for its job. What does not: which jobs are run (see
`automation.indexing_jobs`), and the job itself (see `jobs`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import dagster as dg

from ingest_assets.catalog import REPOSITORIES
from ingest_assets.jobs.event_log import JobEvents
from ingest_assets.jobs.events import Draft
from ingest_assets.jobs.ingest import chunk_events, ingest_events
from ingest_assets.jobs.progress import JobProgress, Phase
from ingest_assets.jobs.rows import Job
from ingest_assets.jobs.workers import failing, mark_running, settle
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.stages.chunks import recorded_chunks
from ingest_assets.status import source_status
from ingest_assets.workbench import Workbench

JOB_TAG = "ingest/job_id"
_PHASES: dict[str, Phase] = {
    REPOSITORIES.documents: "scan",
    "chunks": "chunk",
    "dense_vectors": "embed",
    "sparse_vectors": "embed",
    "collection": "write",
}
_LAST = REPOSITORIES.stages[-1]


class Moved(Protocol):
    """Told how many items have moved, or what else is done. Raises JobCancelledError when it is to stop."""

    def __call__(self, count: int, message: str | None = None) -> None: ...


@contextmanager
def working_for(context: dg.AssetExecutionContext, bench: Workbench, stage: str) -> Iterator[Moved]:
    """For the length of a step: gives what is to be called while it works.

    A step that fails settles the job, and so does the last one when it is done; a run that works for no job
    is not concerned.
    """
    job_id = context.run.tags.get(JOB_TAG)
    if job_id is None:
        yield lambda count, message=None: None  # noqa: ARG005 - nobody is to be told
        return
    with failing(bench.ledger, job_id):
        job = mark_running(bench.ledger, job_id, context.run.run_id)
        s = bench.settings
        progress = JobProgress(
            bench.ledger,
            job.id,
            update_interval_s=s.progress_update_interval_seconds,
            cancel_interval_s=s.cancellation_check_interval_seconds,
        )
        phase, total = _PHASES[stage], _expected(bench, stage)
        counts = _counts(bench, job, stage)

        def moved(count: int, message: str | None = None) -> None:
            progress.report(phase, count, total, message=message, **counts)
            progress.check_cancelled()

        moved(0)
        yield moved
        progress.report(phase, 1, 1, **_counts(bench, job, stage, done=True))
        with JobEvents(bench.ledger, job.id) as log:
            for draft in _events(bench, job, stage, progress.check_cancelled):
                log.add(draft)
        progress.flush()
        if stage == _LAST:
            settle(bench.ledger, job.id, "completed")


def _counts(bench: Workbench, job: Job, stage: str, *, done: bool = False) -> dict[str, Any]:
    """What is known when a stage begins, or is `done`: what the stages before it, or it too, have made."""
    passed = REPOSITORIES.stages.index(stage) + done
    counts: dict[str, Any] = {}
    if passed > 0:
        counts["files_scanned"] = bench.repositories.files(job.repository_id)
    if passed > REPOSITORIES.stages.index("chunks"):
        counts["files_indexed"] = counts["files_scanned"]
        counts["chunks_created"] = bench.repositories.chunks(job.repository_id)
    return counts


def _expected(bench: Workbench, stage: str) -> int | None:
    """How many items a stage may have to move, at most; None where nobody can know yet."""
    if stage == REPOSITORIES.documents:
        return None
    counts = source_status(bench.ledger, REPOSITORIES.name)
    return counts.documents if stage == "chunks" else counts.chunks


def _events(
    bench: Workbench, job: Job, stage: str, check: Callable[[], None]
) -> Generator[Draft, None, None]:
    """What a stage that is done has to tell: the first of the files, the one that cuts them of the chunks.

    All that the repository holds, changed or not; so early that also a job that fails later on has told it.
    """
    if stage == REPOSITORIES.documents:
        source = bench.source(REPOSITORIES.name, job.repository_id)
        if isinstance(source, RepositorySource):
            yield from ingest_events(source, repo_url=job.repo_path, git_ref=job.git_ref, check=check)
    elif stage == "chunks":
        # As they are on record: to cut every file once more would cost more than a small change does.
        yield from chunk_events(recorded_chunks(bench.ledger, REPOSITORIES.name, job.repository_id), check)
