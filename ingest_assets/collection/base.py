"""What a store of collections can do, whichever engine it is.

A collection is addressed by its name; behind the name stands one *generation*, an index built by one
pipeline. A generation is written beside the live one and then published in one step. Both engines
pass the same tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from ingest_assets.collection.marks import Mark
from ingest_assets.fields import COMMON_FIELDS, TIME_FIELDS, Conditions, FieldType, FilterField
from ingest_assets.model import Float32Array, SparseVectors

DENSE, SPARSE = "dense", "bm25"

# Bump when a point's payload or index is made differently.
SCHEMA_VERSION = "1"

Payload = dict[str, Any]


def payload_indexes(fields: Sequence[FilterField]) -> dict[str, FieldType]:
    """The payload fields that are indexed, before any point is loaded, and how."""
    common: dict[str, FieldType] = {each.name: each.type for each in COMMON_FIELDS}
    times: dict[str, FieldType] = dict.fromkeys(TIME_FIELDS, "time")
    return common | times | {each.name: each.type for each in fields}


@dataclass(frozen=True, slots=True)
class Points:
    """A batch of points: `ids` are UUIDs, row i of each array belongs to ids[i]."""

    ids: Sequence[str]
    dense: Float32Array  # (n, dimension)
    sparse: SparseVectors
    payloads: Sequence[Payload]


class ScoredPoint(NamedTuple):  # two hundred per query: a tuple is created in a third of the time
    """One hit of one leg. The payload is fetched later, for those that are shown."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Leg:
    """One half of a hybrid query: which vector to search by, and the query as such a vector."""

    using: Literal["dense", "bm25"]
    dense: Float32Array | None = None
    sparse: SparseVectors | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How far a server has come with a generation. Counts may be estimates.

    `status` is green (all is indexed), yellow (it is at work), grey (it will be after the next write) or
    red (it failed). `indexed` counts vectors of both kinds, of large segments only: small ones are scanned.
    """

    status: str
    points: int
    indexed: int
    segments: int
    queued: int  # writes that were acknowledged and are not applied yet
    replicas: str = ""  # what is wrong with them
    error: str = ""  # why indexing failed

    @property
    def is_ready(self) -> bool:
        """Whether nothing is left to do."""
        return self.status == "green" and not self.queued and not self.replicas

    @property
    def remedy(self) -> str:
        """What can be done when it stays like this."""
        if self.replicas:
            return "Bring the nodes back that hold them, or remove those from the cluster."
        return "See its log."

    def __str__(self) -> str:
        at_work = f", {self.queued:,} writes waiting" if self.queued else ""
        said = "".join(f"; {each}" for each in (self.replicas, self.error) if each)
        return (
            f"{self.status}, {self.points:,} points, {self.indexed:,} vectors indexed, "
            f"{self.segments:,} segments{at_work}{said}"
        )


class Writer(Protocol):
    """The one writer of a generation. Its writes count once `commit` has returned."""

    def upsert(self, points: Points) -> None: ...

    def delete(self, ids: Sequence[str]) -> None: ...

    def commit(self) -> None:
        """Make everything written durable, and visible if the generation is live."""
        ...


class Reader(Protocol):
    """One generation as it stood when the reader was opened (embedded) or stands now (server)."""

    @property
    def generation(self) -> int: ...

    def query(self, legs: Sequence[Leg], limit: int, where: Conditions = ()) -> list[list[ScoredPoint]]:
        """The best `limit` points of each leg, best first, in one request."""
        ...

    def payloads(self, ids: Sequence[str]) -> dict[str, Payload]:
        """The payloads of those points that exist."""
        ...

    def count(self) -> int: ...

    def scan(self) -> Iterator[tuple[str, str]]:
        """(point id, payload digest) of every point."""
        ...

    def without_sparse(self) -> list[str]:
        """Ids of the points that have no sparse vector."""
        ...


class Store(Protocol):
    """Collections by name. Raises UnavailableError when the engine does not answer."""

    # How many points may be written before a commit; None: commit at the end only, because the cost of a
    # commit grows with the size of the collection.
    commit_every: int | None
    # What the settings want of a generation that is not part of its pipeline; "" if there is nothing.
    layout: str

    @property
    def place(self) -> str:
        """What holds the collections, at the start of a message."""
        ...

    def live(self, collection: str) -> int | None:
        """The generation that the name points to; None if nothing was ever published."""
        ...

    def revision(self, collection: str) -> str:
        """What the live generation holds now, where the engine gives it a name; else "".

        A name is never that of other points; "" if nothing was ever published.
        """
        ...

    def generations(self, collection: str) -> list[int]:
        """The generations in the store, ascending, published or not."""
        ...

    def create(
        self,
        collection: str,
        generation: int,
        dimension: int,
        fields: Sequence[FilterField] = (),
        mark: Mark | None = None,
    ) -> None:
        """Create an empty generation with its payload indexes and mark, replacing any of the same number.

        `fields` are indexed in addition to those that every source's points have.
        """
        ...

    def writer(self, collection: str, generation: int) -> AbstractContextManager[Writer]: ...

    def reader(self, collection: str, generation: int | None = None) -> AbstractContextManager[Reader]:
        """A reader of the live or the given generation. Raises NotPublishedError if there is none."""
        ...

    def adapt(self, collection: str, generation: int) -> bool:
        """Change in place what the settings want of a generation. False if only a new one can have it."""
        ...

    def settle(self, collection: str, generation: int) -> None:
        """Wait until a loaded generation is indexed and whole, with progress in the log.

        Raises UnavailableError if it takes longer than the settings allow, or fails.
        """
        ...

    def health(self, collection: str, generation: int) -> Health | None:
        """How far a server has come with a generation; None where there is no server."""
        ...

    def at_each_node(self) -> dict[str, Store]:
        """This store as each node of a cluster has it, by the node's URL; empty if there is only one.

        Each has to be closed.
        """
        ...

    def publish(self, collection: str, generation: int) -> None:
        """Make the name point to this generation, in one step."""
        ...

    def drop(self, collection: str, generation: int) -> None:
        """Remove a generation. It need not exist."""
        ...

    def mark(self, collection: str, generation: int) -> Mark | None:
        """The mark of a generation, or of the name itself (`marks.NAME`); None if it has none."""
        ...

    def set_mark(self, collection: str, generation: int, mark: Mark) -> None:
        """Mark an existing generation, or the name itself, whatever its mark was."""
        ...

    def claim(self, collection: str, mark: Mark) -> Mark:
        """Mark the name unless it has a mark; of several at once, exactly one succeeds.

        Returns the mark that the name has then.
        """
        ...

    def close(self) -> None: ...
