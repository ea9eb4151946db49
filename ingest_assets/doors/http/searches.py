"""Searching in threads, each with a workbench of its own that stays warm.

The parts of a workbench are opened once and kept: models are shared, and each thread has readers of its own,
which notice by themselves when another generation or revision has been published.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import LifoQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest_assets.catalog import SOURCES
from ingest_assets.doors.http.problems import busy
from ingest_assets.doors.http.requests import SearchBody, SearchQuery
from ingest_assets.model import IngestError
from ingest_assets.search import Searcher
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door

T = TypeVar("T")


class Searchers:
    """One thread's searchers, a source each."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._by_source = {source: Searcher(bench, source) for source in SOURCES}

    def __getitem__(self, source: str) -> Searcher:
        return self._by_source[source]

    def close(self) -> None:
        """Close the readers."""
        self._bench.close()


class SearchPool:
    """As many searches at once as there are workers, and a bounded number that wait."""

    def __init__(self, bench: Workbench, workers: int, queue: int) -> None:
        self._executor = ThreadPoolExecutor(workers, "search")
        # The one used last is used first: a quiet server keeps one set of readers busy.
        self._idle: LifoQueue[Searchers] = LifoQueue()
        for _ in range(workers):
            self._idle.put(Searchers(bench.twin()))
        self._workers, self._most = workers, workers + queue
        self._lock, self._taken = Lock(), 0

    @property
    def taken(self) -> int:
        """Searches that run or wait."""
        return self._taken

    async def run(self, work: Callable[[Searchers], T]) -> T:
        """Do something with searchers that are its alone. Raises a Problem when too many wait."""
        return await asyncio.wrap_future(self._submit(work))

    def warm_up(self) -> None:
        """Open in the background what a search needs, so that the first one is as quick as the others."""
        for _ in range(self._workers):
            self._submit(_warm)

    def close(self) -> None:
        """Wait for those that run, forget those that wait."""
        self._executor.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()

    def _submit(self, work: Callable[[Searchers], T]) -> Future[T]:
        with self._lock:
            if self._taken >= self._most:
                raise busy("Too many searches at once. Ask again in a moment.", 1)
            self._taken += 1
        future = self._executor.submit(self._work, work)
        # Also when nobody waits for it any more: until the thread is free its place is taken.
        future.add_done_callback(self._free)
        return future

    def _free(self, _future: object) -> None:
        with self._lock:
            self._taken -= 1

    def _work(self, work: Callable[[Searchers], T]) -> T:
        searchers = self._idle.get_nowait()  # there are as many as threads
        try:
            return work(searchers)
        finally:
            self._idle.put(searchers)


def _warm(searchers: Searchers) -> None:
    for source in SOURCES:
        # What is wrong, whoever searches is told; /ready says so too.
        with contextlib.suppress(IngestError):
            searchers[source].search("warm up", limit=1)


async def search(door: Door, _request: Request, given: SearchBody | SearchQuery) -> Response:
    """The best hits for a query."""

    def work(searchers: Searchers) -> Any:
        hits = searchers[given.source].search(
            given.query, mode=given.mode, limit=given.limit, where=given.where
        )
        # Made into bytes here: a thousand long hits would hold up the event loop.
        return JSONResponse(hits.to_dict(scores=True))

    response: Response = await door.pool.run(work)
    return response
