"""The jobs in the ledger's queue, which Dagster runs, as the interfaces need them (see `job_service`).

What belongs here: translation between the two. What does not: the queue itself (`jobs`).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ingest_assets.interfaces.job_service import JobRefusedError, JobRequest, JobStatus
from ingest_assets.jobs import event_log, queue, rows
from ingest_assets.jobs.definition import JobsDefinition
from ingest_assets.jobs.events import JobEvent
from ingest_assets.model import ConfigurationError
from ingest_assets.queries.status import jobs_meant
from ingest_assets.workbench import Workbench

# The jobs of one reference are looked for among this many of the repository's newest jobs.
MAX_SCANNED = 100


class QueuedJobs:
    """`Jobs` on the ledger of a workbench; thread-safe, as the ledger is.

    The jobs that it starts are recorded with the name of the connection and with the metadata.
    """

    def __init__(
        self, bench: Workbench, connection: str = "http", metadata: Mapping[str, Any] | None = None
    ) -> None:
        self._bench, self._connection, self._metadata = bench, connection, metadata

    def start(self, request: JobRequest) -> queue.JobStarted:
        try:
            jobs = self._definition(request.source)
            target, ref = jobs.target(self._bench, request.repo, request.git_ref)
            started = queue.start(
                self._bench.ledger,
                target,
                project_id=request.project_id,
                git_ref=ref,
                force_reindex=request.force_reindex,
                connection_id=self._connection,
                metadata=self._metadata,
            )
        except ConfigurationError as error:
            raise JobRefusedError(str(error)) from error
        return started.model_copy(update={"status": jobs.shown(started.status)})

    def status(self, job_id: str) -> JobStatus:
        return self._status(queue.status_of(self._bench.ledger, job_id))

    def cancel(self, job_id: str) -> JobStatus:
        queue.cancel(self._bench.ledger, job_id)
        return self.status(job_id)

    def list(
        self,
        *,
        status: str | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        if repo is None:
            return self._list(limit, status=self._state(status))
        try:
            target, ref = self._definition(None).target(self._bench, repo, git_ref)
        except ConfigurationError:
            return []  # a repository that may not be read was never indexed
        found = self._list(
            MAX_SCANNED, status=self._state(status), source=target.source, repository_id=target.id
        )
        return [job for job in found if job.git_ref == ref][:limit]

    def events(self, job_id: str, *, after: int, limit: int) -> builtins.list[JobEvent]:
        return event_log.after(self._bench.ledger, job_id, after, limit)

    def _list(self, limit: int, **where: Any) -> builtins.list[JobStatus]:
        return [self._status(one) for one in queue.list_jobs(self._bench.ledger, limit=limit, **where)]

    def _definition(self, source: str | None) -> JobsDefinition:
        jobs = self._bench.sources[jobs_meant(self._bench, source)].jobs
        assert jobs is not None
        return jobs

    def _all_jobs(self) -> builtins.list[JobsDefinition]:
        return [source.jobs for source in self._bench.sources.with_jobs() if source.jobs]

    def _state(self, shown: str | None) -> rows.Status | None:
        """The state that any source shows by this name."""
        if shown is None:
            return None
        for jobs in self._all_jobs():
            if status := jobs.status_of(shown):
                return status
        states = {jobs.shown(state): None for jobs in self._all_jobs() for state in get_args(rows.Status)}
        raise JobRefusedError(f"There is no job status {shown!r}. Statuses: {', '.join(states)}.")

    def _status(self, found: rows.JobRow) -> JobStatus:
        """A row of the queue as users see it, without the columns that only the queue needs."""
        sources = self._bench.sources.with_jobs()
        jobs = next((each.jobs for each in sources if each.name == found["source"]), None)
        shown = jobs.shown(found["status"]) if jobs else found["status"]
        return JobStatus.model_validate({**found, "repo": found["repo_path"], "status": shown})
