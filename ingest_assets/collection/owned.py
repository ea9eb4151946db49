"""A store in which an installation touches and searches only what is its own.

What belongs here: the rule, and the sentences that say whose something is. What does not: where engines
keep marks, and what a ledger knows of generations from before there were marks (`recorded`, given by the
workbench).

The rule: a name belongs to whoever claimed it first, which a store decides in one step; and each generation
carries a mark of its own, so that points are never taken for ours because their name is, or their number. A
generation without a mark is ours if the ledger recognises it; otherwise it is nobody's, and is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from ingest_assets.collection.base import Health, Points, Reader, Store, Writer
from ingest_assets.collection.marks import NAME, Mark
from ingest_assets.fields import FilterField
from ingest_assets.ledger.installation import Installation
from ingest_assets.model import ConfigurationError

# For how long an answer to whose a generation is serves searches. Nothing is written on the strength of it.
SEARCHED_S = 10.0
NOBODY = "nobody that is known"
# The pipeline of a generation that the ledger recognises as its own; else None.
Recorded = Callable[[str, int], str | None]


class NotOursError(ConfigurationError):
    """A collection belongs to another installation, or to none that is known. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What `ingest adopt` would take: everything under a name, and whose it is."""

    collection: str
    generations: tuple[int, ...]
    strange: tuple[int, ...]  # those of them that are not ours
    live: int | None
    owners: tuple[str, ...]  # for people; those who are not this installation


class OwnedStore:
    """A `Store`. Every call that touches something first finds out whose it is, and raises NotOursError."""

    def __init__(
        self, inner: Store, owner: Installation, sources: Mapping[str, str], recorded: Recorded
    ) -> None:
        """`sources` are the names of the sources by their collections'."""
        self.inner, self.owner = inner, owner
        self._sources, self._recorded = sources, recorded
        self.commit_every, self.layout = inner.commit_every, inner.layout
        self._seen: dict[tuple[str, int], float] = {}  # generations that are ours, and when that was asked

    @property
    def place(self) -> str:
        return self.inner.place

    def live(self, collection: str) -> int | None:
        """The generation that the name points to. Whose it is, is asked now and then only: searches wait."""
        number = self.inner.live(collection)
        now = time.monotonic()
        if number is not None and now - self._seen.get((collection, number), -inf) > SEARCHED_S:
            self._require(collection, number)
            self._seen[collection, number] = now
        return number

    def revision(self, collection: str) -> str:
        return self.inner.revision(collection)

    def generations(self, collection: str) -> list[int]:
        """All of them, whoever made them."""
        return self.inner.generations(collection)

    def own_generations(self, collection: str) -> list[int]:
        """Those that this installation made."""
        present = self.inner.generations(collection)
        return [number for number in present if self._is_ours(collection, number)]

    def create(
        self,
        collection: str,
        generation: int,
        dimension: int,
        fields: Sequence[FilterField] = (),
        mark: Mark | None = None,
    ) -> None:
        self._claim(collection)
        if generation in self.inner.generations(collection):
            self._require(collection, generation)
        self.inner.create(collection, generation, dimension, fields, mark or self.own_mark(collection))

    @contextmanager
    def writer(self, collection: str, generation: int) -> Iterator[Writer]:
        self._take_up(collection, generation)
        with self.inner.writer(collection, generation) as writer:
            yield _OwnedWriter(writer, lambda: self._require_name(collection))

    @contextmanager
    def reader(self, collection: str, generation: int | None = None) -> Iterator[Reader]:
        if generation is not None:
            self._require(collection, generation)
        with self.inner.reader(collection, generation or self.live(collection)) as reader:
            yield reader

    def adapt(self, collection: str, generation: int) -> bool:
        self._require(collection, generation)
        return self.inner.adapt(collection, generation)

    def settle(self, collection: str, generation: int) -> None:
        self._require(collection, generation)
        self.inner.settle(collection, generation)

    def health(self, collection: str, generation: int) -> Health | None:
        """How far a server has come with a generation, whoever's it is."""
        return self.inner.health(collection, generation)

    def at_each_node(self) -> dict[str, Store]:
        return {
            url: OwnedStore(node, self.owner, self._sources, self._recorded)
            for url, node in self.inner.at_each_node().items()
        }

    def publish(self, collection: str, generation: int) -> None:
        self._take_up(collection, generation)
        self.inner.publish(collection, generation)
        # Nothing keeps another installation from adopting the name between the two.
        self._require(collection, generation)

    def drop(self, collection: str, generation: int) -> None:
        if generation in self.inner.generations(collection):
            self._require(collection, generation)
        self.inner.drop(collection, generation)

    def mark(self, collection: str, generation: int) -> Mark | None:
        return self.inner.mark(collection, generation)

    def set_mark(self, collection: str, generation: int, mark: Mark) -> None:
        self.inner.set_mark(collection, generation, mark)

    def claim(self, collection: str, mark: Mark) -> Mark:
        return self.inner.claim(collection, mark)

    def close(self) -> None:
        self.inner.close()

    # Taking over

    def not_ours(self, collection: str) -> Claim | None:
        """What is under this name and does not belong to this installation; None if all of it does."""
        present = self.inner.generations(collection)
        marks = {number: self.inner.mark(collection, number) for number in (NAME, *present)}
        strange = [
            number
            for number, mark in marks.items()
            if (mark is None and number != NAME and self._recorded(collection, number) is None)
            or (mark is not None and mark.owner.id != self.owner.id)
        ]
        if not strange:
            return None
        owners = {str(mark.owner) if (mark := marks[number]) else NOBODY for number in strange}
        live = self.inner.live(collection)
        numbers = tuple(number for number in strange if number != NAME)
        return Claim(collection, tuple(present), numbers, live, tuple(sorted(owners)))

    def adopt(self, collection: str) -> None:
        """Mark the name and all its generations as ours, whoever's they were."""
        marks = {number: self.inner.mark(collection, number) for number in self.inner.generations(collection)}
        # The name first: from then on its earlier owner adds nothing more.
        self.inner.set_mark(collection, NAME, self.own_mark(collection))
        for number, mark in marks.items():
            pipeline = mark.pipeline if mark else self._recorded(collection, number) or ""
            self.inner.set_mark(collection, number, self.own_mark(collection, pipeline))

    # Whose something is

    def own_mark(self, collection: str, pipeline: str = "") -> Mark:
        """The mark that says that something is ours."""
        return Mark(self.owner, self._sources.get(collection, ""), pipeline)

    def _is_ours(self, collection: str, generation: int) -> bool:
        mark = self.inner.mark(collection, generation)
        if mark is None:
            return self._recorded(collection, generation) is not None
        return mark.owner.id == self.owner.id

    def _require(self, collection: str, generation: int) -> None:
        """Raises NotOursError unless the name and the generation are ours. Writes nothing."""
        self._require_name(collection)
        if not self._is_ours(collection, generation):
            raise self._refusal(collection, self.inner.mark(collection, generation), generation)

    def _require_name(self, collection: str) -> None:
        held = self.inner.mark(collection, NAME)
        if held is not None and held.owner.id != self.owner.id:
            raise self._refusal(collection, held)

    def _take_up(self, collection: str, generation: int) -> None:
        """The same as `_require`; and marks what is ours and lacks a mark."""
        self._require(collection, generation)
        self._claim(collection)
        if self.inner.mark(collection, generation) is None:
            pipeline = self._recorded(collection, generation) or ""
            self.inner.set_mark(collection, generation, self.own_mark(collection, pipeline))

    def _claim(self, collection: str) -> None:
        """Be the owner of a name, if nobody else is."""
        held = self.inner.mark(collection, NAME)
        if held is None:
            for number in self.inner.generations(collection):
                if not self._is_ours(collection, number):
                    raise self._refusal(collection, self.inner.mark(collection, number), number)
            held = self.inner.claim(collection, self.own_mark(collection))
        if held.owner.id != self.owner.id:
            raise self._refusal(collection, held)

    def _refusal(self, collection: str, mark: Mark | None, generation: int = NAME) -> NotOursError:
        what = f"Generation {generation} of {collection}" if generation else f"The index {collection}"
        whose = (
            f"belongs to the installation {mark.owner}"
            if mark
            else "does not say whose it is, and the ledger did not make it"
        )
        return NotOursError(
            f"{what} in this store {whose}; this is the installation {self.owner}. It was not touched. To "
            "have an index of your own in the same store, set INGEST_COLLECTION_PREFIX. If it is yours, as "
            "after a move or with a new ledger, take it over with `ingest adopt`."
        )


class _OwnedWriter:
    """Asks whose the name is before every write: somebody may adopt it midway."""

    def __init__(self, inner: Writer, require: Callable[[], None]) -> None:
        self._inner, self._require = inner, require

    def upsert(self, points: Points) -> None:
        self._require()
        self._inner.upsert(points)

    def delete(self, ids: Sequence[str]) -> None:
        self._require()
        self._inner.delete(ids)

    def commit(self) -> None:
        self._require()
        self._inner.commit()
