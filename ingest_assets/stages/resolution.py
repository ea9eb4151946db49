"""What a refresh changes about who is who, worked out before anything of it is recorded.

Only records that changed, and those whose block was cut or is not any more, are compared again; only the
connected records that this touches are clustered again. Both give what comparing and clustering everything
would give, because a pair's weight depends on the pair, and a cluster on its component.

What belongs here: which records that concerns, and putting matching, clusters and ids together. What does
not: writing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest_assets.entities import Features, Limits, MatchModel, block_keys, cut_blocks, score
from ingest_assets.entities.blocking import BOUNDS
from ingest_assets.entities.clusters import Contradiction, Pair, cluster
from ingest_assets.entities.continuity import Event, continue_ids
from ingest_assets.entities.decisions import Decisions
from ingest_assets.entities.ids import entity_id
from ingest_assets.stages.match_rows import MatchRows, block_number, blocks_of

REASON_PAIRS = 3


@dataclass
class Found:
    """What is to be recorded of one kind of entity."""

    entity_of: dict[str, str] = field(default_factory=dict)  # of every record that was clustered again
    created: tuple[str, ...] = ()
    retired: dict[str, str | None] = field(default_factory=dict)
    events: list[tuple[Event, dict[str, Any]]] = field(default_factory=list)  # with their reasons
    stale: set[str] = field(default_factory=set)  # records whose blocks and pairs go
    blocks: dict[str, set[int]] = field(default_factory=dict)  # that come in their place
    pairs: list[Pair] = field(default_factory=list)
    candidates: dict[str, int] = field(default_factory=dict)  # pairs compared, by blocking rule
    cut: dict[str, int] = field(default_factory=dict)  # blocks too large to use: how many members
    contradictions: list[Contradiction] = field(default_factory=list)


@dataclass(frozen=True)
class Resolver:
    """Resolves one kind of entity. `recorded` maps its member records to their entities."""

    source: str
    rows: MatchRows
    model: MatchModel
    decisions: Decisions
    recorded: Mapping[str, str]
    seen: Mapping[str, int]  # the order in which records first came, those that come now included
    age: Mapping[str, int]  # that in which entities were made, those that ended included
    limits: Limits

    def everything(self) -> Found:
        """Compare and cluster all records."""
        records = list(self.rows.all_features(self.model.kind))
        scored = score(self.model, records, limits=self.limits)
        found = Found(
            blocks={f.id: blocks_of(f) for f in records},
            pairs=scored.pairs,
            candidates=dict(scored.candidates),
            cut=dict(scored.cut),
        )
        ids = {f.id for f in records}
        return self._clustered(found, ids, scored.pairs, set(self.recorded) - ids)

    def decided_anew(self) -> Found:
        """Cluster all records again by the weights on record: decisions changed, and nothing else."""
        mine = [pair for pair in self.rows.pairs() if pair[0] in self.recorded and pair[1] in self.recorded]
        return self._clustered(Found(), set(self.recorded), mine)

    def changed(self, changed: Mapping[str, Features], gone: Collection[str]) -> Found:
        """Compare what changed with its neighbours, and cluster what that touches."""
        found = self._compared(changed, gone)
        old = self.rows.pairs(found.stale)
        seeds = set(found.blocks) | {member for left, right, _ in old for member in (left, right)}
        area = self._area(seeds - set(gone), found, gone)
        kept = (p for p in self.rows.pairs(area) if p[0] not in found.stale and p[1] not in found.stale)
        inside = [p for p in (*kept, *found.pairs) if p[0] in area and p[1] in area]
        return self._clustered(found, area, inside, gone)

    def _compared(self, changed: Mapping[str, Features], gone: Collection[str]) -> Found:
        before = self.rows.recorded_blocks((*changed, *gone))
        after = {record: blocks_of(features) for record, features in changed.items()}
        sizes = self._sizes(before, after)
        # Which rule a recorded block is of is not known: one that crosses any of the bounds counts.
        crossing = {b for b, (was, now) in sizes.items() if any((was > x) != (now > x) for x in BOUNDS)}
        others = self.rows.members(crossing) - set(changed) - set(gone)
        touched = {**changed, **self._of_kind(others)}
        cut = self._cut(touched.values(), sizes)
        keys = {block_number(key) for f in touched.values() for key in block_keys(f) if key not in cut}
        neighbours = self._of_kind(self.rows.members(keys) - set(touched) - set(gone))
        records = [*touched.values(), *neighbours.values()]
        # What neighbours share with too many others is no evidence either.
        shared = cut | self._cut(neighbours.values(), sizes)
        scored = score(self.model, records, touched=set(touched), cut=set(shared), limits=self.limits)
        return Found(
            stale=set(touched) | set(gone),
            blocks={record: blocks_of(features) for record, features in touched.items()},
            pairs=scored.pairs,
            candidates=dict(scored.candidates),
            cut=cut,
        )

    def _of_kind(self, ids: Collection[str]) -> dict[str, Features]:
        return {key: f for key, f in self.rows.features(ids).items() if f.kind == self.model.kind}

    def _cut(self, records: Iterable[Features], sizes: Mapping[int, tuple[int, int]]) -> dict[str, int]:
        """The blocks of records that are too large to be used: how many members they have now."""
        keys = {key: block_number(key) for features in records for key in block_keys(features)}
        counts = self.rows.sizes(set(keys.values())) | {b: now for b, (_, now) in sizes.items()}
        return cut_blocks({key: counts.get(block, 0) for key, block in keys.items()})

    def _sizes(
        self, before: Mapping[str, set[int]], after: Mapping[str, set[int]]
    ) -> dict[int, tuple[int, int]]:
        """Each block that the changed records are or were in: how many members it had, and has now."""
        concerned = set().union(*before.values(), *after.values())
        had = self.rows.sizes(concerned)
        now = defaultdict(int, had)
        for blocks in before.values():
            for block in blocks:
                now[block] -= 1
        for blocks in after.values():
            for block in blocks:
                now[block] += 1
        return {block: (had.get(block, 0), now[block]) for block in concerned}

    def _area(self, seeds: set[str], found: Found, gone: Collection[str]) -> set[str]:
        """The seeds and all that is connected with them, entities as they were given whole."""
        members = defaultdict(list)
        for record, entity in self.recorded.items():
            members[entity].append(record)
        linked = defaultdict(set)
        for left, right in (
            *self.decisions.same,
            *(p[:2] for p in found.pairs if p[2] >= self.model.join_at),
        ):
            linked[left].add(right)
            linked[right].add(left)
        frontier = seeds | {m for record in gone for m in members[self.recorded[record]]}
        area: set[str] = set()
        there = (self.recorded.keys() | found.blocks.keys()) - set(gone)
        while frontier := (frontier & there) - area:
            area |= frontier
            reached = {m for record in frontier for m in linked[record]}
            reached |= {m for record in frontier for m in members.get(self.recorded.get(record, ""), ())}
            for left, right, weight in self.rows.pairs(frontier - found.stale):
                if weight >= self.model.join_at and left not in found.stale and right not in found.stale:
                    reached |= {left, right}
            frontier = reached
        return area

    def _clustered(
        self, found: Found, area: set[str], pairs: Collection[Pair], gone: Collection[str] = ()
    ) -> Found:
        clustering = cluster(
            area, pairs, self.decisions.same, self.decisions.different, join_at=self.model.join_at
        )
        concerned = {self.recorded[record] for record in (*area, *gone) if record in self.recorded}
        before = {record: entity for record, entity in self.recorded.items() if entity in concerned}
        taken = set(self.age)

        def new_id(oldest: str) -> str:
            made = entity_id(self.source, self.model.kind, oldest, taken)
            taken.add(made)
            return made

        continued = continue_ids(clustering.clusters, before, self.seen, self.age, new_id)
        found.entity_of, found.created = continued.entity_of, continued.created
        found.retired, found.contradictions = continued.retired, clustering.contradictions
        reasons = _Reasons(self, before, continued.entity_of, pairs)
        found.events = [(event, reasons.of(event)) for event in continued.events]
        return found


class _Reasons:
    """Why an event happened: the weightiest pairs, the decisions, and the model."""

    def __init__(
        self,
        resolver: Resolver,
        before: Mapping[str, str],
        entity_of: Mapping[str, str],
        pairs: Iterable[Pair],
    ) -> None:
        self._before, self._entity_of = before, entity_of
        self._model = resolver.model.version
        self._inside: dict[str, list[Pair]] = defaultdict(list)
        self._across: dict[frozenset[str], list[Pair]] = defaultdict(list)
        for pair in pairs:
            left, right = entity_of[pair[0]], entity_of[pair[1]]
            if left == right:
                self._inside[left].append(pair)
            else:
                self._across[frozenset((left, right))].append(pair)
        self._decisions = defaultdict(list)
        for decision in resolver.decisions.made:
            for record in (decision.left, decision.right):
                if record in entity_of:
                    self._decisions[entity_of[record]].append(decision)

    def of(self, event: Event) -> dict[str, Any]:
        """As the ledger has it, in JSON."""
        if event.kind in {"retire", "leave"}:
            return {
                "because": "its records are gone, or are of another kind now"
                if event.kind == "retire"
                else "the record is gone, or is of another kind now"
            }
        strongest = sorted(self._pairs(event), key=lambda pair: (-pair[2], pair))[:REASON_PAIRS]
        decided = [
            f"{d.left} and {d.right} are {d.verdict}" + (f" ({d.who}: {d.why})" if d.who or d.why else "")
            for d in self._decisions.get(event.entity_id, ())
        ]
        if event.kind == "split" and not decided:
            because = (
                "what speaks for one entity is not enough any more: a record, a decision or the model changed"
            )
            return {"because": because, "pairs": strongest, "decisions": [], "model": self._model}
        return {"pairs": strongest, "decisions": decided[:REASON_PAIRS], "model": self._model}

    def _pairs(self, event: Event) -> list[Pair]:
        inside = self._inside.get(event.entity_id, [])
        if event.kind == "split":
            # What still speaks for one entity, and was not enough.
            return self._across.get(frozenset((event.entity_id, event.other_id or "")), [])
        if event.kind == "merge":
            was = self._before
            return [
                p for p in inside if (was.get(p[0]) == event.other_id) != (was.get(p[1]) == event.other_id)
            ]
        if event.kind in {"join", "move"}:
            return [p for p in inside if event.document_id in p[:2]]
        return inside


def in_natural_order(ids: Iterable[str]) -> list[str]:
    """Sorted, with "people/2" before "people/10"."""
    return sorted(
        ids,
        key=lambda name: [(part.zfill(20) if part.isdigit() else part) for part in re.split(r"(\d+)", name)],
    )
