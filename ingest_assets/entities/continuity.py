"""Canonical ids that stay while clusters change.

An entity's id goes with its oldest surviving member. Where several entities end up in one cluster the oldest
of them keeps its id, and the others' ids lead to it for ever. What nobody claims gets a new id.

What belongs here: the rules, as a pure function of what was and what is. What does not: where either is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# create  a new entity with this id; `document_id` is its oldest member
# merge   `other_id` ends in entity_id
# split   entity_id is new, and made of members of `other_id`
# move    `document_id` went from the entity `other_id` to this one, which was there before
# retire  this id ends, since none of its members is left (where they are of another kind now it leads to
#         what they are, and is a merge: see stages.resolution)
# join    the new record `document_id` is a member of an entity that was there before
# leave   `document_id` was deleted, or is of another kind now, and the entity goes on
EventKind = Literal["create", "merge", "split", "move", "retire", "join", "leave"]


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One thing that happened to an entity."""

    kind: EventKind
    entity_id: str
    other_id: str | None = None
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class Continued:
    """Who is what from now on, and what that changed."""

    entity_of: dict[str, str]  # of every member of the new clusters
    created: tuple[str, ...]  # in the order of their oldest members
    retired: dict[str, str | None]  # id that ends: its successor, None when none of its members is left
    events: tuple[Event, ...]


def continue_ids(
    clusters: Sequence[Sequence[str]],
    before: Mapping[str, str],
    seen: Mapping[str, int],
    age: Mapping[str, int],
    new_id: Callable[[str], str],
) -> Continued:
    """The ids of new clusters.

    `before` maps each record of the entities concerned to its entity, those deleted since included: entities
    are given whole. `seen` is the order in which records first came, `age` that in which entities were made.
    `new_id` makes an id, never used before, from a cluster's oldest member.
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
    """The entity that an id stands for today: itself while it lives, None when nothing of it is left."""
    passed = set()
    current: str | None = entity_id
    while current is not None and current in successor_of:
        if current in passed:
            raise ValueError(f"The successors of entity {entity_id} form a circle.")
        passed.add(current)
        current = successor_of[current]
    return current


def _claims(
    cluster_of: Mapping[str, int], before: Mapping[str, str], seen: Mapping[str, int]
) -> dict[str, int | None]:
    """The cluster with each entity's oldest surviving member; None when no member survives."""
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
) -> set[Event]:
    events = {
        Event("merge", into, entity) if into else Event("retire", entity) for entity, into in retired.items()
    }
    fresh = set(created)
    for member, entity in entity_of.items():
        earlier = before.get(member)
        if earlier == entity:
            continue
        if entity in fresh:
            events.add(
                Event("split", entity, earlier) if earlier else Event("create", entity, None, oldest[entity])
            )
        elif earlier is None:
            events.add(Event("join", entity, None, member))
        elif retired.get(earlier) != entity:
            events.add(Event("move", entity, earlier, member))
    gone = {member: entity for member, entity in before.items() if member not in entity_of}
    events |= {Event("leave", e, None, member) for member, e in gone.items() if retired.get(e, e) == e}
    return events


def in_order(event: Event) -> tuple[str, str, str, str]:
    """What events are sorted by: those of an entity together, its creation first."""
    return event.entity_id, event.kind, event.other_id or "", event.document_id or ""
