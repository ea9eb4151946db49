"""What a server allows to be asked of a collection: its strict mode, which managed Qdrant has on.

What belongs here: limits that a request could exceed. Filters are of indexed fields only, and no request has
a timeout of its own, so those limits need no care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingest_assets.collection.server.layout import CANDIDATES


@dataclass(frozen=True, slots=True)
class Limits:
    """None where there is no limit."""

    points_per_upsert: int | None = None
    points_per_query: int | None = None  # also of a page of a scroll
    points_per_retrieval: int | None = None  # by their ids
    queries_per_request: int | None = None
    writes_at_once: int | None = None
    exact: bool = True  # whether exact counts are allowed
    hnsw_ef: int = CANDIDATES
    oversampling: float | None = None

    def upsert(self, wanted: int) -> int:
        """How many points to send at once."""
        return min(wanted, self.points_per_upsert or wanted)

    def streams(self, wanted: int) -> int:
        """How many requests with points to have in flight."""
        return min(wanted, self.writes_at_once or wanted)

    def page(self, wanted: int) -> int:
        """How many points to ask for at once."""
        return min(wanted, self.points_per_query or wanted)

    def retrieval(self, wanted: int) -> int:
        """How many points to ask for at once by their ids."""
        return min(wanted, self.points_per_retrieval or wanted)


def limits_of(info: Any) -> Limits:
    """Those of a collection (`CollectionInfo`)."""
    strict = info.config.strict_mode_config
    if strict is None or not strict.enabled:
        return Limits()
    # A rate counts points that are written and retrieved: more than a minute's are never let through at once.
    upserted = [each for each in (strict.upsert_max_batchsize, strict.write_rate_limit) if each]
    return Limits(
        points_per_upsert=min(upserted, default=None),
        points_per_query=strict.max_query_limit,
        points_per_retrieval=strict.read_rate_limit,
        queries_per_request=strict.search_max_batchsize,
        # Several would take the rate from each other, until one of them has waited for too long.
        writes_at_once=1 if strict.write_rate_limit else None,
        exact=strict.search_allow_exact is not False,
        hnsw_ef=min(CANDIDATES, strict.search_max_hnsw_ef or CANDIDATES),
        oversampling=strict.search_max_oversampling,
    )
