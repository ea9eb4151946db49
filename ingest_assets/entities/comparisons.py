"""What people.py and organisations.py are written with, and how both become Splink settings.

What belongs here: the words of that language, and what training must know of both kinds. A comparison's
levels go from the strongest to the weakest, with the m and u probabilities that hold until a model is
trained (m: how often two records of one entity reach the level, u: how often two of different entities
do). Levels are Splink's own, or SQL that its backends understand alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ingest_assets.model import IdentityKind

if TYPE_CHECKING:
    from splink import SettingsCreator
    from splink.internals.comparison_creator import ComparisonCreator
    from splink.internals.comparison_level_creator import ComparisonLevelCreator

    Level = tuple[ComparisonLevelCreator, float | None, float | None]

# Bump when the same model gives another score.
VERSION = "2"
# Two random records are one entity: 1 in 2^14. A trained model has its own.
PRIOR = 2.0**-14
# Columns whose common values are weaker evidence than rare ones.
TERM_FREQUENCIES: Mapping[IdentityKind, tuple[str, ...]] = {
    "person": ("given", "family", "place", "organisation"),
    "organisation": ("name", "place"),
}
# The comparisons by name, and the columns that people are shown for them.
FIELDS: Mapping[IdentityKind, Mapping[str, tuple[str, ...]]] = {
    "person": {
        "given": ("given",),
        "family": ("family",),
        "birth_date": ("birth_date",),
        "reach": ("emails", "phones", "address"),
        "place": ("postcode", "place"),
        "identifier": ("identifiers",),
        "work": ("organisation", "title"),
    },
    "organisation": {
        "name": ("name",),
        "domain": ("domains",),
        "reach": ("phones", "emails"),
        "address": ("address", "postcode", "place"),
        "identifier": ("identifiers",),
    },
}


def settings(kind: IdentityKind) -> SettingsCreator:
    """The untrained settings of one kind of entity. Blocking is not Splink's here; see `blocking`."""
    from splink import SettingsCreator

    from ingest_assets.entities import organisations, people

    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="id",
        comparisons=list(people.comparisons() if kind == "person" else organisations.comparisons()),
        probability_two_random_records_match=PRIOR,
        em_convergence=0.001,
        max_iterations=15,
    )


def comparison(name: str, *levels: Level) -> ComparisonCreator:
    """One comparison of (level, m, u); m and u are None in the level of missing values."""
    from splink.comparison_library import CustomComparison

    configured: list[ComparisonLevelCreator | dict[str, Any]] = [
        level if m is None else level.configure(m_probability=m, u_probability=u) for level, m, u in levels
    ]
    return CustomComparison(output_column_name=name, comparison_levels=configured)


def sql(label: str, condition: str) -> ComparisonLevelCreator:
    """A level of our own."""
    from splink.comparison_level_library import CustomLevel

    return CustomLevel(condition, label_for_charts=label)


def missing(*columns: str) -> Level:
    """No column has a value on both sides: evidence neither for nor against."""
    condition = " and ".join(f"({c}_l is null or {c}_r is null)" for c in columns)
    return sql("nothing to compare", condition).configure(is_null_level=True), None, None


def exact(column: str, *, frequency: bool = False) -> ComparisonLevelCreator:
    """The same value; with `frequency`, the rarer the stronger."""
    from splink.comparison_level_library import ExactMatchLevel

    level = ExactMatchLevel(column).configure(label_for_charts=f"the same {column.replace('_', ' ')}")
    return level.configure(tf_adjustment_column=column) if frequency else level


CLOSE = 0.9  # Jaro-Winkler similarity that is called similar; below, somewhat


def similar(column: str, threshold: float) -> ComparisonLevelCreator:
    """By Jaro and Winkler."""
    label = f"a similar {column}" if threshold >= CLOSE else f"a somewhat similar {column}"
    return sql(label, alike(column, threshold))


def otherwise(label: str = "different") -> ComparisonLevelCreator:
    """All the rest."""
    from splink.comparison_level_library import ElseLevel

    return ElseLevel().configure(label_for_charts=label)


def identifier() -> ComparisonCreator:
    """Numbers that are one's own."""
    left, right = first("identifiers")
    off = f"levenshtein({left}, {right}) <= 1 and length({left}) > 5"
    return comparison(
        "identifier",
        missing("identifiers"),
        (sql("the same number", shares("identifiers")), 0.88, 0.00001),
        (sql("one digit off", off), 0.07, 0.0001),
        (otherwise(), 0.05, 0.99989),
    )


def shares(column: str) -> str:
    """SQL: the lists have a value in common."""
    return f"list_has_any({column}_l, {column}_r)"


def first(column: str) -> tuple[str, str]:
    """SQL: the first values of both lists."""
    return f"list_extract({column}_l, 1)", f"list_extract({column}_r, 1)"


def alike(column: str, threshold: float) -> str:
    """SQL: similar by Jaro and Winkler."""
    return f"jaro_winkler_similarity({column}_l, {column}_r) >= {threshold}"


def same(column: str) -> str:
    """SQL: equal."""
    return f"{column}_l = {column}_r"
