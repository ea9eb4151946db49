"""The jobs of the ledger's queue, as the doors want them (see `jobs_port`). Dagster runs them.

What belongs here: translating. Safe to share between threads, as the ledger is.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from ingest_assets.doors.jobs_port import JobRefusedError, JobRequest, JobStatus
from ingest_assets.jobs import event_log, queue, rows
from ingest_assets.jobs.events import Event
from ingest_assets.model import ConfigurationError
from ingest_assets.repositories import bounds_of
from ingest_assets.sources.repositories.origin import Origin, checked_ref, parse_origin
from ingest_assets.workbench import Workbench


class QueuedJobs:
    """A `Jobs` over one workbench's ledger. What it starts is noted as of a connection, with metadata."""

    def __init__(
        self, bench: Workbench, connection: str = "http", metadata: Mapping[str, Any] | None = None
    ) -> None:
        self._bench, self._connection, self._metadata = bench, connection, metadata
        self._policy = bounds_of(bench.settings).policy

    def start(self, request: JobRequest) -> queue.JobStarted:
        try:
            origin = self._origin(request.repo)
            wanted = self._bench.repositories.checked(request.repo, self._ref(origin, request.git_ref))
            return queue.start(
                self._bench.ledger,
                queue.Repository(origin.id, wanted.location, origin.name),
                project_id=request.project_id,
                git_ref=wanted.ref,
                force_reindex=request.force_reindex,
                connection_id=self._connection,
                metadata=self._metadata,
            )
        except ConfigurationError as error:
            raise JobRefusedError(str(error)) from error

    def status(self, job_id: str) -> JobStatus:
        return _status(queue.status_of(self._bench.ledger, job_id))

    def cancel(self, job_id: str) -> JobStatus:
        queue.cancel(self._bench.ledger, job_id)
        return self.status(job_id)

    def list(
        self,
        *,
        status: rows.Status | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        try:
            origin = self._origin(repo) if repo else None
        except ConfigurationError:
            return []  # what may not be read was never indexed
        # Of one ref only those of it: it is not looked for further back than the newest.
        found = queue.list_jobs(
            self._bench.ledger,
            status=status,
            repository_id=origin.id if origin else None,
            limit=limit if origin is None else 100,
        )
        jobs = [_status(one) for one in found]
        if origin is None:
            return jobs
        ref = checked_ref(self._ref(origin, git_ref))
        return [job for job in jobs if job.git_ref == ref][:limit]

    def events(self, job_id: str, *, after: int, limit: int) -> builtins.list[Event]:
        return event_log.after(self._bench.ledger, job_id, after, limit)

    def _origin(self, repo: str) -> Origin:
        return parse_origin(repo, self._policy)

    def _ref(self, origin: Origin, given: str | None) -> str | None:
        """The one given; without any that of the job that is at it, or of the repository as it is kept."""
        if given:
            return given
        for status in ("pending", "running"):
            at_it = queue.list_jobs(self._bench.ledger, status=status, repository_id=origin.id)
            for job in at_it:
                if not job["cancel_requested"]:
                    return job["git_ref"]
        known = (one for one in self._bench.repositories.all() if one.id == origin.id and not one.removed)
        return next((one.ref for one in known), None)


def _status(found: rows.JobStatus) -> JobStatus:
    """What the ledger notes for itself is left out."""
    return JobStatus.model_validate({"repo": found["repo_path"], **found})
