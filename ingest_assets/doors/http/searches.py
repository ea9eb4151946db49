"""Searching, as many at once as there are workers, while a bounded number waits.

A worker keeps a workbench warm: models are loaded once, and its readers notice by themselves when another
generation or revision has been published.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ingest_assets.catalog import SOURCES
from ingest_assets.doors.http.problems import busy
from ingest_assets.doors.http.requests import SearchBody, SearchQuery
from ingest_assets.doors.http.workers import HereWorker, ProcessWorker, Wanted, Worker
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.doors.http.app import Door


class SearchPool:
    """As many searches at once as there are workers, and a bounded number that wait."""

    def __init__(self, bench: Workbench, workers: int, queue: int) -> None:
        """With no workers one thread searches here, which saves memory."""
        made: list[Worker] = [ProcessWorker(bench.settings) for _ in range(workers)]
        made = made or [HereWorker(bench.twin())]
        self.workers = tuple(made)
        self._executor = ThreadPoolExecutor(len(made), "search")
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in made:
            self._idle.put(worker)
        self._most = len(made) + queue
        self._lock, self._taken = Lock(), 0

    @property
    def taken(self) -> int:
        """Searches that run or wait."""
        return self._taken

    async def search(self, wanted: Wanted) -> bytes:
        """The answer as JSON. Raises what the library raises, and a Problem when too many wait."""
        return await asyncio.wrap_future(self._submit(wanted))

    def warm_up(self) -> None:
        """Open in the background what a search needs, so that the first one is as quick as the others."""
        for _ in self.workers:
            for source in SOURCES:
                self._submit(Wanted(source, "warm up", limit=1))

    def close(self) -> None:
        """Wait for those that run, forget those that wait."""
        self._executor.shutdown(cancel_futures=True)
        for worker in self.workers:
            worker.close()

    def _submit(self, wanted: Wanted) -> Future[bytes]:
        with self._lock:
            if self._taken >= self._most:
                raise busy("Too many searches at once. Ask again in a moment.", 1)
            self._taken += 1
        future = self._executor.submit(self._work, wanted)
        # Also when nobody waits for it any more: until the worker is free its place is taken.
        future.add_done_callback(self._free)
        return future

    def _free(self, _future: object) -> None:
        with self._lock:
            self._taken -= 1

    def _work(self, wanted: Wanted) -> bytes:
        worker = self._idle.get_nowait()  # there are as many as threads
        try:
            return worker.search(wanted)
        finally:
            self._idle.put(worker)


async def search(door: Door, _request: Request, given: SearchBody | SearchQuery) -> Response:
    """The best hits for a query."""
    wanted = Wanted(given.source, given.query, given.mode, given.limit, given.where)
    return Response(await door.pool.search(wanted), media_type="application/json")
