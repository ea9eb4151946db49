"""Canonical ids that stay stable while clusters change.

An entity's id follows its oldest surviving member. When several entities end up in one cluster, the oldest
of them keeps its id, and the others' ids lead to it permanently. A cluster that no entity claims gets a new
id.

What belongs here: the rules, as a pure function of the old and new state. What does not: where it is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# create  a new entity with this id; `document_id` is its oldest member
# merge   `other_id` was merged into entity_id
# split   entity_id is new, and consists of members of `other_id`
# move    `document_id` went from the entity `other_id` to this one, which existed before
# retire  this id ends, since none of its members is left (if they are of another kind now, this is a merge
#         into their new entity instead: see stages.resolution)
# join    the new record `document_id` became a member of an entity that existed before
# leave   `document_id` was deleted, or is of another kind now, and the entity continues without it
EventKind = Literal["create", "merge", "split", "move", "retire", "join", "leave"]


@dataclass(frozen=True, slots=True, order=True)
class EntityEvent:
    """One thing that happened to an entity."""

    kind: EventKind
    entity_id: str
    other_id: str | None = None
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class Continued:
    """The entity of each record from now on, and what changed."""

    entity_of: dict[str, str]  # of every member of the new clusters
    created: tuple[str, ...]  # in the order of their oldest members
    retired: dict[str, str | None]  # id that ends: its successor, or None if none of its members is left
    events: tuple[EntityEvent, ...]


def continue_ids(
    clusters: Sequence[Sequence[str]],
    before: Mapping[str, str],
    seen: Mapping[str, int],
    age: Mapping[str, int],
    new_id: Callable[[str], str],
) -> Continued:
    """Assign ids to the new clusters.

    `before` maps each record of the entities concerned to its entity. It must contain these entities in full,
    including records deleted since. `seen` is the order in which records first arrived, `age` the order in
    which entities were created. `new_id` makes an id, never used before, from a cluster's oldest member.
    """
    cluster_of = {member: number for number, found in enumerate(clusters) for member in found}
    oldest = [min(found, key=lambda member: (seen[member], member)) for found in clusters]
    claims = _claims(cluster_of, before, seen)
    claimants: dict[int, list[str]] = defaultdict(list)
    for entity, number in claims.items():
        if number is not None:
            claimants[number].append(entity)
    owners = {n: min(entities, key=lambda e: (age[e], e)) for n, entities in claimants.items()}
    ids = [owners.get(number) or new_id(oldest[number]) for number in range(len(clusters))]
    entity_of = {member: ids[number] for member, number in cluster_of.items()}
    retired = {
        entity: None if number is None else ids[number]
        for entity, number in claims.items()
        if number is None or ids[number] != entity
    }
    unclaimed = [number for number in range(len(clusters)) if number not in owners]
    unclaimed.sort(key=lambda number: (seen[oldest[number]], oldest[number]))
    created = tuple(ids[number] for number in unclaimed)
    events = _events(entity_of, before, retired, created, dict(zip(ids, oldest, strict=True)))
    return Continued(entity_of, created, retired, tuple(sorted(events, key=in_order)))


def successor(entity_id: str, successor_of: Mapping[str, str | None]) -> str | None:
    """The current entity of an id: itself while it is in use, None if nothing of it is left."""
    visited = set()
    current: str | None = entity_id
    while current is not None and current in successor_of:
        if current in visited:
            raise ValueError(f"The successors of entity {entity_id} form a cycle.")
        visited.add(current)
        current = successor_of[current]
    return current


def _claims(
    cluster_of: Mapping[str, int], before: Mapping[str, str], seen: Mapping[str, int]
) -> dict[str, int | None]:
    """For each entity, the cluster of its oldest surviving member; None if no member survives."""
    first: dict[str, tuple[int, str]] = {}
    for member, entity in before.items():
        if member in cluster_of:
            place = (seen[member], member)
            first[entity] = min(first.get(entity, place), place)
    return {e: cluster_of[first[e][1]] if e in first else None for e in sorted(set(before.values()))}


def _events(
    entity_of: Mapping[str, str],
    before: Mapping[str, str],
    retired: Mapping[str, str | None],
    created: Sequence[str],
    oldest: Mapping[str, str],
) -> set[EntityEvent]:
    events = {
        EntityEvent("merge", into, entity) if into else EntityEvent("retire", entity)
        for entity, into in retired.items()
    }
    fresh = set(created)
    for member, entity in entity_of.items():
        earlier = before.get(member)
        if earlier == entity:
            continue
        if entity in fresh:
            events.add(
                EntityEvent("split", entity, earlier)
                if earlier
                else EntityEvent("create", entity, None, oldest[entity])
            )
        elif earlier is None:
            events.add(EntityEvent("join", entity, None, member))
        elif retired.get(earlier) != entity:
            events.add(EntityEvent("move", entity, earlier, member))
    gone = {member: entity for member, entity in before.items() if member not in entity_of}
    events |= {EntityEvent("leave", e, None, member) for member, e in gone.items() if retired.get(e, e) == e}
    return events


def in_order(event: EntityEvent) -> tuple[str, str, str, str]:
    """The sort key of events: those of an entity together, its creation first."""
    return event.entity_id, event.kind, event.other_id or "", event.document_id or ""
