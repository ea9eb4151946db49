"""What a store of collections can do, whichever engine it is.

A collection is addressed by its name; behind the name stands one *generation*, an index built by one
pipeline. A generation is written beside the live one and then published in one step. Both engines
pass the same tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from ingest_assets.model import Float32Array, SparseVectors

DENSE, SPARSE = "dense", "bm25"

# Payload fields of every source that can be filtered by, indexed before any point is loaded.
KEYWORD_FIELDS = ("document_id", "kind", "entity_ids", "source")
DATETIME_FIELDS = ("time",)
# Bounds of `time`, as filters name them: not before, not after.
SINCE, UNTIL = "since", "until"
FILTERABLE = (*KEYWORD_FIELDS, SINCE, UNTIL)

# All fields that every source's points carry; what else they carry is its own.
COMMON_FIELDS = frozenset(
    {*KEYWORD_FIELDS, *DATETIME_FIELDS, "title", "uri", "text", "position", "start", "end", "digest"}
)

# Bump when the payload or the index of a point is made differently.
SCHEMA_VERSION = "1"

Payload = dict[str, Any]
# Field: the values of which a point must have one; fields are ANDed. `since` and `until` take ISO 8601.
Filter = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Points:
    """A batch of points: `ids` are UUIDs, row i of each array belongs to ids[i]."""

    ids: Sequence[str]
    dense: Float32Array  # (n, dimension)
    sparse: SparseVectors
    payloads: Sequence[Payload]


class Scored(NamedTuple):  # two hundred a query: a tuple is made in a third of the time
    """One hit of one leg. The payload is fetched later, for those that are shown."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Leg:
    """One half of a hybrid query: which vector to search by, and the query as such a vector."""

    using: Literal["dense", "bm25"]
    dense: Float32Array | None = None
    sparse: SparseVectors | None = None


class Writer(Protocol):
    """The one writer of a generation. What it wrote counts when `commit` has returned."""

    def upsert(self, points: Points) -> None: ...

    def delete(self, ids: Sequence[str]) -> None: ...

    def commit(self) -> None:
        """Make all that was written durable, and visible if the generation is live."""
        ...


class Reader(Protocol):
    """One generation as it stood when the reader was opened (embedded) or stands now (server)."""

    @property
    def generation(self) -> int: ...

    def query(self, legs: Sequence[Leg], limit: int, where: Filter | None = None) -> list[list[Scored]]:
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

    # How many points may be written before a commit; None: commit at the end only, because a commit
    # costs about as much as the collection is large.
    commit_every: int | None

    def live(self, collection: str) -> int | None:
        """The generation that the name points to; None when nothing was ever published."""
        ...

    def generations(self, collection: str) -> list[int]:
        """Those that exist in the store, ascending, published or not."""
        ...

    def create(self, collection: str, generation: int, dimension: int, fields: Sequence[str] = ()) -> None:
        """An empty generation with its vectors and payload indexes; one of that number is replaced.

        `fields` are indexed besides KEYWORD_FIELDS, as keywords.
        """
        ...

    def writer(self, collection: str, generation: int) -> AbstractContextManager[Writer]: ...

    def reader(self, collection: str, generation: int | None = None) -> AbstractContextManager[Reader]:
        """Of the live generation, or of the one asked for. Raises NotPublishedError when there is none."""
        ...

    def publish(self, collection: str, generation: int) -> None:
        """Let the name point to this generation, in one step."""
        ...

    def drop(self, collection: str, generation: int) -> None:
        """Remove a generation. One that does not exist is no error."""
        ...

    def close(self) -> None: ...
