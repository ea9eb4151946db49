"""The jobs of the ledger's queue, as the doors want them (see `jobs_port`). Dagster runs them.

What belongs here: translating. Safe to share between threads, as the ledger is.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from ingest_assets.doors.jobs_port import (
    JobEvent,
    JobRefusedError,
    JobRequest,
    JobSettledError,
    JobStarted,
    JobState,
    JobStatus,
    UnknownJobError,
)
from ingest_assets.jobs import event_log, queue, rows
from ingest_assets.jobs.errors import JobStateError
from ingest_assets.jobs.errors import UnknownJobError as NoSuchJobError
from ingest_assets.model import ConfigurationError
from ingest_assets.repositories import bounds_of
from ingest_assets.sources.repositories.origin import Origin, parse_origin
from ingest_assets.workbench import Workbench

# Every file and chunk becomes an event: whoever starts a job over HTTP may want to watch it.
WITH_EVENTS = {"events": True}


class QueuedJobs:
    """A `Jobs` over one workbench's ledger."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._policy = bounds_of(bench.settings).policy

    def start(self, request: JobRequest) -> JobStarted:
        try:
            origin = self._origin(request.repo)
            kept = self._bench.repositories.add(request.repo, request.git_ref)
            repository = queue.Repository(origin.id, kept.location, origin.name)
            started = queue.start(
                self._bench.ledger,
                repository,
                project_id=request.project_id,
                git_ref=kept.ref,
                force_reindex=request.force_reindex,
                connection_id="http",
                metadata=WITH_EVENTS,
            )
        except ConfigurationError as error:
            raise JobRefusedError(str(error)) from error
        return JobStarted(started["job_id"], started["status"], started["message"], started["project_id"])

    def status(self, job_id: str) -> JobStatus:
        try:
            return _status(queue.status_of(self._bench.ledger, job_id))
        except NoSuchJobError as error:
            raise UnknownJobError(str(error)) from error

    def cancel(self, job_id: str) -> JobStatus:
        try:
            queue.cancel(self._bench.ledger, job_id)
        except NoSuchJobError as error:
            raise UnknownJobError(str(error)) from error
        except JobStateError as error:
            raise JobSettledError(str(error)) from error
        return self.status(job_id)

    def list(
        self,
        *,
        status: JobState | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        try:
            repository_id = self._origin(repo).id if repo else None
        except ConfigurationError:
            return []  # what may not be read was never indexed
        # Of one ref only those of it: it is not looked for further back than the newest.
        found = queue.list_jobs(
            self._bench.ledger,
            status=status,
            repository_id=repository_id,
            limit=limit if repo is None else 100,
        )
        jobs = [_status(one) for one in found]
        return [job for job in jobs if repo is None or job.git_ref == git_ref][:limit]

    def events(self, job_id: str, *, after: int, limit: int) -> builtins.list[JobEvent]:
        try:
            found = event_log.after(self._bench.ledger, job_id, after, limit)
        except NoSuchJobError as error:
            raise UnknownJobError(str(error)) from error
        return [JobEvent(event["sequence"], event) for event in found]

    def _origin(self, repo: str) -> Origin:
        return parse_origin(repo, self._policy)


def _status(found: rows.JobStatus) -> JobStatus:
    return JobStatus(
        job_id=found["job_id"],
        repo=found["repo_path"],
        git_ref=found["git_ref"],
        project_id=found["project_id"],
        status=found["status"],
        progress_percentage=found["progress_percentage"],
        progress_message=found["progress_message"],
        files_scanned=found["files_scanned"],
        files_indexed=found["files_indexed"],
        chunks_created=found["chunks_created"],
        error_message=found["error_message"],
        created_at=found["created_at"],
        started_at=found["started_at"],
        completed_at=found["completed_at"],
    )
