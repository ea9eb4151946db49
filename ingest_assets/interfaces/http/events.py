"""`/ingest` and `/jobs/{job_id}/events`: a job's events as a stream of server-sent events.

Events are fetched from the ledger a page at a time, as fast as the client reads them: a slow client holds one
page in memory, and never delays the job. The id of an event is its sequence number within the job. A client
that lost its connection sends the last id it received (`Last-Event-ID`, as browsers do) and continues there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingest_assets.interfaces.http.jobs import job_id
from ingest_assets.interfaces.http.problems import Problem, busy, invalid
from ingest_assets.interfaces.http.requests import EventsQuery, IngestQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.job_service import JobRequest, Jobs
from ingest_assets.jobs.event_log import is_last
from ingest_assets.jobs.events import JobEvent

log = logging.getLogger(__name__)
PAGE = 200
MAX_DIGITS = 18  # of a sequence number
POLL_S = 0.2  # another process may write the events, and it cannot notify this one
# A client that reads nothing for this long is disconnected; it can resume.
SEND_TIMEOUT_S = 60.0
HEADERS = {"X-Accel-Buffering": "no"}  # otherwise nginx would buffer events


class EventStream(Response):
    """Streams a job's events until the job ends, or the client disconnects or stops reading."""

    media_type = "text/event-stream"

    def __init__(self, service: Service, job_id: str, after: int) -> None:
        self.status_code, self.background = 200, None
        self.init_headers({**HEADERS, "Ingest-Job-Id": job_id})
        self._service, self._job_id, self._after = service, job_id, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body"})
            return
        if self._service.streams >= self._service.settings.ingest_http_max_streams:
            raise busy("Too many event streams are open.", 5)
        self._service.streams += 1
        sender = asyncio.create_task(self._send_events(send))
        disconnected = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({sender, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                sender.result()
        finally:
            self._service.streams -= 1
            for task in (sender, disconnected):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _send_events(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        parts = frames(self._service, self._job_id, self._after)
        try:
            async for part in parts:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
        except TimeoutError:
            log.info("A client of job %s's events read nothing for %g s.", self._job_id, SEND_TIMEOUT_S)
        finally:
            await parts.aclose()  # type: ignore[attr-defined]  # it is a generator


async def _disconnected(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def frames(service: Service, job_id: str, after: int) -> AsyncIterator[bytes]:
    """A job's events after a sequence number, as they are written, and a comment now and then meanwhile."""
    jobs, last_sent, ended = service.require_jobs(), time.monotonic(), False
    yield b": job %s\n\n" % job_id.encode()
    while True:
        page = await asyncio.to_thread(jobs.events, job_id, after=after, limit=PAGE)
        for event in page:
            yield frame(event)
            after, last_sent = event["sequence"], time.monotonic()
            if is_last(event):
                return
        # Once the job has ended, events are fetched one more time: its last ones may have been written
        # between the previous fetch and the look at its status.
        if service.closing.is_set() or (ended and not page):
            return
        if page:
            continue
        ended = (await asyncio.to_thread(jobs.status, job_id)).has_ended
        if not ended:
            if time.monotonic() - last_sent >= service.keep_alive_s:
                yield b": keep-alive\n\n"
                last_sent = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await service.closing.wait()


def frame(event: JobEvent) -> bytes:
    """One event as it is sent."""
    # ASCII only, because some Unicode characters would be read as the end of a line.
    return f"id: {event['sequence']}\ndata: {json.dumps(event)}\n\n".encode("ascii")


async def ingest(service: Service, request: Request, given: IngestQuery) -> Response:
    """Start indexing a repository and stream the job's events.

    With `Last-Event-ID` no job is started: the newest job of the same repository and reference is streamed
    from after that event.
    """
    jobs, last = service.require_jobs(), _last_event_id(request)
    if last is not None:
        newest = await asyncio.to_thread(jobs.list, repo=given.repo_url, git_ref=given.git_ref, limit=1)
        if newest:
            return await _stream(service, jobs, newest[0].job_id, last)
    if request.method == "HEAD":
        raise Problem(405, "method_not_allowed", "/ingest takes GET.", {"Allow": "GET"})
    started = await asyncio.to_thread(jobs.start, JobRequest(given.repo_url, given.git_ref))
    return await _stream(service, jobs, started.job_id, -1)


async def events(service: Service, request: Request, given: EventsQuery) -> Response:
    """Stream or replay a job's events."""
    last = _last_event_id(request)
    after = given.after if last is None else last
    return await _stream(service, service.require_jobs(), job_id(request), after)


async def _stream(service: Service, jobs: Jobs, job_id: str, after: int) -> Response:
    if after >= 0:
        found = await asyncio.to_thread(jobs.status, job_id)
        if found.has_ended and not await asyncio.to_thread(jobs.events, job_id, after=after, limit=1):
            # The client has received everything. 204 tells a browser's EventSource not to reconnect.
            return Response(status_code=204)
    else:
        await asyncio.to_thread(jobs.status, job_id)  # raises UnknownJobError before the response begins
    return EventStream(service, job_id, after)


def _last_event_id(request: Request) -> int | None:
    given = request.headers.get("last-event-id")
    if given is None or not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > MAX_DIGITS:
        raise invalid("Last-Event-ID must be the sequence number of an event.")
    return int(given)
