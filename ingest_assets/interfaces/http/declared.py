"""The operations and streams that sources declare, as routes.

Programs get text of documents as it is, without the marks that agents get.

What belongs here: a declared operation or stream as a row of the table of routes. What does not: what all
interfaces do with an operation (`interfaces.declared`), and how events are sent (`streaming`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.document_text import EXPLANATION, PLAIN, FromDocuments
from ingest_assets.interfaces.declared import answer_of
from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.operations import Handler, NoParameters, Operation
from ingest_assets.interfaces.http.requests import MAX_EVENT, StreamQuery
from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.http.streaming import MEDIA_TYPE, EventStream, Feed, last_event_id, place
from ingest_assets.queries.reach import sees
from ingest_assets.redaction import redact_values
from ingest_assets.sources.operations import Asking, SourceOperation, SourceStream, StreamEvent
from ingest_assets.sources.registry import Sources
from ingest_assets.workbench import Workbench

REFUSALS = {404: "There is nothing of this name or id.", 409: "This is not possible in its present state."}


def routes_of(sources: Sources) -> list[Operation]:
    """The rows of the table of routes, in the order in which they are to be matched.

    Operations on one path are next to each other, and a fixed part comes before a name in its place.
    """
    rows = [
        *(replace(_route(each), of_source=name) for name, each in sources.operations_by_source()),
        *(replace(_stream_route(each), of_source=name) for name, each in sources.streams_by_source()),
    ]
    return sorted(rows, key=_specific_first)


def _specific_first(operation: Operation) -> list[tuple[bool, str]]:
    return [(part.startswith("{"), part) for part in operation.path.split("/")]


def _route(declared: SourceOperation) -> Operation:
    has_body = declared.method != "GET" and set(declared.takes.model_fields) > set(declared.in_path)
    return Operation(
        declared.method,
        declared.path,
        declared.title,
        declared.scope,
        _handler(declared),
        query=NoParameters if has_body else declared.takes,
        body=declared.takes if has_body else None,
        answers={declared.status: declared.answers},
        in_path=declared.in_path,
        refusals=REFUSALS,
        name=declared.name,
        description=declared.description,
    )


def _handler(declared: SourceOperation) -> Handler:
    async def handle(service: Service, request: Request, given: BaseModel) -> Response:
        caller = request.scope[CALLER]

        def work(bench: Workbench) -> Any:
            asking = Asking(bench, caller.name, "http", agent=False, sees=partial(sees, caller.reach))
            return _plain(answer_of(declared, asking, given))

        answered = await asyncio.wrap_future(service.operations.submit(work))
        return JSONResponse(answered, declared.status)

    return handle


def _plain(answered: BaseModel) -> Any:
    """The answer as JSON, for programs."""
    explained = {EXPLANATION} if isinstance(answered, FromDocuments) else None
    return redact_values(answered.model_dump(mode="json", context=dict(PLAIN), exclude=explained))


# --- Streams ------------------------------------------------------------------------------------------------


class SourceFeed(Feed):
    """The events of a source, which never end."""

    def __init__(self, service: Service, stream: SourceStream, after: int) -> None:
        self._service, self._stream = service, stream
        # With it, a client that is cut off before the first event knows where to go on.
        self.greeting = f"id: {after}\n\n".encode()

    async def after(self, sequence: int, limit: int) -> Sequence[StreamEvent]:
        """See `Feed`."""
        if await self._service.newest[self._stream.name].get() <= sequence:
            return ()
        found = self._service.following.submit(lambda bench: self._stream.after(bench, sequence, limit))
        return await asyncio.wrap_future(found)


def _stream_route(declared: SourceStream) -> Operation:
    return Operation(
        declared.method,
        declared.path,
        declared.title,
        declared.scope,
        _follow(declared),
        query=StreamQuery,
        answers={200: MEDIA_TYPE},
        name=declared.name,
        description=declared.description,
    )


def _follow(stream: SourceStream) -> Handler:
    async def handle(service: Service, request: Request, given: StreamQuery) -> Response:
        asked = last_event_id(request, MAX_EVENT)
        asked = given.after if asked is None else asked
        with place(service, request) as give_back:
            # Asked now, not `service.newest`: the client may know one that is newer.
            newest = await asyncio.wrap_future(service.following.submit(stream.newest))
            after = newest if asked is None else asked
            if after > newest:  # it is an event of another ledger, which this one has replaced
                after = 0
            return EventStream(service, SourceFeed(service, stream, after), after, give_back)

    return handle
