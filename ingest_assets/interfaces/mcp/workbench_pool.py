"""Workbenches for several threads. Each is used by one thread at a time, and keeps its models loaded."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ingest_assets.settings import Settings
from ingest_assets.sources.registry import Sources
from ingest_assets.workbench import Workbench

# Lends a workbench to one thread at a time: `WorkbenchPool.borrow`.
Borrow = Callable[[], AbstractContextManager[Workbench]]


class WorkbenchPool:
    """Up to `size` workbenches, opened when they are first needed, and borrowed for one call at a time.

    Two by default, so that one slow call does not delay all others; each has its own models in memory.
    """

    def __init__(self, settings: Settings, size: int = 2, sources: Sources | None = None) -> None:
        """With all sources unless some are given."""
        self.settings, self.size, self._sources = settings, size, sources
        # The most recently returned workbench is lent first: its caches are the warmest.
        self._idle: queue.LifoQueue[Workbench] = queue.LifoQueue()
        self._made: list[Workbench] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[Workbench]:
        """A workbench for the duration of the block. Waits while all are in use."""
        bench = self._take()
        try:
            yield bench
        finally:
            self._idle.put(bench)

    def _take(self) -> Workbench:
        with self._lock:
            if self._idle.empty() and len(self._made) < self.size:
                self._made.append(Workbench(self.settings, self._sources))
                return self._made[-1]
        return self._idle.get()

    def close(self) -> None:
        """Close all workbenches. None may be in use."""
        for bench in self._made:
            bench.close()
        self._made.clear()
        self._idle = queue.LifoQueue()
