"""Walks over the graph: what lies within a few hops, and the shortest path between two entities.

A walk goes along relationships in either direction, the surest first. It is bounded at every level, whatever
the graph looks like, and says where it did not look.

What belongs here: the walks. What does not: what is said of what they found (`graph_edges`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from ingest_assets.sources.papers.graph.edges import Edge, Wanted, edges_around_each

MAX_HOPS, MAX_PATH = 4, 6
EXPANDED = 200  # entities per level whose relationships are followed
FOLLOWED = 50  # relationships of each, the surest
FOUND = 2_000  # entities that one answer can be about


@dataclass(slots=True)
class Walk:
    """What was reached from an entity: in the order in which it was reached, with the edge that led there."""

    start: str
    hops: dict[str, int] = field(default_factory=dict)
    by: dict[str, Edge] = field(default_factory=dict)
    frontier: list[str] = field(default_factory=list)
    level: int = 0
    cuts: list[str] = field(default_factory=list)  # sentences

    def __post_init__(self) -> None:
        self.hops[self.start] = 0
        self.frontier = [self.start]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a level is looked at."""

    expanded: int = EXPANDED
    followed: int = FOLLOWED
    found: int = FOUND


OF_PATHS = Bounds(expanded=500, followed=500, found=200_000)


def within(
    connection: sa.Connection,
    source: str,
    start: str,
    hops: int,
    wanted: Wanted,
    bounds: Bounds,
) -> Walk:
    """The entities within so many hops, the nearest first, along relationships as they are wanted."""
    walk = Walk(start)
    while walk.frontier and walk.level < hops:
        _advance(connection, source, walk, wanted, bounds)
    return walk


def _advance(
    connection: sa.Connection,
    source: str,
    walk: Walk,
    wanted: Wanted,
    bounds: Bounds,
) -> list[str]:
    """Reach the next level, as far as the bounds allow. Returns it, even if the walk ends with it."""
    walk.level += 1
    reached: list[str] = []
    if len(walk.frontier) > bounds.expanded:
        left_out = len(walk.frontier) - bounds.expanded
        walk.cuts.append(
            f"At hop {walk.level}, the relationships of {left_out:,} entities were not followed."
        )
    surest = replace(wanted, limit=bounds.followed + 1)
    for entity, found in edges_around_each(connection, source, walk.frontier[: bounds.expanded], surest):
        if len(found) > bounds.followed:
            walk.cuts.append(f"Of {entity}, only the {bounds.followed:,} surest relationships were followed.")
        for edge in found[: bounds.followed]:
            other = edge.other(entity)
            if other in walk.hops:
                continue
            if len(walk.hops) > bounds.found:
                walk.cuts.append(f"The walk ended after {bounds.found:,} entities.")
                walk.frontier = []
                return reached
            walk.hops[other], walk.by[other] = walk.level, edge
            reached.append(other)
    walk.frontier = reached
    return reached


@dataclass(frozen=True, slots=True)
class Route:
    """The shortest way that was found: None if there is none within the bounds."""

    edges: tuple[Edge, ...] | None
    cuts: tuple[str, ...]


def shortest(
    connection: sa.Connection,
    source: str,
    start: str,
    end: str,
    hops: int,
    wanted: Wanted,
    bounds: Bounds,
) -> Route:
    """A shortest path, breadth first from both ends; of several the one whose weakest statement is surest.

    It is certainly the shortest if nothing was cut.
    """
    sides = (Walk(start), Walk(end))
    if start == end:
        return Route((), ())
    while sum(side.level for side in sides) < hops and all(side.frontier for side in sides):
        near = min(sides, key=lambda side: (len(side.frontier), side is sides[1]))
        reached = _advance(connection, source, near, wanted, bounds)
        far = sides[1] if near is sides[0] else sides[0]
        if meeting := [each for each in reached if each in far.hops]:
            return Route(_best(sides, meeting), _cuts(sides))
    return Route(None, _cuts(sides))


def _best(sides: Sequence[Walk], meeting: Sequence[str]) -> tuple[Edge, ...]:
    routes = [(*reversed(_back(sides[0], each)), *_back(sides[1], each)) for each in meeting]
    return min(
        routes, key=lambda route: (len(route), [-each for each in sorted(e.confidence for e in route)], route)
    )


def _back(walk: Walk, entity: str) -> list[Edge]:
    """The edges from an entity to where a walk began."""
    found: list[Edge] = []
    while entity != walk.start:
        edge = walk.by[entity]
        found.append(edge)
        entity = edge.other(entity)
    return found


def _cuts(sides: Sequence[Walk]) -> tuple[str, ...]:
    return tuple(cut for side in sides for cut in side.cuts)
