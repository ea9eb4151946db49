"""`/ingest` and `/jobs/{job_id}/events`: a job's events as a stream of server-sent events.

What belongs here: which job is followed, and from where. What does not: the stream itself (`streaming`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.interfaces.http.jobs import job_id, jobs_of
from ingest_assets.interfaces.http.problems import RETRY_S, Problem
from ingest_assets.interfaces.http.requests import EventsQuery, IngestQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.http.streaming import EventStream, Feed, last_event_id, place
from ingest_assets.interfaces.job_service import JobRequest, Jobs
from ingest_assets.jobs.event_log import MAX_SEQUENCE, is_last
from ingest_assets.sources.operations import StreamEvent


class JobFeed(Feed):
    """The events of one job, which end with it."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self._jobs, self._job_id = jobs, job_id
        self.greeting = b": job %s\n\n" % job_id.encode()

    async def after(self, sequence: int, limit: int) -> Sequence[StreamEvent]:
        """See `Feed`."""
        page = await asyncio.to_thread(self._jobs.events, self._job_id, after=sequence, limit=limit)
        return [StreamEvent(event["sequence"], dict(event)) for event in page]

    async def has_ended(self) -> bool:
        """See `Feed`."""
        return (await asyncio.to_thread(self._jobs.status, self._job_id)).has_ended

    def is_last(self, event: StreamEvent) -> bool:
        """See `Feed`."""
        return is_last(event.body)


async def ingest(service: Service, request: Request, given: IngestQuery) -> Response:
    """Start indexing a repository and stream the job's events.

    With `Last-Event-ID` no job is started: the newest job of the same repository and reference is streamed
    from after that event. Where nothing runs jobs, no job is started.
    """
    jobs, last = jobs_of(service, request), last_event_id(request, MAX_SEQUENCE)
    with place(service, request) as give_back:  # before a job is started for a stream that is refused
        if last is not None:
            find = partial(jobs.list, repo=given.repo_url, git_ref=given.git_ref, project_id=given.project_id)
            newest = await asyncio.to_thread(find, limit=1)
            if newest:
                return await _response(service, jobs, newest[0].job_id, last, give_back)
        if (reason := await asyncio.to_thread(jobs.why_none_run)) is not None:
            raise Problem(503, "nothing_runs_jobs", reason, {"Retry-After": str(RETRY_S)})
        wanted = JobRequest(
            given.repo_url, given.git_ref, given.project_id, given.force_reindex, streamed=True
        )
        started = await asyncio.to_thread(jobs.start, wanted)
        return await _response(service, jobs, started.job_id, -1, give_back)


async def events(service: Service, request: Request, given: EventsQuery) -> Response:
    """Stream or replay a job's events."""
    last, jobs = last_event_id(request, MAX_SEQUENCE), jobs_of(service, request)
    after = given.after if last is None else last
    with place(service, request) as give_back:
        return await _response(service, jobs, job_id(request), after, give_back)


async def _response(
    service: Service, jobs: Jobs, job_id: str, after: int, give_back: Callable[[], None]
) -> Response:
    found = await asyncio.to_thread(jobs.status, job_id)  # raises before the response begins
    feed = JobFeed(jobs, job_id)
    if after >= 0 and found.has_ended and not await feed.after(after, 1):
        give_back()
        # The client has received everything. 204 tells a browser's EventSource not to reconnect.
        return Response(status_code=204)
    return EventStream(service, feed, after, give_back, {"Ingest-Job-Id": job_id})
