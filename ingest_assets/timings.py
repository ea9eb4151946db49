"""How long models and engines take to answer: counted for `/metrics`, and a span where traces are on.

What belongs here: measuring one operation, whoever asks for it. What does not: how traces are sent
(`tracing`), and how the counts are shown.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Literal, get_args

from ingest_assets.tracing import Value, span

# Of a model: one request, or one batch. Of an engine: one search, or one batch of points.
Operation = Literal["embed", "engine search", "engine write"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Operation to how many were in each interval between bounds, and their seconds.
Counts = dict[str, tuple[list[int], float]]


class Timings:
    """Counts of operations by how long they took. Safe to share between threads."""

    def __init__(self) -> None:
        self._counts: Counts = {}
        self._lock = Lock()

    def count(self, operation: Operation, seconds: float) -> None:
        """One more."""
        one = [0] * (len(BOUNDS_S) + 1)
        one[bisect_left(BOUNDS_S, seconds)] = 1
        self.add({operation: (one, seconds)})

    def add(self, counts: Mapping[str, tuple[list[int], float]]) -> None:
        """Those of another process."""
        with self._lock:
            for operation, (more, seconds) in counts.items():
                held, total = self._counts.get(operation, ([0] * len(more), 0.0))
                self._counts[operation] = [a + b for a, b in zip(held, more, strict=True)], total + seconds

    def counts(self) -> Counts:
        """So far, for every operation."""
        none = [0] * (len(BOUNDS_S) + 1), 0.0
        with self._lock:
            return {operation: self._counts.get(operation, none) for operation in OPERATIONS}

    def take(self) -> Counts:
        """Those since the last call, for another process to add."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken


TIMINGS = Timings()  # of this process


@contextmanager
def timed(operation: Operation, **attributes: Value) -> Iterator[None]:
    """Measure the block, also if it raises. Attributes are those of a span (`tracing.span`)."""
    started = time.perf_counter()
    try:
        with span(operation, **attributes):
            yield
    finally:
        TIMINGS.count(operation, time.perf_counter() - started)
