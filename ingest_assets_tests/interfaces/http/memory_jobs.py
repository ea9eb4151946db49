"""An implementation of `Jobs` in memory, which tests drive by hand."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, get_args

from ingest_assets.interfaces.job_service import JobRefusedError, JobRequest, JobStatus
from ingest_assets.jobs.errors import JobStateError, UnknownJobError
from ingest_assets.jobs.events import Context, JobEvent
from ingest_assets.jobs.queue import JobStarted
from ingest_assets.jobs.rows import Status

NOW = "2026-01-31T09:00:00+00:00"


class MemoryJobs:
    def __init__(self) -> None:
        self._lock = Lock()
        self.none_run: str | None = None
        self._jobs: dict[str, JobStatus] = {}
        self._events: dict[str, list[JobEvent]] = {}
        self.pages: list[int] = []  # how many events each call of `events` returned

    def why_none_run(self) -> str | None:
        return self.none_run

    def start(self, request: JobRequest) -> JobStarted:
        if ".." in request.repo:
            raise JobRefusedError("The path leaves its root.")
        with self._lock:
            job_id = f"job-{len(self._jobs) + 1}"
            job = JobStatus(
                job_id=job_id,
                source="repositories",
                repo=request.repo,
                repository_id=request.repo,
                git_ref=request.git_ref,
                project_id=request.project_id or request.repo,
                force_reindex=request.force_reindex,
                status="pending",
                progress_percentage=0,
                progress_message="Waiting.",
                files_scanned=0,
                files_indexed=0,
                chunks_created=0,
                error_message=None,
                error_type=None,
                missing={},
                cancel_requested=False,
                created_at=NOW,
                started_at=None,
                completed_at=None,
                cancelled_at=None,
            )
            self._jobs[job_id], self._events[job_id] = job, []
        return JobStarted(
            message="It waits for its turn.",
            repo_path=job.repo,
            existing=False,
            **job.model_dump(include=set(JobStarted.model_fields)),
        )

    def status(self, job_id: str) -> JobStatus:
        with self._lock:
            if job_id not in self._jobs:
                raise UnknownJobError(job_id)
            return self._jobs[job_id]

    def cancel(self, job_id: str) -> JobStatus:
        found = self.status(job_id)
        if found.has_ended:
            raise JobStateError(f"The job has ended: it is {found.status}.")
        return self.end(job_id, "cancelled")

    def list(
        self,
        *,
        status: str | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        project_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        if status is not None and status not in get_args(Status):
            raise JobRefusedError(f"There is no job status {status!r}.")
        with self._lock:
            newest = reversed(self._jobs.values())
            found = [
                job
                for job in newest
                if (status is None or job.status == status)
                and (repo is None or (job.repo == repo and job.git_ref == git_ref))
                and project_id in {None, job.project_id}
            ]
        return found[:limit]

    def events(self, job_id: str, *, after: int, limit: int) -> Sequence[JobEvent]:
        self.status(job_id)
        with self._lock:
            page = self._events[job_id][after + 1 : after + 1 + limit]
            self.pages.append(len(page))
        return page

    def emit(self, job_id: str, kind: str, **payload: Any) -> None:
        job = self.status(job_id)
        with self._lock:
            sequence = len(self._events[job_id])
            event = JobEvent(
                event_id=f"{job_id}-{sequence}",
                event_type=f"ingest.{kind}.v1",  # type: ignore[typeddict-item]  # one of the five
                timestamp=NOW,
                sequence=sequence,
                context=Context(job_id=job_id, repo_url=job.repo, git_ref=job.git_ref),
                meta={},
                payload=payload,
            )
            self._events[job_id].append(event)

    def end(self, job_id: str, status: Status) -> JobStatus:
        found = self.status(job_id)
        with self._lock:
            self._jobs[job_id] = found.model_copy(update={"status": status, "completed_at": NOW})
            return self._jobs[job_id]

    def finish(self, job_id: str, chunks: int = 3) -> None:
        """Emit the events of a small repository's job, and end it."""
        self.emit(job_id, "started", repo_url="https://example.org/r.git", git_ref=None, commit_sha="0" * 40)
        for i in range(chunks):
            self.emit(
                job_id, "chunk_created", chunk_id=str(i), content=f"Zeile {i}\r\nmit ä und \u2028 darin"
            )
        self.emit(job_id, "completed", chunks_created=chunks, error=None)
        self.end(job_id, "completed")
