"""What a server allows to be asked of a collection: its strict mode, which managed Qdrant has on.

What belongs here: limits that a request could exceed. Filters are of indexed fields only, and no request has
a timeout of its own, so those limits need no care.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ingest_assets.collection.server.faults import LimitedError
from ingest_assets.collection.server.layout import CANDIDATES

KEPT_S = 60.0  # somebody may change them on the server


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


class KeptLimits:
    """Those of several collections, which need not be asked for before each request."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Limits]] = {}

    @contextmanager
    def of(self, name: str, info: Callable[[], Any]) -> Iterator[Limits]:
        """Those of a collection, for the block. `info` asks the server, again if one turns out lower."""
        try:
            yield self._kept_or_asked(name, info)
        except LimitedError:
            self.forget(name)
            raise

    def forget(self, *names: str) -> None:
        """Ask again for those of these collections; of all if none is named."""
        for name in names or list(self._kept):
            self._kept.pop(name, None)

    def _kept_or_asked(self, name: str, info: Callable[[], Any]) -> Limits:
        at, found = self._kept.get(name, (0.0, Limits()))
        if not at or time.monotonic() - at > KEPT_S:
            found = limits_of(info())
            self._kept[name] = (time.monotonic(), found)
        return found


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
