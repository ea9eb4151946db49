"""Concurrent searches: one per worker at a time, with a bounded queue in front.

A worker keeps a workbench open: models are loaded once, and its readers notice by themselves when a new
generation or revision has been published.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock

from ingest_assets.interfaces.http.problems import busy
from ingest_assets.interfaces.http.workers import InProcessWorker, ProcessWorker, SearchRequest, Worker
from ingest_assets.workbench import Workbench


class SearchPool:
    """Runs as many searches at once as there are workers, and queues a bounded number."""

    def __init__(self, bench: Workbench, workers: int, queue: int) -> None:
        """With 0 workers, one thread of this process searches, which saves memory."""
        made: list[Worker] = [ProcessWorker(bench.settings) for _ in range(workers)]
        made = made or [InProcessWorker(bench.twin())]
        self.workers, self._sources = tuple(made), tuple(bench.sources)
        self._executor = ThreadPoolExecutor(len(made), "search")
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in made:
            self._idle.put(worker)
        self._max_taken = len(made) + queue
        self._lock, self._taken = Lock(), 0

    @property
    def taken(self) -> int:
        """Searches that are running or queued."""
        return self._taken

    async def search(self, request: SearchRequest) -> bytes:
        """The hits as JSON. Raises what the library raises, and a Problem when the queue is full."""
        return await asyncio.wrap_future(self._submit(request))

    def warm_up(self) -> None:
        """Open what a search needs, in the background, so that the first one is as fast as the others."""
        for _ in self.workers:
            for source in self._sources:
                self._submit(SearchRequest(source, "warm up", limit=1))

    def close(self) -> None:
        """Wait for running searches and drop queued ones."""
        self._executor.shutdown(cancel_futures=True)
        for worker in self.workers:
            worker.close()

    def _submit(self, request: SearchRequest) -> Future[bytes]:
        with self._lock:
            if self._taken >= self._max_taken:
                raise busy("Too many searches at once. Try again in a moment.", 1)
            self._taken += 1
        future = self._executor.submit(self._run, request)
        # Not when the client stops waiting: the place is taken until the worker is free.
        future.add_done_callback(self._release)
        return future

    def _release(self, _future: object) -> None:
        with self._lock:
            self._taken -= 1

    def _run(self, request: SearchRequest) -> bytes:
        worker = self._idle.get_nowait()  # there are as many workers as threads
        try:
            return worker.search(request)
        finally:
            self._idle.put(worker)
