"""The jobs in the ledger's queue, which Dagster runs, as the interfaces need them (see `job_service`).

A caller sees what it asked for and what became of it. Why a job failed, which may name files of this machine
or what another system said, and where a local target is are for the operator (`ingest job`): callers get a
sentence with the job's id, and the target's name unless they gave the path themselves.

What belongs here: translation between the two. What does not: the queue itself (`jobs`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, Self, get_args

from ingest_assets.interfaces.job_service import JobRefusedError, JobRequest, JobStatus
from ingest_assets.interfaces.tokens import Caller
from ingest_assets.jobs import event_log, queue, rows
from ingest_assets.jobs.definition import JobsDefinition
from ingest_assets.jobs.errors import TooManyJobsError, UnknownJobError
from ingest_assets.jobs.events import COMPLETED, JobEvent
from ingest_assets.jobs.shown import shown_reason
from ingest_assets.jobs.transitions import CANCELLED
from ingest_assets.model import RequestError
from ingest_assets.queries.reach import Reach, require_source
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

    def __init__(
        self,
        bench: Workbench,
        connection: str = "http",
        caller: str | None = None,
        reach: Reach | None = None,
        *,
        here: bool = False,
    ) -> None:
        """`here`: whoever asks is at this machine, with the rights of this process."""
        self._bench, self._connection, self._caller, self._reach = bench, connection, caller, reach
        self._here = here

    @classmethod
    def of(cls, bench: Workbench, connection: str, caller: Caller, *, here: bool = False) -> Self:
        """The jobs as a caller may see them."""
        return cls(bench, connection, caller.name, caller.reach, here=here)

    def why_none_run(self) -> str | None:
        return queue.why_none_run(self._bench.ledger)

    def start(self, request: JobRequest) -> queue.JobStarted:
        jobs, project = self._definition(request.source), self._project(request)
        target, ref = jobs.target_for(self._bench, request.repo, request.git_ref, here=self._here)
        given = {GIVEN: request.repo} if _is_local(target.path) else {}
        options = self._options(request, is_local=bool(given))
        jobs.require(self._bench, target, ref, project or target.id, options)
        most = self._bench.settings.ingest_max_pending_jobs
        try:
            started = queue.start(
                self._bench.ledger,
                target,
                project_id=project,
                git_ref=ref,
                force_reindex=request.force_reindex,
                connection_id=self._connection,
                caller=queue.JobCaller(self._caller, most) if self._caller else None,
                metadata=given | options,
            )
        except TooManyJobsError:
            raise
        except RequestError as error:
            raise JobRefusedError(str(error)) from error
        shown = {"status": jobs.shown(started.status)} | ({"repo_path": request.repo} if given else {})
        return started.model_copy(update=shown)

    def _options(self, request: JobRequest, *, is_local: bool) -> dict[str, Any]:
        """What a job's metadata says of how it is to run."""
        options: dict[str, Any] = {queue.ALLOW_REMOVALS: True} if request.allow_removals else {}
        if request.streamed:
            options[queue.STREAMED] = True
        if is_local and self._here:
            options[queue.OWN_FOLDER] = True
        if is_local and request.committed_only is not None:
            options[queue.COMMITTED_ONLY] = request.committed_only
        return options

    def status(self, job_id: str) -> JobStatus:
        return self._status(self._row(job_id))

    def cancel(self, job_id: str) -> JobStatus:
        self._row(job_id)
        queue.cancel(self._bench.ledger, job_id)
        return self.status(job_id)

    def list(
        self,
        *,
        status: str | None = None,
        repo: str | None = None,
        git_ref: str | None = None,
        project_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobStatus]:
        if project_id is not None and self._reach is not None:
            self._reach.of_project(project_id)
        if repo is None:
            return self._list(limit, status=self._state(status), project_id=project_id)
        try:
            jobs = self._definition(None)
            target, ref = jobs.target_for(self._bench, repo, git_ref, here=self._here)
        except RequestError:
            return []  # a repository that may not be read was never indexed
        found = self._list(
            MAX_SCANNED,
            status=self._state(status),
            source=target.source,
            repository_id=target.id,
            project_id=project_id,
        )
        return [job for job in found if job.git_ref == ref][:limit]

    def events(self, job_id: str, *, after: int, limit: int) -> builtins.list[JobEvent]:
        if self._reach is not None:
            self._row(job_id)
        found = event_log.after(self._bench.ledger, job_id, after, limit)
        # Others are as everybody may see them.
        if any(_is_local(event["context"]["repo_url"]) or _reason(event) for event in found):
            job = self._status(self._row(job_id))
            found = [_as_shown(event, job) for event in found]
        return found

    def _list(self, limit: int, **where: Any) -> builtins.list[JobStatus]:
        found = queue.list_jobs(self._bench.ledger, limit=limit, within=self._within(), **where)
        return [self._status(one) for one in found]

    def _row(self, job_id: str) -> rows.JobRow:
        """Raises UnknownJobError, also for a job that is out of reach."""
        found = queue.status_of(self._bench.ledger, job_id)
        within = self._within()
        if within is not None and not within.holds(found["source"], found["project_id"]):
            raise UnknownJobError(job_id)
        return found

    def _within(self) -> queue.JobsOf | None:
        """The jobs within reach; None for all."""
        reach = self._reach
        if reach is None:
            return None
        with_projects = {name for name, source in self._bench.sources.items() if source.projects}
        return queue.JobsOf(reach.sources, frozenset(with_projects - reach.sources), reach.projects)

    def _project(self, request: JobRequest) -> str | None:
        """The project of a job that is to be started; None for the one that the target has by default."""
        reach, source = self._reach, jobs_meant(self._bench, request.source)
        if reach is None or source in reach.sources:
            return request.project_id
        require_source(self._bench, source, reach)
        if request.project_id is None and len(reach.projects) > 1:
            raise JobRefusedError("Your token is bound to several projects: name one of them, as project_id.")
        project = request.project_id or next(iter(reach.projects))
        reach.of_project(project)
        return project

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
