"""Trains a matching model on the records themselves, with Splink's expectation maximisation.

What belongs here: when there is enough data to learn from, and which results are trusted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log2
from typing import TYPE_CHECKING, Any

from ingest_assets.entities.comparisons import TERM_FREQUENCIES
from ingest_assets.entities.features import Features
from ingest_assets.entities.matching import score
from ingest_assets.entities.model import JOIN_AT, Levels, MatchModel, default_model
from ingest_assets.entities.splink_engine import Limits, arrow_table, database, settings_of
from ingest_assets.model import IdentityKind

if TYPE_CHECKING:
    from splink import DuckDBAPI, Linker

# Fewer records contain too few matching pairs to learn from.
MIN_RECORDS = 500
# Minimum and maximum number of pairs in a training session.
MIN_PAIRS, MAX_PAIRS = 50, 1_000_000
U_PAIRS = 500_000
# All values but this many of the most common ones count as rare.
MAX_FREQUENCIES = 2_000
MAX_RARITY = 8.0
DIGITS, DIGITS_OF_SHARES = 6, 7
PRIOR_ROUNDS = 20
# The best level of a comparison must be at least this many times as likely among matches.
MIN_LIKELIHOOD_RATIO = 2.0
LEAST_BITS = -20.0  # pairs below this do not affect the prior
# Matching pairs per record: bounds on the estimated prior.
LEAST_DUPLICATES, MOST_DUPLICATES = 0.01, 5.0
# Lower bounds of probabilities. Smaller ones are sampling noise, because no level is impossible.
LEAST_M, LEAST_U = 1e-3, 1e-6
# How much more often records that share a block are one entity than two random ones with the same fields:
# the best
# values on labelled data that keep precision high (docs/matching.md).
BLOCKED: dict[IdentityKind, float] = {"person": 2.0**3.6, "organisation": 1.0}
# How many bits a level's weight may move from the default model's, and up, if it speaks for a match: fields
# that
# agree depend on each other, above all among colleagues and in families.
MOST_BITS: dict[IdentityKind, float] = {"person": 6.0, "organisation": 2.0}
MOST_BITS_MORE = 1.0
# The rules that choose the pairs of each training session: pairs that satisfy one are one entity more often
# than not. A session trains the comparisons that its rule does not fix.
SESSIONS: dict[IdentityKind, tuple[str, ...]] = {
    "person": (
        "l.given = r.given and l.family = r.family",
        "l.birth_date = r.birth_date",
        "list_extract(l.emails, 1) = list_extract(r.emails, 1)",
        "list_extract(l.phones, 1) = list_extract(r.phones, 1)",
        "l.door = r.door and l.place = r.place",
        "list_extract(l.identifiers, 1) = list_extract(r.identifiers, 1)",
    ),
    "organisation": (
        "l.name = r.name",
        "list_extract(l.domains, 1) = list_extract(r.domains, 1)",
        "list_extract(l.phones, 1) = list_extract(r.phones, 1)",
        "l.door = r.door",
    ),
}


def train(
    kind: IdentityKind, records: Sequence[Features], limits: Limits | None = None, system: str = ""
) -> MatchModel:
    """A model trained on the records, whatever their order; the default model if there are too few.

    `system` says what the records are from.

    What the data does not show (a field that is always empty, a level that no pair reaches) stays as in the
    default model.
    """
    base = default_model(kind)
    mine = sorted((f for f in records if f.kind == kind), key=lambda f: f.id)
    if len(mine) < MIN_RECORDS:
        return base
    frequencies, rare = term_frequencies(kind, mine)
    model = replace(
        base,
        origin="trained",
        join_at=JOIN_AT[kind],
        trained_on=len(mine),
        system=system,
        frequencies={**base.frequencies, **frequencies},
        rare={**base.rare, **rare, **({"name": base.rare["name"]} if kind == "organisation" else {})},
    )
    model = replace(model, levels=_trained_levels(model, mine, limits or Limits()))
    return replace(model, prior=BLOCKED[kind] * _prior(model, mine, limits or Limits()))


def _trained_levels(model: MatchModel, records: Sequence[Features], limits: Limits) -> dict[str, Levels]:
    """The probabilities of the levels, as far as the data shows them."""
    rules = list(SESSIONS[model.kind])
    while True:
        with database(limits) as api:
            linker, table = _sampled(model, records, api)
            rules = [rule for rule in rules if _pair_count(api, table, rule) >= MIN_PAIRS]
            failed = _first_failed(linker, rules)
            if failed is None:
                found = linker.misc.save_model_to_json()["comparisons"]
                break
        # Splink's linker cannot be reused after a failed session.
        rules.remove(failed)
    trained = {
        comparison["output_column_name"]: [
            level for level in comparison["comparison_levels"] if not level.get("is_null_level")
        ]
        for comparison in found
    }
    return {
        name: _plausible(levels, trained[name], most=MOST_BITS[model.kind], trust_m=bool(rules))
        for name, levels in model.levels.items()
    }


def _sampled(model: MatchModel, records: Sequence[Features], api: DuckDBAPI) -> tuple[Linker, str]:
    """A linker that knows how often random pairs reach each level, and the name of its table."""
    from splink import Linker

    table = api.register(arrow_table(records, model), dataset_display_name="records")
    linker = Linker(table, settings_of(model, api), log_level=None)
    # One chunk, because all pairs are needed: chunks only serve to stop early.
    linker.training.estimate_u_using_random_sampling(
        max_pairs=U_PAIRS, seed=1, min_count_per_level=None, num_chunks=1
    )
    return linker, table.physical_name


def _first_failed(linker: Linker, rules: Sequence[str]) -> str | None:
    """Run the sessions. Returns the first rule whose session fails on a too small probability, or None."""
    for rule in rules:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(
                rule, estimate_without_term_frequencies=True, max_pairs=MAX_PAIRS
            )
        except ValueError:
            return rule
    return None


def _plausible(before: Levels, trained: Sequence[Mapping[str, Any]], *, most: float, trust_m: bool) -> Levels:
    """The trained probabilities where they exist and are plausible.

    The weight of a level stays near that of the default model: what speaks against a match never comes to
    speak for
    it, however many strangers share it.
    """
    ms = [_probability(level.get("m_probability"), m) for level, (m, _) in zip(trained, before, strict=True)]
    us = [_probability(level.get("u_probability"), u) for level, (_, u) in zip(trained, before, strict=True)]
    free = [not level.get("fix_m_probability") for level in trained]
    if not any(free):
        return before
    best_ratio = max(m / u for m, u, trusted in zip(ms, us, free, strict=True) if trusted)
    if not trust_m or best_ratio < MIN_LIKELIHOOD_RATIO or (free[-1] and ms[-1] >= us[-1]):
        # No level is evidence for a match, or the weakest one is: training did not find entities.
        ms = [m for m, _ in before]
    ms, us = [_at_least(LEAST_M, m) for m in ms], [_at_least(LEAST_U, u) for u in us]
    return tuple(
        _bounded(known, found, most) if trusted else known
        for known, found, trusted in zip(before, zip(ms, us, strict=True), free, strict=True)
    )


def _bounded(before: tuple[float, float], found: tuple[float, float], most: float) -> tuple[float, float]:
    """The trained m and u, with a weight that is not too far from the default one."""
    known, learnt = (log2(m / u) for m, u in (before, found))
    highest = min(known + most, 0.0) if known <= 0 else known + MOST_BITS_MORE
    bits = max(known - most, min(learnt, highest))
    return found if bits == learnt else (round(min(found[1] * 2.0**bits, 1.0), 9), found[1])


def _probability(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise  # a string if it was not observed


def _at_least(least: float, value: float) -> float:
    return round(max(value, least), DIGITS)


def _prior(model: MatchModel, records: Sequence[Features], limits: Limits) -> float:
    """The share of matching pairs among all pairs, chosen so that the pairs' probabilities add up to it."""
    prior_bits = log2(model.prior / (1 - model.prior))
    weights = score(model, records, limits=limits, least=LEAST_BITS).pairs
    odds = [2.0 ** (weight - prior_bits) for *_, weight in weights]
    pairs = len(records) * (len(records) - 1) / 2
    prior = model.prior
    for _ in range(PRIOR_ROUNDS):
        prior = sum(prior * o / (prior * o + 1 - prior) for o in odds) / pairs
        prior = min(
            max(prior, LEAST_DUPLICATES * len(records) / pairs), MOST_DUPLICATES * len(records) / pairs
        )
    return float(f"{prior:.4g}")


def term_frequencies(
    kind: IdentityKind, records: Sequence[Features]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The shares of each column's common values, and the share assumed for all others.

    Rarity counts up to MAX_RARITY times the average: beyond that a sample says little, and a name alone,
    however rare, must not be enough.
    """
    shares: dict[str, dict[str, float]] = {}
    rare: dict[str, float] = {}
    for column in TERM_FREQUENCIES[kind]:
        counts = _counts(kind, column, records)
        if not (total := sum(getattr(f, column) is not None for f in records)):
            continue
        alike = sum(n * n for n in counts.values()) / total**2
        rare[column] = round(max(alike / MAX_RARITY, 1 / total), DIGITS_OF_SHARES)
        common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_FREQUENCIES]
        rounded = {value: round(n / total, DIGITS_OF_SHARES) for value, n in sorted(common)}
        shares[column] = {value: share for value, share in rounded.items() if share > rare[column]}
    return shares, rare


def _counts(kind: IdentityKind, column: str, records: Sequence[Features]) -> Counter[str]:
    """How often each value occurs.

    The name of an organisation counts for each further place it is found in: the records of one firm have it
    in common because they are one, and a sample does not show how common a name is that occurs once.
    """
    if (kind, column) != ("organisation", "name"):
        return Counter(value for f in records if (value := getattr(f, column)) is not None)
    places: dict[str, set[str]] = defaultdict(set)
    for f in records:
        if f.name is not None:
            places[f.name] |= {f.place} if f.place else set()
    return Counter({name: max(len(found) - 1, 0) for name, found in places.items()})


def _pair_count(api: DuckDBAPI, table: str, rule: str) -> int:
    query = f"SELECT count(*) FROM {table} l JOIN {table} r ON l.id < r.id AND {rule}"
    return int(api.duckdb_con.execute(query).fetchall()[0][0])
