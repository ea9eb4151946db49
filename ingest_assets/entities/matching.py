"""Scoring: from records and a model to pairs with match weights, and why a pair has its weight.

What belongs here: what the rest of the product calls. A pair's score depends on its two records and the
model only, so that records compared one refresh at a time get the scores of all compared at once. What
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

BESIDES_NAMES = {
    "birth": ("birth_date",),
    "reach": ("emails", "phones", "address"),
    "place": ("place", "postcode"),
    "identifier": ("identifiers",),
    "organisation": ("organisation",),
    "title": ("title",),
}
PRECISION = 6  # decimals of a weight that count


@dataclass(frozen=True, slots=True)
class Scored:
    """Pairs whose weight counts for clusters, left < right, sorted; and how they were found."""

    pairs: list[tuple[str, str, float]]
    candidates: Mapping[str, int]  # pairs compared, by blocking rule; each under the first rule that finds it
    cut: Mapping[str, int]  # block that is too large to be used: how many members


@dataclass(frozen=True, slots=True)
class FieldWeight:
    """What one comparison says about a pair."""

    field: str
    left: str
    right: str
    level: str
    weight: float  # bits
    frequency: float  # bits more, or fewer, because the value is rarer, or commoner, than the average one


@dataclass(frozen=True, slots=True)
class Explanation:
    """A pair's score: the prior's weight and the fields' add up to it."""

    prior: float
    fields: tuple[FieldWeight, ...]

    @property
    def weight(self) -> float:
        """As `score` gives it."""
        return round(self.prior + sum(f.weight + f.frequency for f in self.fields), PRECISION)


def cut_blocks(sizes: Mapping[str, int]) -> dict[str, int]:
    """The blocks that are too large to compare all their members with each other."""
    return {key: size for key, size in sorted(sizes.items()) if size > bound_of(key)}


def without_shared(record: Features, cut: Collection[str]) -> Features:
    """A record without the values that too many others have too."""
    left: dict[str, Any] = {}
    for rule, column in IDENTIFYING.items():
        values = getattr(record, column)
        if any(f"{rule}:{value}" in cut for value in values):
            left[column] = tuple(value for value in values if f"{rule}:{value}" not in cut)
    if "emails" in left and not left["emails"]:
        return replace(record, **left, mailbox=None, handle=None)
    return replace(record, **left) if left else record


def score(
    model: MatchModel,
    records: Sequence[Features],
    *,
    touched: Collection[str] | None = None,
    cut: Collection[str] | None = None,
    limits: Limits | None = None,
    least: float = ABSENT,
) -> Scored:
    """Compare the records that share a block; with `touched`, only pairs with one of those.

    `cut` are the blocks not to be used, where the records given are not all there are; by default they are
    found here. Records of another kind than the model's are left out. Ids must differ. Pairs of less than
    `least` bits are left out: for clusters they count as if they had not been compared.
    """
    mine = sorted((f for f in records if f.kind == model.kind), key=lambda f: f.id)
    members = [(f.id, key) for f in mine for key in block_keys(f)]
    sizes = Counter(key for _, key in members)
    too_large = (
        cut_blocks(sizes) if cut is None else {key: sizes[key] for key in sorted(set(cut) & set(sizes))}
    )
    members = [(record, key) for record, key in members if sizes[key] > 1 and key not in too_large]
    if not members:
        return Scored([], {}, too_large)
    with database(limits or Limits()) as api:
        counts = candidates(api, members, touched)
        if not counts:
            return Scored([], {}, too_large)
        found = compare(api, model, [without_shared(f, too_large) for f in mine], least)
        rows = found.as_duckdbpyrelation().project("id_l, id_r, match_weight").fetchall()
    known = {f.id: _told(f) for f in mine}
    pairs = sorted(
        (min(left, right), max(left, right), round(weight, PRECISION))
        for left, right, weight in rows
        if _comparable(known[left], known[right])
    )
    return Scored(pairs, counts, too_large)


def _told(record: Features) -> set[str]:
    """The kinds of evidence that a record can give."""
    told = {kind for kind, columns in BESIDES_NAMES.items() if any(getattr(record, c) for c in columns)}
    if record.name:
        told.add("name")
    return told | ({"organisation's name"} if record.kind == "organisation" and record.name else set())


def _comparable(left: set[str], right: set[str]) -> bool:
    """Whether two records tell enough of the same kind for a link.

    Two people of whom only the names are known are not taken for one, however rare the name seems: how many
    bear it is known of the records, and not of the world. (An organisation's name is its own.) Without names,
    a shared contact is that of a place: only what belongs to one alone can tell.
    """
    both = left & right
    if "organisation's name" in both:
        return True
    if "name" in both:
        return bool(both - {"name"})
    return bool(both & {"birth", "identifier"})


def explain(model: MatchModel, left: Features, right: Features) -> Explanation:
    """Field by field, whether or not the two share a block."""
    left, right = sorted((left, right), key=lambda f: f.id)
    with database(Limits(threads=1)) as api:
        candidates(api, [(left.id, "asked:"), (right.id, "asked:")], None)
        row = compare(api, model, [left, right], None).as_record_list()[0]
        named = labels(model.kind, api)
    fields = (
        FieldWeight(
            field=name,
            left=_shown(left, columns),
            right=_shown(right, columns),
            level=named[name][row[f"gamma_{name}"]],
            weight=float(row[f"mw_{name}"] or 0.0),
            frequency=float(row.get(f"mw_tf_adj_{name}") or 0.0),
        )
        for name, columns in FIELDS[model.kind].items()
    )
    return Explanation(log2(model.prior / (1 - model.prior)), tuple(fields))


def _shown(record: Features, columns: Sequence[str]) -> str:
    values = [getattr(record, column) for column in columns]
    return ", ".join(", ".join(value) if isinstance(value, tuple) else value for value in values if value)
