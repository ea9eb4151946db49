"""Scoring: match weights of pairs of records, and the explanation of a weight.

What belongs here: what the rest of the product calls. A pair's score depends only on its two records and the
model, so comparing records one refresh at a time gives the same scores as comparing them all at once. What
does not belong here: Splink and DuckDB (see `splink_engine`), and clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any

from ingest_assets.entities.blocking import IDENTIFYING, block_keys, bound_of
from ingest_assets.entities.clusters import ABSENT
from ingest_assets.entities.comparisons import FIELDS
from ingest_assets.entities.features import Features
from ingest_assets.entities.model import MatchModel
from ingest_assets.entities.splink_engine import Limits, candidates, compare, database, labels

# Kinds of evidence other than names, and the columns that offer it.
_OTHER_EVIDENCE = {
    "birth": ("birth_date",),
    "reach": ("emails", "family_emails", "hosts", "phones", "address"),
    "place": ("place", "postcode"),
    "identifier": ("identifiers",),
    "organisation": ("organisation",),
    "title": ("title",),
}
_DECIMALS = 6  # of a weight


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Pairs whose weight matters for clustering (left < right, sorted), and how they were found."""

    pairs: list[tuple[str, str, float]]
    candidates: Mapping[str, int]  # pairs compared, by blocking rule; each under the first rule that finds it
    cut: Mapping[str, int]  # number of members of each block that is too large to use


@dataclass(frozen=True, slots=True)
class FieldWeight:
    """What one comparison says about a pair."""

    field: str
    left: str
    right: str
    level: str
    weight: float  # bits
    frequency: float  # bits added or subtracted because the value is rarer or more common than average


@dataclass(frozen=True, slots=True)
class Explanation:
    """A pair's score: the sum of the prior's weight and the fields' weights."""

    prior: float
    fields: tuple[FieldWeight, ...]

    @property
    def weight(self) -> float:
        """The weight that `score` returns."""
        return round(self.prior + sum(f.weight + f.frequency for f in self.fields), _DECIMALS)


def cut_blocks(sizes: Mapping[str, int]) -> dict[str, int]:
    """The blocks that are too large to compare all their members with each other."""
    return {key: size for key, size in sorted(sizes.items()) if size > bound_of(key)}


def without_shared(record: Features, cut: Collection[str]) -> Features:
    """The record without the values that it shares with too many others."""
    kept: dict[str, Any] = {}
    for rule, columns in IDENTIFYING.items():
        for column in columns:
            values = getattr(record, column)
            if any(f"{rule}:{value}" in cut for value in values):
                kept[column] = tuple(value for value in values if f"{rule}:{value}" not in cut)
    if "emails" in kept and not kept["emails"]:
        return replace(record, **kept, mailbox=None, handle=None, hosts=(), locals=(), stems=())
    return replace(record, **kept) if kept else record


def score(
    model: MatchModel,
    records: Sequence[Features],
    *,
    touched: Collection[str] | None = None,
    cut: Collection[str] | None = None,
    limits: Limits | None = None,
    least: float = ABSENT,
) -> ScoredPairs:
    """Compare the records that share a block; with `touched`, only pairs with one of those records.

    `cut` are the blocks not to use, for calls that do not pass all records; by default they are determined
    here. Records of a kind other than the model's are ignored. Ids must be unique. Pairs below `least` bits
    are left out: for clustering they count as if they had not been compared.
    """
    mine = sorted((f for f in records if f.kind == model.kind), key=lambda f: f.id)
    members = [(f.id, key) for f in mine for key in block_keys(f)]
    sizes = Counter(key for _, key in members)
    too_large = (
        cut_blocks(sizes) if cut is None else {key: sizes[key] for key in sorted(set(cut) & set(sizes))}
    )
    members = [(record, key) for record, key in members if sizes[key] > 1 and key not in too_large]
    if not members:
        return ScoredPairs([], {}, too_large)
    with database(limits or Limits()) as api:
        counts = candidates(api, members, touched)
        if not counts:
            return ScoredPairs([], {}, too_large)
        found = compare(api, model, [without_shared(f, too_large) for f in mine], least)
        rows = found.as_duckdbpyrelation().project("id_l, id_r, match_weight").fetchall()
    known = {f.id: _evidence_kinds(f) for f in mine}
    pairs = sorted(
        (min(left, right), max(left, right), round(weight, _DECIMALS))
        for left, right, weight in rows
        if _comparable(known[left], known[right])
    )
    return ScoredPairs(pairs, counts, too_large)


def _evidence_kinds(record: Features) -> set[str]:
    """The kinds of evidence that a record offers."""
    kinds = {kind for kind, columns in _OTHER_EVIDENCE.items() if any(getattr(record, c) for c in columns)}
    if record.name:
        kinds.add("name")
    return kinds | ({"organisation's name"} if record.kind == "organisation" and record.name else set())


def _comparable(left: set[str], right: set[str]) -> bool:
    """Whether two records have enough kinds of evidence in common for a link.

    Two people of whom only the names are known are never linked, however rare the name seems: how many people
    have it is known only for the records, not for the world. (An organisation's name is its own.) Without
    names, shared contact details may belong to a place: only a birth date or an identifier is evidence.
    """
    both = left & right
    if "organisation's name" in both:
        return True
    if "name" in both:
        return bool(both - {"name"})
    return bool(both & {"birth", "identifier"})


def explain(model: MatchModel, left: Features, right: Features) -> Explanation:
    """The weight of a pair field by field, whether or not the two share a block."""
    left, right = sorted((left, right), key=lambda f: f.id)
    with database(Limits(threads=1)) as api:
        candidates(api, [(left.id, "asked:"), (right.id, "asked:")], None)
        row = compare(api, model, [left, right], None).as_record_list()[0]
        level_labels = labels(model.kind, api)
    fields = (
        FieldWeight(
            field=name,
            left=_shown(left, columns),
            right=_shown(right, columns),
            level=level_labels[name][row[f"gamma_{name}"]],
            weight=float(row[f"mw_{name}"] or 0.0),
            frequency=float(row.get(f"mw_tf_adj_{name}") or 0.0),
        )
        for name, columns in FIELDS[model.kind].items()
    )
    return Explanation(log2(model.prior / (1 - model.prior)), tuple(fields))


def _shown(record: Features, columns: Sequence[str]) -> str:
    values = [getattr(record, column) for column in columns]
    return ", ".join(", ".join(value) if isinstance(value, tuple) else value for value in values if value)
