"""Workbenches for several threads: each is used by one thread at a time, and keeps its models warm."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

# Lends a workbench to one thread at a time: `Benches.lend`.
Lend = Callable[[], AbstractContextManager[Workbench]]


class Benches:
    """Up to `size` workbenches, opened when they are first needed and lent out one call at a time.

    Two by default: one slow call does not hold up all others, and each holds models of its own.
    """

    def __init__(self, settings: Settings, size: int = 2) -> None:
        self.settings, self.size = settings, size
        # The last one that came back goes out first: it is the warmest.
        self._idle: queue.LifoQueue[Workbench] = queue.LifoQueue()
        self._made: list[Workbench] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[Workbench]:
        """A workbench for the block; waits for one when all are out."""
        bench = self._take()
        try:
            yield bench
        finally:
            self._idle.put(bench)

    def _take(self) -> Workbench:
        with self._lock:
            if self._idle.empty() and len(self._made) < self.size:
                self._made.append(Workbench(self.settings))
                return self._made[-1]
        return self._idle.get()

    def close(self) -> None:
        """Close all of them. None may be out."""
        for bench in self._made:
            bench.close()
        self._made.clear()
        self._idle = queue.LifoQueue()
