"""Is it alive, can it work, what does the index hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.doors.http.problems import problem_of
from ingest_assets.model import NotPublishedError
from ingest_assets.search import Searcher
from ingest_assets.status import sources_to_search
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

T = TypeVar("T")
Heartbeat = Callable[[], float | None]  # seconds since Dagster's daemon spoke; None: never
# Anybody may ask whether it is ready, as often as they like: the answer is this old at most.
READY_FOR_S = 2.0
# Dagster's daemon speaks every 30 s, and late when it is busy.
DAEMON_SILENT_S = 120.0


@dataclass(frozen=True, slots=True)
class Part:
    """Something that searching or refreshing needs."""

    state: Literal["ok", "missing", "failed"]
    message: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether searching works, and each part. A missing daemon leaves the index as it is: it is not fatal."""

    status: Literal["ready", "not_ready"]
    parts: dict[str, Part]


class Shared(Generic[T]):
    """One computation for all who ask while it runs, and for `seconds` after it."""

    def __init__(self, compute: Callable[[], T], seconds: float = 0) -> None:
        self._compute, self._seconds = compute, seconds
        self._task: asyncio.Task[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """What was computed."""
        if self._task is None or (self._task.done() and time.monotonic() >= self._until):
            self._task = asyncio.create_task(self._run())
        # Shielded: one who goes away must not take it from the others.
        return await asyncio.shield(self._task)

    async def _run(self) -> T:
        try:
            return await asyncio.to_thread(self._compute)
        finally:
            self._until = time.monotonic() + self._seconds


async def health(_door: Door, _request: Request, _given: object) -> Response:
    """It is alive. Touches nothing."""
    return JSONResponse({"status": "ok"})


async def status(door: Door, _request: Request, _given: object) -> Response:
    """What the index holds."""
    return JSONResponse(await door.status.get())


async def ready(door: Door, _request: Request, _given: object) -> Response:
    """Whether a search would be answered."""
    found = await door.readiness.get()
    return JSONResponse(asdict(found), 200 if found.status == "ready" else 503)


def readiness(bench: Workbench, heartbeat: Heartbeat | None) -> Readiness:
    """Look at every part. The bench is used by nobody else meanwhile."""
    parts = {"ledger": _part(lambda: _ledger(bench)), "dense_model": _part(lambda: _dense_model(bench))}
    sources = sources_to_search(bench.ledger) if parts["ledger"].state == "ok" else ()
    for source in sources:
        parts[f"collection_{source}"] = _part(partial(_collection, bench, source))
    needed = list(parts.values())
    parts["daemon"] = _part(lambda: _daemon(heartbeat))
    works = all(part.state == "ok" for part in needed)
    return Readiness("ready" if works else "not_ready", parts)


def _part(look: Callable[[], Part]) -> Part:
    try:
        return look()
    except NotPublishedError as error:
        return Part("missing", str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the part does not work, and the others are told of
        return Part("failed", problem_of(error).message)


def _ledger(bench: Workbench) -> Part:
    with bench.ledger.reading() as connection:
        connection.execute(sa.text("select 1"))
    return Part("ok", "It answers.")


def _dense_model(bench: Workbench) -> Part:
    bench.dense_model.embed_query("ready")
    return Part("ok", "It embeds.")


def _daemon(heartbeat: Heartbeat | None) -> Part:
    silent = heartbeat() if heartbeat else None
    if silent is None or silent > DAEMON_SILENT_S:
        return Part(
            "missing", "No Dagster daemon is running: schedules, sensors and background jobs do not start."
        )
    return Part("ok", f"It spoke {silent:.0f} seconds ago.")


def _collection(bench: Workbench, source: str) -> Part:
    hits = Searcher(bench, source).search("ready", limit=1)
    return Part("ok", f"Generation {hits.generation} of {hits.collection} answers.")
