"""The jobs in the ledger's queue, which Dagster runs, as the interfaces need them (see `job_service`).

A caller sees what it asked for and what became of it. Why a job failed, which may name files of this machine
or what another system said, and where a local target is are for the operator (`ingest job`): callers get a
sentence with the job's id, and the target's name unless they gave the path themselves.

What belongs here: translation between the two. What does not: the queue itself (`jobs`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, get_args

from ingest_assets.interfaces.job_service import JobRefusedError, JobRequest, JobStatus
from ingest_assets.jobs import event_log, queue, rows
from ingest_assets.jobs.definition import JobsDefinition
from ingest_assets.jobs.errors import TooManyJobsError
from ingest_assets.jobs.events import COMPLETED, JobEvent
from ingest_assets.jobs.shown import shown_reason
from ingest_assets.jobs.transitions import CANCELLED
from ingest_assets.model import RequestError
from ingest_assets.queries.status import jobs_meant
from ingest_assets.workbench import Workbench

GIVEN = "repo"  # the path that the caller gave, in a job's metadata
# The jobs of one reference are looked for among this many of the repository's newest jobs.
MAX_SCANNED = 100


class QueuedJobs:
    """`Jobs` on the ledger of a workbench; thread-safe, as the ledger is.

    The jobs that it starts are recorded with the name of the connection and of the caller: what callers see
    of a job depends on who started it.
    """

    def __init__(self, bench: Workbench, connection: str = "http", caller: str | None = None) -> None:
        self._bench, self._connection, self._caller = bench, connection, caller

    def why_none_run(self) -> str | None:
        return queue.why_none_run(self._bench.ledger)

    def start(self, request: JobRequest) -> queue.JobStarted:
        jobs = self._definition(request.source)
        target, ref = jobs.target(self._bench, request.repo, request.git_ref)
        given = {GIVEN: request.repo} if _is_local(target.path) else {}
        allowed = {queue.ALLOW_REMOVALS: True} if request.allow_removals else {}
        most = self._bench.settings.ingest_max_pending_jobs
        try:
            started = queue.start(
                self._bench.ledger,
                target,
                project_id=request.project_id,
                git_ref=ref,
                force_reindex=request.force_reindex,
                connection_id=self._connection,
                caller=queue.JobCaller(self._caller, most) if self._caller else None,
                metadata=given | allowed,
            )
        except TooManyJobsError:
            raise
        except RequestError as error:
            raise JobRefusedError(str(error)) from error
        shown = {"status": jobs.shown(started.status)} | ({"repo_path": request.repo} if given else {})
        return started.model_copy(update=shown)

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
        except RequestError:
            return []  # a repository that may not be read was never indexed
        found = self._list(
            MAX_SCANNED, status=self._state(status), source=target.source, repository_id=target.id
        )
        return [job for job in found if job.git_ref == ref][:limit]

    def events(self, job_id: str, *, after: int, limit: int) -> builtins.list[JobEvent]:
        found = event_log.after(self._bench.ledger, job_id, after, limit)
        # Others are as everybody may see them.
        if any(_is_local(event["context"]["repo_url"]) or _reason(event) for event in found):
            job = self._status(queue.status_of(self._bench.ledger, job_id))
            found = [_as_shown(event, job) for event in found]
        return found

    def _list(self, limit: int, **where: Any) -> builtins.list[JobStatus]:
        return [self._status(one) for one in queue.list_jobs(self._bench.ledger, limit=limit, **where)]

    def _definition(self, source: str | None) -> JobsDefinition:
        try:
            jobs = self._bench.sources[jobs_meant(self._bench, source)].jobs
        except RequestError as error:
            raise JobRefusedError(str(error)) from error
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
        own = {"repo": self._repo(found), "status": shown, "error_message": shown_reason(found)}
        return JobStatus.model_validate({**found, **own})

    def _repo(self, found: rows.JobRow) -> str:
        """The job's target as the caller may see it."""
        if not _is_local(found["repo_path"]):
            return found["repo_path"]
        metadata = found["metadata"]
        own = self._caller is not None and metadata.get(queue.CALLER) == self._caller
        return str(metadata.get(GIVEN) or found["repo_name"]) if own else found["repo_name"]


def _is_local(location: str) -> bool:
    """Whether it is a path of this machine. A URL holds no credentials here, and names another machine."""
    return "://" not in location


def _reason(event: JobEvent) -> str | None:
    """Why the job failed, on its last event."""
    reason: str | None = event["payload"].get("error") if event["event_type"] == COMPLETED else None
    return reason


def _as_shown(event: JobEvent, job: JobStatus) -> JobEvent:
    """An event that says no more of the job than its status does."""
    own = {"repo_url": job.repo} if "repo_url" in event["payload"] else {}
    if _reason(event):
        own["error"] = job.error_message or CANCELLED
    context = {**event["context"], "repo_url": job.repo}
    return {**event, "context": context, "payload": event["payload"] | own}  # type: ignore[typeddict-item]
