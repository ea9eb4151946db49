"""Why something happened to an entity: the strongest pairs, the decisions, and the model.

What belongs here: the words and figures that are recorded with an event. What does not: which events there
are (see `entities.continuity`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ingest_assets.entities import Features, block_keys, rule_of
from ingest_assets.entities.clusters import Pair
from ingest_assets.entities.continuity import EntityEvent
from ingest_assets.entities.decisions import Decisions
from ingest_assets.entities.model import method
from ingest_assets.stages.resolution.match_rows import MatchRows

Cut = Callable[[Collection[str]], Iterable[str]]

MOST_PAIRS = 3
OTHER_KIND = "its records are now of another kind"
BECAUSE = {
    "retire": "its records are gone",
    "leave": "the record is gone, or is now of another kind",
    "split": "the evidence for one entity is no longer enough: a record, a decision or the model changed",
    "rescored": "all records were compared again, by version {method} of the comparisons: the evidence "
    "for one entity is not enough",
}


class Reasons:
    """The reasons for the events of one kind of entity, in one refresh."""

    def __init__(
        self,
        rows: MatchRows,
        model_version: str,
        decisions: Decisions,
        before: Mapping[str, str],
        entity_of: Mapping[str, str],
        pairs: Iterable[Pair],
        *,
        rescored: bool,
    ) -> None:
        self._split = BECAUSE["rescored"].format(method=method()) if rescored else BECAUSE["split"]
        self._rows, self._model, self._before = rows, model_version, before
        self._inside: dict[str, list[Pair]] = defaultdict(list)
        self._across: dict[frozenset[str], list[Pair]] = defaultdict(list)
        for pair in pairs:
            left, right = entity_of[pair[0]], entity_of[pair[1]]
            if left == right:
                self._inside[left].append(pair)
            else:
                self._across[frozenset((left, right))].append(pair)
        self._decisions = defaultdict(list)
        for decision in decisions.made:
            for record in (decision.left, decision.right):
                if record in entity_of:
                    self._decisions[entity_of[record]].append(decision)

    def of_all(
        self, events: Collection[EntityEvent], features: Mapping[str, Features], cut: Cut
    ) -> list[tuple[EntityEvent, dict[str, Any]]]:
        """Each event with its reason, as the ledger has it in JSON.

        `features` are those already loaded; `cut` says which of some blocks are too large to use. A reason's
        `pairs` are [record, record, weight in bits, [the blocking rules that brought the two together]].
        """
        strongest = {event: self._strongest(event) for event in events}
        rules = self._rules({pair[:2] for pairs in strongest.values() for pair in pairs}, features, cut)
        return [
            (event, self._of(event, [[*pair, rules[pair[:2]]] for pair in strongest[event]]))
            for event in events
        ]

    def _of(self, event: EntityEvent, pairs: list[list[Any]]) -> dict[str, Any]:
        if event.kind in {"retire", "leave"}:
            return {"because": BECAUSE[event.kind]}
        decided = [
            f"{d.left} and {d.right} are {d.verdict}" + (f" ({d.who}: {d.why})" if d.who or d.why else "")
            for d in self._decisions.get(event.entity_id, ())
        ]
        reason = {"pairs": pairs, "decisions": decided[:MOST_PAIRS], "model": self._model}
        return {"because": self._split} | reason if event.kind == "split" and not decided else reason

    def _strongest(self, event: EntityEvent) -> list[Pair]:
        return sorted(self._pairs(event), key=lambda pair: (-pair[2], pair))[:MOST_PAIRS]

    def _pairs(self, event: EntityEvent) -> list[Pair]:
        inside = self._inside.get(event.entity_id, [])
        if event.kind in {"retire", "leave"}:
            return []
        if event.kind == "split":
            # The evidence that is left for one entity, and was not enough.
            return self._across.get(frozenset((event.entity_id, event.other_id or "")), [])
        if event.kind == "merge":
            was = self._before
            return [
                p for p in inside if (was.get(p[0]) == event.other_id) != (was.get(p[1]) == event.other_id)
            ]
        if event.kind in {"join", "move"}:
            return [p for p in inside if event.document_id in p[:2]]
        return inside

    def _rules(
        self, pairs: Collection[tuple[str, str]], features: Mapping[str, Features], cut: Cut
    ) -> dict[tuple[str, str], list[str]]:
        """The blocking rules by which each pair was compared."""
        ids = {record for pair in pairs for record in pair}
        features = {**features, **self._rows.features(ids - features.keys())}
        keys = {record: set(block_keys(features[record])) for record in ids}
        unused = set(cut(set().union(*keys.values())))
        return {(a, b): sorted({rule_of(key) for key in (keys[a] & keys[b]) - unused}) for a, b in pairs}
