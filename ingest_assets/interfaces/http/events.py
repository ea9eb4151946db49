"""`/ingest` and `/jobs/{job_id}/events`: a job's events as a stream of server-sent events.

Events are fetched from the ledger a page at a time, as fast as the client reads them: a slow client holds one
page in memory, and never delays the job. The id of an event is its sequence number within the job. A client
that lost its connection sends the last id it received (`Last-Event-ID`, as browsers do) and continues there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.jobs import job_id, jobs_of
from ingest_assets.interfaces.http.problems import busy, invalid
from ingest_assets.interfaces.http.requests import EventsQuery, IngestQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.job_service import JobRequest, Jobs
from ingest_assets.jobs.event_log import MAX_SEQUENCE, is_last
from ingest_assets.jobs.events import JobEvent
from ingest_assets.redaction import redact_values

PAGE = 200
POLL_S = 0.2  # another process may write the events, and it cannot notify this one
HEADERS = {"X-Accel-Buffering": "no"}  # otherwise nginx would buffer events


class EventStream(Response):
    """Streams a job's events until the job ends, or the client disconnects or stops reading.

    `give_back` is called when it ends, for the place that was taken for it.
    """

    media_type = "text/event-stream"

    def __init__(
        self, service: Service, jobs: Jobs, job_id: str, after: int, give_back: Callable[[], None]
    ) -> None:
        self.status_code, self.background = 200, None
        self.init_headers({**HEADERS, "Ingest-Job-Id": job_id})
        self._service, self._jobs, self._give_back = service, jobs, give_back
        self._job_id, self._after = job_id, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body"})
            else:
                await self._stream(receive, send)
        finally:
            self._give_back()

    async def _stream(self, receive: Receive, send: Send) -> None:
        sender = asyncio.create_task(self._send_events(send))
        disconnected = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({sender, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                sender.result()
        finally:
            for task in (sender, disconnected):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _send_events(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with contextlib.aclosing(frames(self._service, self._jobs, self._job_id, self._after)) as parts:
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


async def _disconnected(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def frames(service: Service, jobs: Jobs, job_id: str, after: int) -> AsyncGenerator[bytes, None]:
    """A job's events after a sequence number, as they are written, and a comment now and then meanwhile."""
    last_sent, ended = time.monotonic(), False
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
    return f"id: {event['sequence']}\ndata: {json.dumps(redact_values(event))}\n\n".encode("ascii")


async def ingest(service: Service, request: Request, given: IngestQuery) -> Response:
    """Start indexing a repository and stream the job's events.

    With `Last-Event-ID` no job is started: the newest job of the same repository and reference is streamed
    from after that event.
    """
    jobs, last = jobs_of(service, request), _last_event_id(request)
    with _place(service, request) as give_back:  # before a job is started for a stream that is refused
        if last is not None:
            newest = await asyncio.to_thread(jobs.list, repo=given.repo_url, git_ref=given.git_ref, limit=1)
            if newest:
                return await _response(service, jobs, newest[0].job_id, last, give_back)
        started = await asyncio.to_thread(jobs.start, JobRequest(given.repo_url, given.git_ref))
        return await _response(service, jobs, started.job_id, -1, give_back)


async def events(service: Service, request: Request, given: EventsQuery) -> Response:
    """Stream or replay a job's events."""
    last, jobs = _last_event_id(request), jobs_of(service, request)
    after = given.after if last is None else last
    with _place(service, request) as give_back:
        return await _response(service, jobs, job_id(request), after, give_back)


@contextlib.contextmanager
def _place(service: Service, request: Request) -> Iterator[Callable[[], None]]:
    """A place for a stream, given back if there is no stream after all. Raises a Problem if there is none."""
    give_back = service.streams.take(request.scope[CALLER].name)
    if give_back is None:
        raise busy("Too many event streams are open. Close one, or try again later.", 5)
    try:
        yield give_back
    except BaseException:
        give_back()
        raise


async def _response(
    service: Service, jobs: Jobs, job_id: str, after: int, give_back: Callable[[], None]
) -> Response:
    found = await asyncio.to_thread(jobs.status, job_id)  # raises before the response begins
    if (
        after >= 0
        and found.has_ended
        and not await asyncio.to_thread(jobs.events, job_id, after=after, limit=1)
    ):
        give_back()
        # The client has received everything. 204 tells a browser's EventSource not to reconnect.
        return Response(status_code=204)
    return EventStream(service, jobs, job_id, after, give_back)


def _last_event_id(request: Request) -> int | None:
    given = request.headers.get("last-event-id")
    if given is None or not given:
        return None
    digits = given.isascii() and given.isdigit() and len(given) <= len(str(MAX_SEQUENCE))
    if not digits or int(given) > MAX_SEQUENCE:
        raise invalid("Last-Event-ID must be the sequence number of an event.")
    return int(given)
