"""Merge two rankings into one.

Of about thirty rules tried on six judged collections with a model of the bundled kind, min-max scaling of
each leg's best hundred with equal weights was the only one never below the better leg (docs/architecture.md).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from ingest_assets.collection.base import ScoredPoint

LEG_LIMIT = 100


def min_max(legs: Sequence[Sequence[ScoredPoint]], limit: int) -> list[ScoredPoint]:
    """The mean of the legs' scores, each leg scaled to [0, 1]; a point that a leg lacks counts 0 there.

    The best `limit`, best first; ties by id, so that equal scores come in the same order every time.
    """
    fused: dict[str, float] = {}
    for leg in legs:
        if not leg:
            continue
        scores = [score for _, score in leg]
        low, span = min(scores), max(scores) - min(scores)
        for key, score in leg:
            # With one hit, or equal ones, there is nothing to scale: each is the leg's best.
            share = (score - low) / span if span else 1.0
            fused[key] = fused.get(key, 0.0) + share / len(legs)
    best = heapq.nsmallest(limit, [(-score, key) for key, score in fused.items()])
    return [ScoredPoint(key, -score) for score, key in best]
