"""Streams of server-sent events, whatever they are about.

Events are fetched a page at a time, as fast as the client reads them: a slow client holds one page in memory,
and never delays who writes them. The id of an event is its sequence number. A client that lost its connection
sends the last id it received (`Last-Event-ID`, as browsers do) and continues there.

What belongs here: following a feed, and the places that streams take. What does not: the feeds (`events` of
jobs, `declared` of sources).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.problems import busy, invalid
from ingest_assets.interfaces.http.service import Service
from ingest_assets.redaction import redact_values
from ingest_assets.sources.operations import StreamEvent

MEDIA_TYPE = "text/event-stream"
PAGE = 200
POLL_S = 0.2  # another process may write the events, and it cannot notify this one
HEADERS = {"X-Accel-Buffering": "no"}  # otherwise nginx would buffer events


class Feed(ABC):
    """Where the events of a stream come from."""

    greeting: bytes  # what the stream begins with

    @abstractmethod
    async def after(self, sequence: int, limit: int) -> Sequence[StreamEvent]:
        """Events after a sequence number, in order, at most so many."""

    async def has_ended(self) -> bool:
        """Whether no further events will be written; asked when there are none."""
        return False

    def is_last(self, event: StreamEvent) -> bool:  # noqa: ARG002 - a feed has no last event unless it says so
        """Whether no event can follow this one."""
        return False


class EventStream(Response):
    """Streams a feed until it ends, or the client disconnects or stops reading.

    `give_back` is called when it ends, for the place that was taken for it.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        service: Service,
        feed: Feed,
        after: int,
        give_back: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code, self.background = 200, None
        self.init_headers({**HEADERS, **(headers or {})})
        self._service, self._feed, self._after, self._give_back = service, feed, after, give_back

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
        async with contextlib.aclosing(frames(self._service, self._feed, self._after)) as parts:
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


async def _disconnected(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def frames(service: Service, feed: Feed, after: int) -> AsyncGenerator[bytes, None]:
    """A feed's events after a sequence number, as they are written, and a comment now and then meanwhile."""
    last_sent, ended = time.monotonic(), False
    yield feed.greeting
    while True:
        page = await feed.after(after, PAGE)
        for event in page:
            yield frame(event)
            after, last_sent = event.sequence, time.monotonic()
            if feed.is_last(event):
                return
        # Once the feed has ended, events are fetched one more time: its last ones may have been written
        # between the previous fetch and the look at its state.
        if service.closing.is_set() or (ended and not page):
            return
        if page:
            continue
        ended = await feed.has_ended()
        if not ended:
            if time.monotonic() - last_sent >= service.keep_alive_s:
                yield b": keep-alive\n\n"
                last_sent = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await service.closing.wait()


def frame(event: StreamEvent) -> bytes:
    """One event as it is sent."""
    # ASCII only, because some Unicode characters would be read as the end of a line.
    return f"id: {event.sequence}\ndata: {json.dumps(redact_values(event.body))}\n\n".encode("ascii")


@contextlib.contextmanager
def place(service: Service, request: Request) -> Iterator[Callable[[], None]]:
    """A place for a stream, given back if there is no stream after all. Raises a Problem if there is none."""
    give_back = service.streams.take(request.scope[CALLER].name)
    if give_back is None:
        raise busy("Too many event streams are open. Close one, or try again later.", 5)
    try:
        yield give_back
    except BaseException:
        give_back()
        raise


def last_event_id(request: Request, highest: int) -> int | None:
    """The last event that the client received, if it says so. Raises a Problem for what is no number."""
    given = request.headers.get("last-event-id")
    if given is None or not given:
        return None
    digits = given.isascii() and given.isdigit() and len(given) <= len(str(highest))
    if not digits or int(given) > highest:
        raise invalid("Last-Event-ID must be the sequence number of an event.")
    return int(given)
