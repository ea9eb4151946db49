"""Crashes at chosen points: a fuse that burns down, and parts that it runs through."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa

from ingest_assets.collection.base import Health, Points, Reader, Store, Writer
from ingest_assets.collection.marks import Mark
from ingest_assets.fields import FilterField
from ingest_assets.ledger import Ledger
from ingest_assets.model import SparseVectors
from ingest_assets.reconcile import Run, Stage, Step


class Crash(Exception):  # noqa: N818 - it stands for the end of a process, not for an error
    """The process ends here."""


class Fuse:
    """Raises Crash after `n` points once it is lit with `light(n)`; never if it is not lit."""

    def __init__(self) -> None:
        self._left: int | None = None

    def light(self, points: int | None) -> None:
        self._left = points

    @property
    def burnt(self) -> bool:
        return self._left is None

    def point(self) -> None:
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self._left = None
            raise Crash


class FusedStore:
    """A store that can crash before, in the middle of and after each thing it is asked to do."""

    def __init__(self, inner: Store, fuse: Fuse) -> None:
        self.inner, self._fuse = inner, fuse
        self.commit_every, self.layout = inner.commit_every, inner.layout

    @property
    def place(self) -> str:
        return self.inner.place

    def live(self, collection: str) -> int | None:
        return self.inner.live(collection)

    def revision(self, collection: str) -> str:
        return self.inner.revision(collection)

    def generations(self, collection: str) -> list[int]:
        return self.inner.generations(collection)

    def create(
        self,
        collection: str,
        generation: int,
        dimension: int,
        fields: Sequence[FilterField] = (),
        mark: Mark | None = None,
    ) -> None:
        self._fuse.point()
        self.inner.create(collection, generation, dimension, fields, mark)
        self._fuse.point()

    def mark(self, collection: str, generation: int) -> Mark | None:
        return self.inner.mark(collection, generation)

    def set_mark(self, collection: str, generation: int, mark: Mark) -> None:
        self._fuse.point()
        self.inner.set_mark(collection, generation, mark)
        self._fuse.point()

    def claim(self, collection: str, mark: Mark) -> Mark:
        self._fuse.point()
        held = self.inner.claim(collection, mark)
        self._fuse.point()
        return held

    @contextmanager
    def writer(self, collection: str, generation: int) -> Iterator[Writer]:
        with self.inner.writer(collection, generation) as writer:
            yield _FusedWriter(writer, self._fuse)

    def reader(self, collection: str, generation: int | None = None) -> AbstractContextManager[Reader]:
        return self.inner.reader(collection, generation)

    def adapt(self, collection: str, generation: int) -> bool:
        self._fuse.point()
        return self.inner.adapt(collection, generation)

    def settle(self, collection: str, generation: int) -> None:
        self._fuse.point()
        self.inner.settle(collection, generation)
        self._fuse.point()

    def health(self, collection: str, generation: int) -> Health | None:
        return self.inner.health(collection, generation)

    def at_each_node(self) -> dict[str, Store]:
        return self.inner.at_each_node()

    def publish(self, collection: str, generation: int) -> None:
        self._fuse.point()
        self.inner.publish(collection, generation)
        self._fuse.point()

    def drop(self, collection: str, generation: int) -> None:
        self._fuse.point()
        self.inner.drop(collection, generation)
        self._fuse.point()

    def close(self) -> None:
        self.inner.close()


class _FusedWriter:
    def __init__(self, inner: Writer, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def upsert(self, points: Points) -> None:
        half = len(points.ids) // 2
        self._fuse.point()
        for part in (slice(None, half), slice(half, None)):
            if piece := _slice(points, part):
                self._inner.upsert(piece)
                self._fuse.point()

    def delete(self, ids: Sequence[str]) -> None:
        half = len(ids) // 2
        self._fuse.point()
        for part in (ids[:half], ids[half:]):
            self._inner.delete(part)
            self._fuse.point()

    def commit(self) -> None:
        self._fuse.point()
        self._inner.commit()
        self._fuse.point()


def _slice(points: Points, part: slice) -> Points | None:
    first, stop, _ = part.indices(len(points.ids))
    if first == stop:
        return None
    lo, hi = points.sparse.offsets[first], points.sparse.offsets[stop]
    offsets = points.sparse.offsets[first : stop + 1] - lo
    sparse = SparseVectors(offsets, points.sparse.indices[lo:hi], points.sparse.values[lo:hi])
    return Points(points.ids[part], points.dense[part], sparse, points.payloads[part])


class FusedStage:
    """A stage that can crash when a step's work is done, and when it is recorded."""

    def __init__(self, inner: Stage, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse
        self.source, self.name, self.part = inner.source, inner.name, inner.part
        self.fingerprint = inner.fingerprint

    def input_digest(self, connection: sa.Connection) -> str | None:
        return self._inner.input_digest(connection)

    def steps(self, ledger: Ledger, session: sa.Connection, run: Run) -> Generator[Step]:
        for step in self._inner.steps(ledger, session, run):
            self._fuse.point()
            yield step
            self._fuse.point()

    def content(self, connection: sa.Connection) -> str:
        return self._inner.content(connection)

    def total(self, connection: sa.Connection) -> int:
        return self._inner.total(connection)
