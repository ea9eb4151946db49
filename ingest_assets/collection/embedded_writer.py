"""Writing to the embedded engine: few points in this process, many in one of their own.

What belongs here: when which points are written and indexed. What does not: what becomes of the copy that
they are written to (`embedded`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ingest_assets.collection.base import Points
from ingest_assets.collection.edge_types import edge_point
from ingest_assets.collection.elsewhere import ShardElsewhere, index_elsewhere
from ingest_assets.collection.shards import load_shard
from ingest_assets.timings import timed

# After so many new points, the engine indexes them and releases their memory, so that neither the memory of
# a build nor the cost of a point grows with it: in a graph of 50,000 vectors one costs nearly twice as
# much as in one of 25,000 (docs/performance.md).
INDEX_EVERY = 25_000
# So many are written and indexed in a process of its own, which works beside this one. Starting it takes a
# tenth of a second.
ELSEWHERE_FROM = 1_000


class EmbeddedWriter:
    """Copies the generation on the first write. A commit ends that copy; the next write makes another."""

    def __init__(self, begin: Callable[[], Path], finish: Callable[[Path], None]) -> None:
        """`begin` makes a copy, and `finish` the next revision of one."""
        self._begin, self._finish = begin, finish
        self._work: Path | None = None
        self._shard: _ShardHere | ShardElsewhere | None = None
        self._held: list[Points] = []  # until it is known whether there are many
        self._since_indexed = 0

    def upsert(self, points: Points) -> None:
        """Write points, at once or with those that follow."""
        self._held.append(points)
        if self._shard is None:
            if sum(len(each.ids) for each in self._held) < ELSEWHERE_FROM:
                return
            self._shard = ShardElsewhere(self._begun())
        self._write()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete points."""
        if ids:
            self._write()
            self._open().delete(ids)
            self._since_indexed += len(ids)

    def commit(self) -> None:
        """Index what is new, and have it be the next revision."""
        self._write()
        if self._work is not None:
            self._index()
            self._finish(self._work)
        self._work = None

    def discard(self) -> None:
        """Discard what was not committed."""
        self._held = []
        if self._shard is not None:
            self._shard.close()
            self._shard = None
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None

    def _write(self) -> None:
        """What was held."""
        held, self._held = self._held, []
        for points in held:
            self._open().upsert(points)
            self._since_indexed += len(points.ids)
            if self._since_indexed >= INDEX_EVERY:
                self._index()

    def _index(self) -> None:
        """Index what is new. The shard is closed then: what it has built stays in memory for so long."""
        shard, self._shard = self._shard, None  # nothing is open if the next lines fail
        if shard is not None:
            shard.index()
        self._since_indexed = 0

    def _open(self) -> _ShardHere | ShardElsewhere:
        if self._shard is None:
            self._shard = _ShardHere(self._begun())
        return self._shard

    def _begun(self) -> Path:
        if self._work is None:
            self._work = self._begin()
        return self._work


class _ShardHere:
    """A shard that this process has open, for few points."""

    def __init__(self, path: Path) -> None:
        self._path, self._shard = path, load_shard(path)
        self._moved = 0

    def upsert(self, points: Points) -> None:
        import qdrant_edge as edge

        with timed("engine write", points=len(points.ids)):
            made = [edge_point(points, i) for i in range(len(points.ids))]
            self._shard.update(edge.UpdateOperation.upsert_points(made))
        self._moved += len(points.ids)

    def delete(self, ids: Sequence[str]) -> None:
        import qdrant_edge as edge

        self._shard.update(edge.UpdateOperation.delete_points(list(ids)))
        self._moved += len(ids)

    def index(self) -> None:
        """Index what is new, and close the shard."""
        many = self._moved >= ELSEWHERE_FROM
        if not many:
            self._shard.optimize()
        self._shard.flush()
        self._shard.close()
        if many:
            index_elsewhere(self._path)

    def close(self) -> None:
        self._shard.close()
