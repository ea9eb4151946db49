"""Writing points to a server in several streams, with a bound on what is in flight.

What belongs here: how points become requests of a size that the server takes. What does not: repeating a
request (`connection`), and recording what was acknowledged (`stages.collection`).
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from ingest_assets.collection.base import Points
from ingest_assets.collection.server.connection import Connection
from ingest_assets.collection.server.faults import CutError, TooLargeError
from ingest_assets.collection.server.types import point_of
from ingest_assets.stopping import ASKED_EVERY_S, go_on
from ingest_assets.timings import timed

# Of 100 to 1,000 points, requests of 250 load fastest in four streams (docs/performance.md).
UPSERT_BATCH = 250
# Requests stay well below the 32 MB that a server takes by default, also with long texts.
MAX_CHARS = 8 << 20
_CHARS_PER_NUMBER, _CHARS_PER_TERM = 12, 24  # of JSON


class ServerWriter:
    """A `Writer`. What it was given is sent in the background; `commit` waits until it is acknowledged."""

    def __init__(self, connection: Connection, name: str, *, batch: int, streams: int) -> None:
        self._connection, self._name, self._batch = connection, name, batch
        self._streams = streams if connection.concurrent else 0
        self._pool: ThreadPoolExecutor | None = None
        self._flying: deque[Future[None]] = deque()
        # A request was refused as too long at this many points: none is sent as long again.
        self._most = batch

    def upsert(self, points: Points) -> None:
        for first, stop in self._parts(points):
            if not self._streams:
                self._send(points, first, stop)
                continue
            self._land(2 * self._streams - 1)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._streams, thread_name_prefix="upsert")
            run = contextvars.copy_context().run
            self._flying.append(self._pool.submit(run, self._send, points, first, stop))

    def delete(self, ids: Sequence[str]) -> None:
        from qdrant_client import models

        self._land(0)  # a point may be on its way that is to be deleted
        for start in range(0, len(ids), self._batch):
            self._remove(models.PointIdsList(points=list(ids[start : start + self._batch])))

    def _remove(self, selector: Any) -> None:
        self._connection.ask("write", self._name, lambda c: c.delete(self._name, selector, wait=True))

    def commit(self) -> None:
        self._land(0)

    def close(self) -> None:
        """Send nothing more. What is on its way may still arrive."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._flying.clear()

    def _land(self, most: int) -> None:
        """Wait until at most so many requests are in flight. Raises what one of them raised."""
        while len(self._flying) > most:
            done, _ = wait(self._flying, timeout=ASKED_EVERY_S, return_when=FIRST_COMPLETED)
            go_on()
            for future in done:
                self._flying.remove(future)
                future.result()

    def _parts(self, points: Points) -> list[tuple[int, int]]:
        """Ranges of points, each for one request."""
        per_point = points.dense.shape[1] * _CHARS_PER_NUMBER if len(points.ids) else 0
        offsets, parts, first, chars = points.sparse.offsets, [], 0, 0
        for i, payload in enumerate(points.payloads):
            terms = int(offsets[i + 1] - offsets[i])
            size = per_point + terms * _CHARS_PER_TERM + len(payload.get("text", "")) + 1_000
            if i > first and (i - first >= min(self._batch, self._most) or chars + size > MAX_CHARS):
                parts.append((first, i))
                first, chars = i, 0
            chars += size
        if first < len(points.ids):
            parts.append((first, len(points.ids)))
        return parts

    def _send(self, points: Points, first: int, stop: int) -> None:
        from qdrant_client import models

        batch: list[Any] = [point_of(points, i, models) for i in range(first, stop)]
        divisible = len(batch) > 1
        try:
            with timed("engine write", points=len(batch)):
                self._connection.ask(
                    "write",
                    self._name,
                    lambda c: c.upsert(self._name, batch, wait=True),
                    divisible=divisible,
                )
        except (TooLargeError, CutError):
            if not divisible:
                raise
            middle = (first + stop) // 2
            self._most = min(self._most, middle - first)
            self._send(points, first, middle)
            self._send(points, middle, stop)
