"""What a query and its answer are, whoever answers.

What belongs here: hits, modes, and what is wrong with a query whatever the index holds. What does not: how an
answer is made (`search`), and how an interface presents it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, get_args

from ingest_assets.model import COMMON, Common, ConfigurationError, RequestError
from ingest_assets.queries.reach import Reach

Mode = Literal["dense", "sparse", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)
MAX_LIMIT = 1_000


class QueryError(RequestError, ConfigurationError):
    """The query is wrong, whatever the settings are. Its message reveals nothing about this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Common):
    """One chunk that was found. `scores` are those of the legs that found it."""

    score: float
    chunk_id: str
    document_id: str
    entity_ids: list[str]
    text: str
    attributes: dict[str, Any]  # what its source adds: for code, its language, symbol and lines
    scores: dict[str, float] = field(default_factory=dict)
    # A sentence, if it is of an older version of its document, because the newer one was refused.
    stale: str | None = None


_NAMES = ("score", "chunk_id", "document_id", *COMMON, "entity_ids", "text", "attributes", "scores")


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer to one query, best first."""

    query: str
    source: str
    mode: Mode
    collection: str
    generation: int
    took_ms: float
    hits: list[Hit]

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """For JSON, with the legs' scores on request."""
        # Not `asdict`, which copies every value and takes longer than everything else here.
        shown = _NAMES if scores else [name for name in _NAMES if name != "scores"]
        answer = {each.name: getattr(self, each.name) for each in fields(self)}
        return answer | {"hits": [_shown(hit, shown) for hit in self.hits]}


class CleanHits(Hits):
    """Hits in which no secret is that this process knows: to look for one again would take longest of all.

    They are equal to the same hits without that knowledge.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        names = [each.name for each in fields(Hits)]
        return isinstance(other, Hits) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # as that of what holds lists


def _shown(hit: Hit, names: Sequence[str]) -> dict[str, Any]:
    """A hit as a mapping; `stale` is there only if it is."""
    values = {name: getattr(hit, name) for name in names}
    return values | {"stale": hit.stale} if hit.stale else values


class SourceSearch(Protocol):
    """Answers queries of one source."""

    def search(
        self,
        query: str,
        *,
        mode: Mode = "hybrid",
        limit: int = 10,
        where: Mapping[str, Sequence[str]] | None = None,
        reach: Reach | None = None,
    ) -> Hits:
        """The best `limit` chunks (1 to 1,000) for a query, of those within reach of whoever asks.

        `where` maps fields to values of which one must match. Raises QueryError for an empty query and for a
        wrong mode, field or limit; OutOfReachError for a project or a source that is out of reach;
        ConfigurationError when the collection was built by another model than the settings name;
        NotPublishedError when there is nothing to search yet.
        """
        ...


def check(query: str, mode: str, limit: int) -> None:
    """Raises QueryError for a query that cannot be answered, whatever the index holds."""
    if not query.strip():
        raise QueryError("The query is empty: say what to look for.")
    if mode not in MODES:
        raise QueryError(f"There is no mode {mode!r}. Modes: {', '.join(MODES)}.")
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"The limit must be 1 to {MAX_LIMIT}, not {limit}.")
