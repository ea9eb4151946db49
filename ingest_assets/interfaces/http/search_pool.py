"""Concurrent searches: one per worker at a time, with a bounded queue in front.

A worker keeps a workbench open: models are loaded once, and its readers notice by themselves when a new
generation or revision has been published.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress

from ingest_assets.interfaces.http.bounded_pool import BoundedPool
from ingest_assets.interfaces.http.workers import InProcessWorker, ProcessWorker, SearchRequest, Worker
from ingest_assets.model import IngestError
from ingest_assets.workbench import Workbench


class SearchPool:
    """Runs as many searches at once as there are workers, and queues a bounded number."""

    def __init__(self, bench: Workbench, workers: int, queue: int) -> None:
        """With 0 workers, one thread of this process searches, which saves memory."""
        made: list[Worker] = [ProcessWorker(bench.settings) for _ in range(workers)]
        made = made or [InProcessWorker(bench.twin())]
        self._pool = BoundedPool("search", made, queue, "Too many searches at once. Try again in a moment.")
        self._sources = tuple(bench.sources)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """What searches."""
        return self._pool.workers

    @property
    def taken(self) -> int:
        """Searches that are running or queued."""
        return self._pool.taken

    async def search(self, request: SearchRequest) -> bytes:
        """The hits as JSON. Raises what the library raises, and a Problem when the queue is full."""
        return await asyncio.wrap_future(self._submit(request))

    def warm_up(self) -> None:
        """Open what a search needs, in the background, so that the first one is as fast as the others."""
        for _ in self.workers:
            self._pool.submit(self._warm)

    def _warm(self, worker: Worker) -> None:
        for source in self._sources:
            # An answer from the cache would need no model; and one that may be from there opens the cache.
            for cached in (False, True):
                with suppress(IngestError):  # there may be nothing to search yet
                    worker.search(SearchRequest(source, "warm up", limit=1, cached=cached))

    def close(self) -> None:
        """Wait for running searches and drop queued ones."""
        self._pool.shut_down()
        for worker in self.workers:
            worker.close()

    def _submit(self, request: SearchRequest) -> Future[bytes]:
        return self._pool.submit(lambda worker: worker.search(request))
