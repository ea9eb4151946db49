"""What a step of a run does for its job: takes it, reports progress, and ends it.

What belongs here: the order of these. What does not: which jobs are run and by whom (`orchestration`), rows
(`workers`), and what a source's jobs do (their definition).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ingest_assets.jobs.definition import JobsDefinition
from ingest_assets.jobs.event_log import JobEvents
from ingest_assets.jobs.events import CHUNK_CREATED
from ingest_assets.jobs.missing import missing
from ingest_assets.jobs.progress import JobProgress, Phase
from ingest_assets.jobs.rows import MISSING, Job
from ingest_assets.jobs.workers import add_result, cancel_asked_at, end, failing, mark_running
from ingest_assets.model import IngestError
from ingest_assets.stopping import stopped_by

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ingest_assets.jobs.events import Draft
    from ingest_assets.ledger import Ledger
    from ingest_assets.model import SkippedItem
    from ingest_assets.sources.definition import SourceDefinition
    from ingest_assets.workbench import Workbench

# A job is cancelled within 5 s: its worker has this long to stop by itself.
PATIENCE_S, LOOKED_AT_EVERY_S = 3.0, 1.0
_PHASES: dict[str, Phase] = {
    "chunks": "chunk",
    "dense_vectors": "embed",
    "sparse_vectors": "embed",
    "collection": "write",
}


class Working:
    """What a step reports to its job as it goes: how far it is, and its events."""

    def __init__(self, bench: Workbench, source: str, job: Job, stage: str, progress: JobProgress) -> None:
        definition = bench.sources[source]
        jobs = definition.jobs
        assert jobs is not None
        self._bench, self._jobs, self._job, self._progress = bench, jobs, job, progress
        self._reads, self._chunks = stage == definition.documents, stage == "chunks"
        self.phase = jobs.phases.get(stage) or _PHASES.get(stage, "scan")
        alike = [each for each in definition.stage_names if _PHASES.get(each) == self.phase]
        # Stages of one phase share its band.
        self._share = (alike.index(stage), len(alike)) if stage in alike else (0, 1)
        self._passed = _counts(bench, jobs, job, definition, stage, done=False)
        self._total = _expected(self._passed, self.phase)
        self._scope = scope = jobs.scope(bench, job)
        # Chunks of its own that were embedded or written. Where it is not known which are, all count.
        self._prefixes = scope.prefixes if scope is not None else ()
        self._worked: int | None = 0 if self._prefixes and self.phase in {"embed", "write"} else None
        self._files = self._chunks_told = 0  # that were told of
        self._told, self._cursor = False, ""
        self._last: tuple[int, str | None] = (0, None)
        self._log = JobEvents(bench.ledger, job.id)

    def __call__(self, count: int, message: str | None = None) -> None:
        """So many items have moved, or something else is done. Raises JobCancelledError to stop the work."""
        self._last = (count, message)
        before, stages = self._share
        done, total = count, self._total
        if self._files:
            done = self._files
        if self._worked is not None:
            done = self._worked
        if total is not None:
            done, total = before * total + min(done, total), stages * total
        counts = dict(self._passed)
        if self._files and self.phase == "scan":
            counts["files_scanned"] = self._files
        if self._files and self._chunks:
            counts |= {"files_indexed": self._files, "chunks_created": self._chunks_told}
        self._progress.report(self.phase, done, total, message=message, **counts)
        self._progress.check_cancelled()

    def check(self) -> None:
        """Nothing has moved, but the work goes on. Raises JobCancelledError to stop it."""
        self(*self._last)

    @property
    def end_of_share(self) -> tuple[int, int]:
        """The stage's end, within its phase."""
        before, stages = self._share
        return before + 1, stages

    @property
    def again(self) -> sa.ColumnElement[bool] | None:
        """See `Run.again`."""
        if self._scope is None or not (self._job.force_reindex and self._jobs.rebuilds):
            return None
        return self._scope.documents

    def begun(self) -> None:
        """What the job asks for has been prepared."""
        if self._jobs.events is not None:
            self._tell(self._jobs.events.begun(self._bench, self._job))

    def read(self, ids: Sequence[str], skipped: Sequence[SkippedItem]) -> None:
        """See `Run.read`."""
        self._told = True
        self._files += len(ids)
        if self._jobs.events is not None:
            self._tell(self._jobs.events.read(self._bench, self._job, ids, skipped))
        self.check()

    def reached(self, document_id: str) -> None:
        """See `Run.reached`."""
        self._made(document_id)
        self._cursor = document_id

    @property
    def worked(self) -> Callable[[Iterable[str]], None] | None:
        """See `Run.worked`."""
        return None if self._worked is None else self._count_own

    def _count_own(self, document_ids: Iterable[str]) -> None:
        assert self._worked is not None
        self._worked += sum(each.startswith(self._prefixes) for each in document_ids)
        self.check()

    def finish(self) -> None:
        """The step is done: tell of what was not yet told."""
        if self._jobs.events is not None and self._reads and not self._told:
            self._tell(self._jobs.events.recorded(self._bench, self._job))
        if self._chunks:
            self._made(None)

    def _made(self, until: str | None) -> None:
        if self._chunks and self._jobs.events is not None:
            self._tell(self._jobs.events.made(self._bench, self._job, self._cursor, until))

    def _tell(self, drafts: Iterator[Draft]) -> None:
        last = ""
        with self._log as log:
            for draft in drafts:
                self._progress.check_cancelled()
                if draft.event_type == CHUNK_CREATED and draft.payload["file_path"] != last:
                    last = draft.payload["file_path"]
                    self._files += 1
                    self.check()
                self._chunks_told += draft.event_type == CHUNK_CREATED
                log.add(draft)


class NoJob:
    """For a run without a job: does nothing."""

    again = None

    def __call__(self, count: int, message: str | None = None) -> None: ...

    def begun(self) -> None: ...

    def read(self, ids: Sequence[str], skipped: Sequence[SkippedItem]) -> None: ...

    worked = None

    def reached(self, document_id: str) -> None: ...


@contextmanager
def working_for(
    bench: Workbench,
    source: str,
    job_id: str,
    worker_id: str,
    stage: str,
    failed_checks: Callable[[], Sequence[str]] = tuple,
) -> Iterator[tuple[Job, Working]]:
    """For the duration of a step: the job, and what the step reports to.

    A failing step ends the job as failed, or as cancelled; the last step ends it as completed, or as failed
    if what it is for was not done, or anything of it is missing, although every step completed.
    `failed_checks` gives the names of the checks that an index with something in it does not pass.
    """
    definition = bench.sources[source]
    jobs = definition.jobs
    assert jobs is not None, f"{source} has no jobs"
    job = mark_running(bench.ledger, job_id, worker_id)  # one that another worker has is not ours to end
    with failing(bench.ledger, job.id):
        s = bench.settings
        progress = JobProgress(
            bench.ledger,
            job.id,
            update_interval_s=s.progress_update_interval_seconds,
            cancel_interval_s=s.cancellation_check_interval_seconds,
        )
        bench.job = job
        work = Working(bench, source, job, stage, progress)
        work(0)
        try:
            with stopped_by(work.check), _settled_in_time(bench.ledger, job.id):
                yield job, work
                work.finish()
        finally:
            bench.job = None
        done = _counts(bench, jobs, job, definition, stage, done=True)
        progress.report(work.phase, *work.end_of_share, **done)
        progress.flush()
        if stage == definition.stage_names[-1]:
            unmet = _unmet(bench, source, jobs, job, failed_checks)
            end(bench.ledger, job.id, "completed" if unmet is None else "failed", unmet)


@contextmanager
def _settled_in_time(ledger: Ledger, job_id: str) -> Iterator[None]:
    """A job whose worker cannot stop in time (an engine is at work, say) is cancelled without waiting for it.

    The worker finds that out as soon as it looks; what it is at may still be recorded.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOKED_AT_EVERY_S):
            with suppress(IngestError):  # a ledger that is away for a moment
                since = cancel_asked_at(ledger, job_id)
                if since is not None and time.time() - since > PATIENCE_S:
                    end(ledger, job_id, "cancelled")
                    return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _unmet(
    bench: Workbench,
    source: str,
    jobs: JobsDefinition,
    job: Job,
    failed_checks: Callable[[], Sequence[str]],
) -> IngestError | None:
    """Why a job whose stages have all completed is no success. What is missing becomes part of its result."""
    unmet, scope = jobs.unmet(bench, job), jobs.scope(bench, job)
    if scope is None:
        return unmet
    lacking = missing(bench, source, scope, failed_checks)
    if lacking.counts:
        add_result(bench.ledger, job.id, {MISSING: lacking.counts})
    return unmet or lacking.error


def _counts(
    bench: Workbench, jobs: JobsDefinition, job: Job, definition: SourceDefinition, stage: str, *, done: bool
) -> dict[str, Any]:
    """The counts that are known before a stage, or once it is done."""
    stages = definition.stage_names
    passed = stages.index(stage) + done
    if passed <= stages.index(definition.documents):
        return {}
    made = jobs.counts(bench, job.repository_id)
    if passed <= stages.index("chunks"):
        return {"files_scanned": made.documents}
    return {
        "files_scanned": made.documents,
        "files_indexed": made.cut,
        "chunks_created": made.chunks,
    }


def _expected(counts: Mapping[str, int], phase: Phase) -> int | None:
    """How many items of the job's own a phase may have to move at most; None while that cannot be known."""
    if phase == "scan":
        return None
    return counts.get("files_scanned" if phase == "chunk" else "chunks_created")
