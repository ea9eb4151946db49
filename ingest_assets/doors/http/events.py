"""A job's events as a stream of server-sent events.

Events are fetched from where they are kept, a page at a time and as fast as the reader takes them: a slow
reader holds one page, and never the job. An event's id is its sequence number within its job; a reader that
lost its connection sends the last one it saw (`Last-Event-ID`, as browsers do), and goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingest_assets.doors.http.jobs import job_id
from ingest_assets.doors.http.problems import Problem, busy, invalid
from ingest_assets.doors.http.requests import EventsQuery, IngestQuery
from ingest_assets.doors.jobs_port import SETTLED, JobRequest, Jobs
from ingest_assets.jobs.event_log import is_last
from ingest_assets.jobs.events import Event

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

log = logging.getLogger(__name__)
PAGE = 200
MAX_DIGITS = 18  # of a sequence number
POLL_S = 0.2  # the events may be written by another process, which cannot call us
# A reader that takes nothing for so long is let go; it can resume.
SEND_S = 60.0
HEADERS = {"X-Accel-Buffering": "no"}  # nginx would gather events before it passes them on


class EventStream(Response):
    """Sends what an iterator gives, until it ends, the reader goes or takes nothing for too long."""

    media_type = "text/event-stream"

    def __init__(self, door: Door, job_id: str, after: int) -> None:
        self.status_code, self.background = 200, None
        self.init_headers({**HEADERS, "Ingest-Job-Id": job_id})
        self._door, self._job_id, self._after = door, job_id, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body"})
            return
        if self._door.streams >= self._door.settings.ingest_http_max_streams:
            raise busy("Too many event streams are open.", 5)
        self._door.streams += 1
        pump, gone = asyncio.create_task(self._pump(send)), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            self._door.streams -= 1
            for task in (pump, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        parts = frames(self._door, self._job_id, self._after)
        try:
            async for part in parts:
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
        except TimeoutError:
            log.info("A reader of the events of job %s took nothing for %g s.", self._job_id, SEND_S)
        finally:
            await parts.aclose()  # type: ignore[attr-defined]  # it is a generator


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def frames(door: Door, job_id: str, after: int) -> AsyncIterator[bytes]:
    """A job's events after one, as they come, and a comment now and then while none come."""
    jobs, spoke, settled = door.require_jobs(), time.monotonic(), False
    yield b": job %s\n\n" % job_id.encode()
    while True:
        page = await asyncio.to_thread(jobs.events, job_id, after=after, limit=PAGE)
        for event in page:
            yield frame(event)
            after, spoke = event["sequence"], time.monotonic()
            if is_last(event):
                return
        # One look more after it has settled: its last events may have been written between our two looks.
        if door.closing.is_set() or (settled and not page):
            return
        if page:
            continue
        settled = (await asyncio.to_thread(jobs.status, job_id)).status in SETTLED
        if not settled:
            if time.monotonic() - spoke >= door.keep_alive_s:
                yield b": keep-alive\n\n"
                spoke = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await door.closing.wait()


def frame(event: Event) -> bytes:
    """One event on the wire."""
    # ASCII only, so that no letter in it can be taken for the end of a line.
    return f"id: {event['sequence']}\ndata: {json.dumps(event)}\n\n".encode("ascii")


async def ingest(door: Door, request: Request, given: IngestQuery) -> Response:
    """Start indexing a repository and stream the job's events.

    With `Last-Event-ID` no job is started: the newest job of the same repository and reference goes on after
    that event.
    """
    jobs, last = door.require_jobs(), _last_seen(request)
    if last is not None:
        newest = await asyncio.to_thread(jobs.list, repo=given.repo_url, git_ref=given.git_ref, limit=1)
        if newest:
            return await _stream(door, jobs, newest[0].job_id, last)
    if request.method == "HEAD":
        raise Problem(405, "method_not_allowed", "/ingest takes GET.", {"Allow": "GET"})
    started = await asyncio.to_thread(jobs.start, JobRequest(given.repo_url, given.git_ref))
    return await _stream(door, jobs, started.job_id, -1)


async def events(door: Door, request: Request, given: EventsQuery) -> Response:
    """Stream or replay a job's events."""
    last = _last_seen(request)
    after = given.after if last is None else last
    return await _stream(door, door.require_jobs(), job_id(request), after)


async def _stream(door: Door, jobs: Jobs, job_id: str, after: int) -> Response:
    if after >= 0:
        found = await asyncio.to_thread(jobs.status, job_id)
        if found.status in SETTLED and not await asyncio.to_thread(jobs.events, job_id, after=after, limit=1):
            # All was seen: this tells a browser's EventSource not to connect again.
            return Response(status_code=204)
    else:
        await asyncio.to_thread(jobs.status, job_id)  # raises UnknownJobError before the answer begins
    return EventStream(door, job_id, after)


def _last_seen(request: Request) -> int | None:
    given = request.headers.get("last-event-id")
    if given is None or not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > MAX_DIGITS:
        raise invalid("Last-Event-ID is the sequence number of an event.")
    return int(given)
