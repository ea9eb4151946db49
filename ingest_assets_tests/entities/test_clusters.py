"""Clusters: what decides, what must not, and that order makes no difference."""

from __future__ import annotations

import random
from functools import partial
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.entities.clusters import ABSENT, Pair, components, weakest_links
from ingest_assets.entities.clusters import cluster as cluster_at

JOIN_AT = 0.0
cluster = partial(cluster_at, join_at=JOIN_AT)

MEMBERS = [f"people/{n}" for n in range(9)]
_pair = st.sampled_from(list(combinations(MEMBERS, 2)))
_pairs = st.dictionaries(_pair, st.integers(-5_000_000, 25_000_000).map(lambda n: n / 1e6), max_size=20).map(
    lambda found: [(a, b, weight) for (a, b), weight in found.items()]
)
_decisions = st.lists(_pair, max_size=4)


def _together(clusters: list[tuple[str, ...]], a: str, b: str) -> bool:
    return any(a in found and b in found for found in clusters)


@settings(max_examples=200)
@given(_pairs, _decisions, _decisions, st.integers())
def test_the_order_does_not_matter(
    pairs: list[Pair], same: list[tuple[str, str]], different: list[tuple[str, str]], seed: int
) -> None:
    expected = cluster(MEMBERS, pairs, same, different)
    shuffled = [list(values) for values in (MEMBERS, pairs, same, different)]
    for values in shuffled:
        random.Random(seed).shuffle(values)
    turned = [(b, a) for a, b in shuffled[2]]
    assert cluster(shuffled[0], shuffled[1], turned, shuffled[3]) == expected  # type: ignore[arg-type]
    assert sorted(m for found in expected.clusters for m in found) == MEMBERS


@settings(max_examples=200)
@given(_pairs, _decisions, _decisions)
def test_each_component_can_be_clustered_alone(
    pairs: list[Pair], same: list[tuple[str, str]], different: list[tuple[str, str]]
) -> None:
    together = cluster(MEMBERS, pairs, same, different)
    alone = []
    for part in components(MEMBERS, pairs, same, join_at=JOIN_AT):
        mine = [pair for pair in pairs if pair[0] in part and pair[1] in part]
        alone += cluster(part, mine, [s for s in same if s[0] in part], different).clusters
    assert sorted(alone) == together.clusters


@settings(max_examples=300)
@given(_pairs, _decisions, _decisions)
def test_decisions_hold_unless_they_contradict_each_other(
    pairs: list[Pair], same: list[tuple[str, str]], different: list[tuple[str, str]]
) -> None:
    found = cluster(MEMBERS, pairs, same, different)
    aside = {(c.left, c.right) for c in found.contradictions}
    for a, b in same:
        assert (a, b) in aside or _together(found.clusters, a, b)
    for a, b in different:
        assert (a, b) in aside or not _together(found.clusters, a, b)
    by_decision = components(MEMBERS, [], same, join_at=JOIN_AT)
    assert bool(found.contradictions) == any(_together(by_decision, a, b) for a, b in different)


def test_a_strong_link_does_not_join_two_groups_that_do_not_match() -> None:
    left, right = [f"a{n}" for n in range(4)], [f"b{n}" for n in range(4)]
    pairs = [(a, b, 12.0) for group in (left, right) for a, b in combinations(group, 2)]
    assert cluster(left + right, [*pairs, ("a0", "b0", 30.0)]).clusters == [tuple(left), tuple(right)]


def test_one_weak_pair_inside_a_group_is_outweighed() -> None:
    pairs = [("a", "b", 9.0), ("a", "c", 9.0), ("b", "c", -3.0)]
    assert cluster("abc", pairs).clusters == [("a", "b", "c")]
    assert cluster("ab", [("a", "b", JOIN_AT - 0.1)]).clusters == [("a",), ("b",)]
    assert ABSENT < JOIN_AT


def test_a_link_refused_by_a_decision_is_reported() -> None:
    found = cluster("ab", [("a", "b", 9.0)], different=[("b", "a")])
    assert found.clusters == [("a",), ("b",)]
    assert found.refused == [("a", "b", 9.0)]
    assert not found.contradictions


def test_decisions_about_unknown_records_are_ignored() -> None:
    assert cluster("ab", [], same=[("a", "gone")], different=[("gone", "b")]).clusters == [("a",), ("b",)]


def test_the_weakest_links_are_those_of_the_spanning_tree() -> None:
    pairs = [("a", "b", 9.0), ("b", "c", 2.0), ("a", "c", 1.0), ("c", "d", 7.0), ("x", "y", 0.0)]
    assert weakest_links("abcd", pairs, 2) == [("b", "c", 2.0), ("c", "d", 7.0)]
