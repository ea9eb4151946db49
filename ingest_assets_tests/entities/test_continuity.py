"""Canonical ids over any history of clusters: who keeps an id, and that every id can be resolved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.entities.continuity import Continued, EntityEvent, continue_ids, successor

# One step of a history: the cluster number of each of eight records, None where it is absent.
_step = st.lists(st.none() | st.integers(0, 4), min_size=8, max_size=8)


class World:
    """Stores what a ledger would store."""

    def __init__(self) -> None:
        self.entity_of: dict[str, str] = {}
        self.seen: dict[str, int] = {}
        self.age: dict[str, int] = {}
        self.successors: dict[str, str | None] = {}
        self.members_ever: dict[str, set[str]] = defaultdict(set)

    def arrive(self, *clusters: Sequence[str]) -> Continued:
        for member in sorted(m for found in clusters for m in found):
            self.seen.setdefault(member, len(self.seen))
        result = continue_ids(clusters, self.entity_of, self.seen, self.age, self.new_id)
        self.entity_of = result.entity_of
        for entity in result.created:
            self.age[entity] = len(self.age)
        self.successors |= result.retired
        for member, entity in self.entity_of.items():
            self.members_ever[entity].add(member)
        # A record that was deleted and comes back is a new one.
        self.seen = {m: n for m, n in self.seen.items() if m in self.entity_of}
        return result

    def new_id(self, member: str) -> str:
        number = sum(name.startswith(f"{member}#") for name in self.members_ever)
        return f"{member}#{number}"


@settings(max_examples=300)
@given(st.lists(_step, min_size=1, max_size=6))
def test_the_rules_hold_over_any_history(history: list[list[int | None]]) -> None:
    world = World()
    for step in history:
        clusters: dict[int, list[str]] = defaultdict(list)
        for record, number in enumerate(step):
            if number is not None:
                clusters[number].append(f"r{record}")
        before, age, retired_before = world.entity_of, dict(world.age), dict(world.successors)
        result = world.arrive(*clusters.values())
        ids = [{world.entity_of[m] for m in found} for found in clusters.values()]
        assert all(len(found) == 1 for found in ids), "a cluster has one id"
        assert len({i for found in ids for i in found}) == len(clusters), "an id has one cluster"
        assert not set(world.entity_of.values()) & set(retired_before), "a retired id is not used again"
        _check_claims(world, before, age)
        _check_every_change_has_its_event(world, before, result)
        for entity in world.members_ever:
            end = successor(entity, world.successors)
            assert end is None or end in world.entity_of.values()


def _check_claims(world: World, before: dict[str, str], age: dict[str, int]) -> None:
    claimed = defaultdict(set)
    for entity in set(before.values()):
        survivors = [m for m, e in before.items() if e == entity and m in world.entity_of]
        if survivors:
            oldest = min(survivors, key=lambda m: (world.seen[m], m))
            claimed[world.entity_of[oldest]].add(entity)
        else:
            assert world.successors[entity] is None
    for entity, claimants in claimed.items():
        assert entity == min(claimants, key=lambda e: (age[e], e)), "the oldest entity keeps its id"
        assert all(world.successors[other] == entity for other in claimants - {entity})


def _check_every_change_has_its_event(world: World, before: dict[str, str], result: Continued) -> None:
    recorded = {(e.kind, e.entity_id, e.other_id, e.document_id) for e in result.events}
    assert len(recorded) == len(result.events)
    if before == world.entity_of:
        assert not recorded
    for member, entity in world.entity_of.items():
        earlier = before.get(member)
        if earlier == entity:
            continue
        if earlier is None:
            kinds = {e.kind for e in result.events if e.entity_id == entity}
            assert ("join", entity, None, member) in recorded or kinds & {"create", "split"}
        else:
            explained = {("split", entity, earlier, None), ("merge", entity, earlier, None),
                         ("move", entity, earlier, member)}  # fmt: skip
            assert explained & recorded


def test_a_merge_keeps_the_older_id_and_a_split_leaves_it_with_the_oldest_member() -> None:
    world = World()
    world.arrive(["a", "b"], ["c"])
    merged = world.arrive(["a", "b", "c"])
    assert merged.events == (EntityEvent("merge", "a#0", "c#0"),)
    split = world.arrive(["a"], ["b", "c"])
    assert split.entity_of == {"a": "a#0", "b": "b#0", "c": "b#0"}
    assert split.events == (EntityEvent("split", "b#0", "a#0"),)


def test_an_edit_that_changes_no_cluster_causes_no_event() -> None:
    world = World()
    world.arrive(["a", "b"])
    assert world.arrive(["b", "a"]).events == ()


def test_an_entity_that_is_merged_and_split_at_once() -> None:
    world = World()
    world.arrive(["a"], ["b", "c"])
    result = world.arrive(["a", "b"], ["c"])
    assert result.retired == {"b#0": "a#0"}
    assert result.entity_of["c"] == "c#0"
    assert result.events == (EntityEvent("merge", "a#0", "b#0"), EntityEvent("split", "c#0", "b#0"))


def test_records_that_arrive_move_and_leave() -> None:
    world = World()
    world.arrive(["a", "b"], ["c"])
    assert world.arrive(["a"], ["b", "c"], ["d"]).events == (
        EntityEvent("move", "c#0", "a#0", "b"), EntityEvent("create", "d#0", None, "d"),
    )  # fmt: skip
    result = world.arrive(["a", "e"], ["c"])
    assert result.events == (
        EntityEvent("join", "a#0", None, "e"),
        EntityEvent("leave", "c#0", None, "b"),
        EntityEvent("retire", "d#0"),
    )  # fmt: skip


def test_successors_are_followed_to_the_end() -> None:
    assert successor("a", {"a": "b", "b": "c"}) == "c"
    assert successor("a", {"a": None}) is None
    assert successor("a", {}) == "a"
    with pytest.raises(ValueError, match="cycle"):
        successor("a", {"a": "b", "b": "a"})
