"""Which entities a refresh changes, worked out before any of it is recorded.

Only records that changed, and those in a block that was cut or no longer is, are compared again; only the
connected records that this touches are clustered again. The result is that of comparing and clustering
everything, because a pair's weight depends only on the pair, and a cluster only on its component.

What belongs here: which records are affected, and combining matching, clusters and ids. What does not:
writing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ingest_assets.entities import Features, Limits, MatchModel, block_keys, score
from ingest_assets.entities.blocking import BOUNDS
from ingest_assets.entities.clusters import Contradiction, Pair, cluster
from ingest_assets.entities.continuity import EntityEvent, continue_ids
from ingest_assets.entities.decisions import Decisions
from ingest_assets.entities.ids import entity_id
from ingest_assets.stages.resolution.match_rows import MatchRows, block_number, blocks_of
from ingest_assets.stages.resolution.members import Members
from ingest_assets.stages.resolution.reasons import OTHER_KIND, Cut, Reasons


@dataclass
class Found:
    """What is to be recorded for one kind of entity."""

    entity_of: dict[str, str] = field(default_factory=dict)  # of every record that was clustered again
    created: tuple[str, ...] = ()
    retired: dict[str, str | None] = field(default_factory=dict)
    events: list[tuple[EntityEvent, dict[str, Any]]] = field(default_factory=list)  # with their reasons
    stale: set[str] = field(default_factory=set)  # records whose blocks and pairs are deleted
    blocks: dict[str, set[int]] = field(default_factory=dict)  # those that replace them
    pairs: list[Pair] = field(default_factory=list)
    candidates: dict[str, int] = field(default_factory=dict)  # pairs compared, by blocking rule
    cut: dict[str, int] = field(default_factory=dict)  # blocks too large to use: how many members
    ended: dict[str, list[str]] = field(default_factory=dict)  # entities without members: their former ones
    contradictions: list[Contradiction] = field(default_factory=list)


class _Compared(NamedTuple):
    """What explains a comparison: records' features, and which blocks are too large to use."""

    features: Mapping[str, Features]
    cut: Cut


@dataclass(frozen=True)
class Resolver:
    """Resolves one kind of entity."""

    source: str
    rows: MatchRows
    model: MatchModel
    decisions: Decisions
    members: Members
    new: Mapping[str, int]  # records that were never members: the order in which they appeared
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
        features = {f.id: f for f in records}
        compared = _Compared(features, lambda _keys: scored.cut)
        return self._clustered(
            found, set(features), scored.pairs, self._all() - features.keys(), compared, rescored=True
        )

    def recluster(self) -> Found:
        """Cluster all records again by the recorded weights: only decisions changed."""
        mine = self._all()
        pairs = [pair for pair in self.rows.pairs() if pair[0] in mine and pair[1] in mine]
        return self._clustered(Found(), mine, pairs, (), _Compared({}, self.rows.cut))

    def changed(self, changed: Mapping[str, Features], gone: Collection[str]) -> Found:
        """Compare what changed with its neighbours, and cluster what that touches."""
        found, compared = self._compared(changed, gone)
        old = self.rows.pairs(found.stale)
        seeds = set(found.blocks) | {member for left, right, _ in old for member in (left, right)}
        area = self._area(seeds - set(gone), found, gone)
        kept = (p for p in self.rows.pairs(area) if p[0] not in found.stale and p[1] not in found.stale)
        inside = [p for p in (*kept, *found.pairs) if p[0] in area and p[1] in area]
        return self._clustered(found, area, inside, gone, compared)

    def _all(self) -> set[str]:
        return {key for key, row in self.members.all().items() if row.kind == self.model.kind}

    def _entities_of(self, records: Collection[str]) -> dict[str, str]:
        """The entity of each record that is a member of one of this kind."""
        rows = self.members.of_records(records)
        return {key: row.entity_id for key, row in rows.items() if row.kind == self.model.kind}

    def _compared(self, changed: Mapping[str, Features], gone: Collection[str]) -> tuple[Found, _Compared]:
        before = self.rows.recorded_blocks((*changed, *gone))
        after = {record: blocks_of(features) for record, features in changed.items()}
        sizes = self._sizes(before, after)
        # The rule of a recorded block is unknown, so a block that crosses any of the bounds counts.
        crossing = {b for b, (was, now) in sizes.items() if any((was > x) != (now > x) for x in BOUNDS)}
        others = self.rows.members(crossing) - set(changed) - set(gone)
        touched = {**changed, **self._of_kind(others)}
        cut = self._cut(touched.values(), sizes)
        keys = {block_number(key) for f in touched.values() for key in block_keys(f) if key not in cut}
        neighbours = self._of_kind(self.rows.members(keys) - set(touched) - set(gone))
        records = [*touched.values(), *neighbours.values()]
        # Values that neighbours share with too many others are no evidence either.
        shared = cut | self._cut(neighbours.values(), sizes)
        scored = score(self.model, records, touched=set(touched), cut=set(shared), limits=self.limits)
        found = Found(
            stale=set(touched) | set(gone),
            blocks={record: blocks_of(features) for record, features in touched.items()},
            pairs=scored.pairs,
            candidates=dict(scored.candidates),
            cut=cut,
        )
        now = {block: size for block, (_, size) in sizes.items()}
        return found, _Compared({f.id: f for f in records}, lambda keys: self.rows.cut(keys, now))

    def _of_kind(self, ids: Collection[str]) -> dict[str, Features]:
        return {key: f for key, f in self.rows.features(ids).items() if f.kind == self.model.kind}

    def _cut(self, records: Iterable[Features], sizes: Mapping[int, tuple[int, int]]) -> dict[str, int]:
        """The records' blocks that are too large to use, with their current numbers of members."""
        keys = {key for features in records for key in block_keys(features)}
        return self.rows.cut(keys, {block: now for block, (_, now) in sizes.items()})

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
        """The seeds and everything connected with them, including recorded entities as a whole."""
        linked = defaultdict(set)
        for left, right in (
            *self.decisions.same,
            *(p[:2] for p in found.pairs if p[2] >= self.model.join_at),
        ):
            linked[left].add(right)
            linked[right].add(left)
        frontier = seeds | self._fellows(gone).keys()
        area: set[str] = set()
        while frontier := (self._there(frontier - area, found) - set(gone)):
            area |= frontier
            reached = {m for record in frontier for m in linked[record]} | self._fellows(frontier).keys()
            for left, right, weight in self.rows.pairs(frontier - found.stale):
                if weight >= self.model.join_at and left not in found.stale and right not in found.stale:
                    reached |= {left, right}
            frontier = reached
        return area

    def _fellows(self, records: Collection[str]) -> dict[str, str]:
        """Every member of the records' entities, with its entity."""
        whole = self.members.of_entities(set(self._entities_of(records).values()))
        return {member: entity for entity, members in whole.items() for member in members}

    def _there(self, records: Collection[str], found: Found) -> set[str]:
        """Those that are records of this kind; a decision may name any id."""
        return (records & found.blocks.keys()) | self._entities_of(records).keys()

    def _clustered(
        self,
        found: Found,
        area: set[str],
        pairs: Collection[Pair],
        gone: Collection[str],
        compared: _Compared,
        *,
        rescored: bool = False,
    ) -> Found:
        clustering = cluster(
            area, pairs, self.decisions.same, self.decisions.different, join_at=self.model.join_at
        )
        before = self._fellows({*area, *gone})
        seen = self._seen({*area, *before})
        ages = self.members.ages(before.values())
        continued = continue_ids(clustering.clusters, before, seen, ages, self._new_ids(area))
        found.entity_of, found.created = continued.entity_of, continued.created
        found.retired, found.contradictions = continued.retired, clustering.contradictions
        reasons = Reasons(
            self.rows,
            self.model.version,
            self.decisions,
            before,
            continued.entity_of,
            pairs,
            rescored=rescored,
        )
        found.events = reasons.of_all(continued.events, compared.features, compared.cut)
        for member in sorted(before, key=lambda one: seen[one]):
            if continued.retired.get(before[member], "") is None:
                found.ended.setdefault(before[member], []).append(member)
        return found

    def _seen(self, records: Collection[str]) -> dict[str, int]:
        """The order in which records first appeared."""
        recorded = self.members.of_records(records)
        return {key: recorded[key].seen if key in recorded else self.new[key] for key in records}

    def _new_ids(self, area: Collection[str]) -> Callable[[str], str]:
        """Makes the id of a new entity from its oldest member."""
        made: set[str] = set()
        # One query finds out which of the likely ids are taken.
        self.members.ages(entity_id(self.source, self.model.kind, record) for record in area)

        def new_id(oldest: str) -> str:
            new = entity_id(
                self.source, self.model.kind, oldest, lambda one: one in made or self.members.has(one)
            )
            made.add(new)
            return new

        return new_id


def lead_on(found: Iterable[Found]) -> None:
    """If all records of an entity are now of the other kind, its id leads to the oldest one's entity."""
    entity_of = {record: entity for one in found for record, entity in one.entity_of.items()}
    for one in found:
        leads = {
            ended: next((entity_of[m] for m in ms if m in entity_of), None) for ended, ms in one.ended.items()
        }
        one.retired |= leads
        one.events = [_led_on(event, reason, leads.get(event.entity_id)) for event, reason in one.events]


def _led_on(
    event: EntityEvent, reason: dict[str, Any], successor: str | None
) -> tuple[EntityEvent, dict[str, Any]]:
    if event.kind != "retire" or successor is None:
        return event, reason
    return EntityEvent("merge", successor, event.entity_id), {"because": OTHER_KIND}


def in_natural_order(ids: Iterable[str]) -> list[str]:
    """Sorted, with "people/2" before "people/10"."""
    return sorted(
        ids,
        key=lambda name: [(part.zfill(20) if part.isdigit() else part) for part in re.split(r"(\d+)", name)],
    )
