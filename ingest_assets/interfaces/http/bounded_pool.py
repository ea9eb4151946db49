"""Threads that each have something of their own to work with, and a bounded queue in front of them.

What belongs here: how much runs and waits at once. What does not: what is run (`search_pool`, `declared`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import Generic, TypeVar

from ingest_assets.interfaces.http.problems import busy

T = TypeVar("T")
W = TypeVar("W")


class BoundedPool(Generic[W]):
    """Runs as many calls at once as there are workers, and queues a bounded number."""

    def __init__(self, name: str, workers: Sequence[W], queue: int, too_many: str) -> None:
        """`too_many` is what a client is told when the queue is full."""
        self.workers = tuple(workers)
        self._executor = ThreadPoolExecutor(len(self.workers), name)
        self._idle: SimpleQueue[W] = SimpleQueue()
        for worker in self.workers:
            self._idle.put(worker)
        self._max_taken, self._too_many = len(self.workers) + queue, too_many
        self._lock, self._taken = Lock(), 0

    @property
    def taken(self) -> int:
        """Calls that are running or queued."""
        return self._taken

    def submit(self, work: Callable[[W], T]) -> Future[T]:
        """What `work` returns for a worker that is its own meanwhile. Raises a Problem if all is taken."""
        with self._lock:
            if self._taken >= self._max_taken:
                raise busy(self._too_many, 1)
            self._taken += 1
        future = self._executor.submit(self._run, work)
        # Not when the client stops waiting: the place is taken until the worker is free.
        future.add_done_callback(self._release)
        return future

    def shut_down(self) -> None:
        """Wait for running calls and drop queued ones. The workers stay open."""
        self._executor.shutdown(cancel_futures=True)

    def _release(self, _future: object) -> None:
        with self._lock:
            self._taken -= 1

    def _run(self, work: Callable[[W], T]) -> T:
        worker = self._idle.get_nowait()  # there are as many workers as threads
        try:
            return work(worker)
        finally:
            self._idle.put(worker)
