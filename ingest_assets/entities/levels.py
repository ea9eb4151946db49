"""The building blocks of the comparisons in `people` and `organisations`.

What belongs here: levels, and the SQL of their conditions. A comparison's levels go from the strongest to the
weakest, with the m and u probabilities used until a model is trained (m: how often two records of one entity
reach the level, u: how often two of different entities do). Levels are Splink's own, or SQL that means the
same on all of its backends.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest_assets.entities.features import COLUMNS

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator
    from splink.internals.comparison_level_creator import ComparisonLevelCreator

    Level = (
        tuple[ComparisonLevelCreator, float | None, float | None]
        | tuple[ComparisonLevelCreator, float, float, bool]
    )

# Jaro-Winkler similarity from which values are called similar; below it, somewhat similar.
CLOSE = 0.9
BESIDE = "beside_"
# The larger of the probabilities of a level that is not trained; only their ratio counts.
FIXED = 0.01


def comparison(name: str, *levels: Level) -> ComparisonCreator:
    """One comparison made of (level, m, u); m and u are None for the level of missing values."""
    from splink.comparison_library import CustomComparison

    configured: list[ComparisonLevelCreator | dict[str, Any]] = [
        level if given[0] is None else level.configure(**_probabilities(*given)) for level, *given in levels
    ]
    return CustomComparison(output_column_name=name, comparison_levels=configured)


def fixed(bits: float) -> tuple[float, float, bool]:
    """The m and u of a level that says the same about any records, and is not trained.

    Records with many wrong names would teach a model to join couples, and a crowd of colleagues to join them.
    """
    return (FIXED * 2.0**bits, FIXED, True) if bits < 0 else (FIXED, FIXED / 2.0**bits, True)


def _probabilities(m: float, u: float, *untrained: bool) -> dict[str, Any]:
    kept = {"fix_m_probability": True, "fix_u_probability": True} if any(untrained) else {}
    return {"m_probability": m, "u_probability": u, **kept}


def sql(label: str, condition: str) -> ComparisonLevelCreator:
    """A custom level."""
    from splink.comparison_level_library import CustomLevel

    return CustomLevel(condition, label_for_charts=label)


def missing(*columns: str) -> Level:
    """No column has a value on both sides: evidence neither for nor against."""
    condition = " and ".join(f"({c}_l is null or {c}_r is null)" for c in columns)
    return sql("nothing to compare", condition).configure(is_null_level=True), None, None


def exact(column: str, *, frequency: bool = False) -> ComparisonLevelCreator:
    """The same value; with `frequency`, a rarer value is stronger evidence."""
    from splink.comparison_level_library import ExactMatchLevel

    level = ExactMatchLevel(column).configure(label_for_charts=f"the same {column.replace('_', ' ')}")
    return level.configure(tf_adjustment_column=column) if frequency else level


def similar(column: str, threshold: float) -> ComparisonLevelCreator:
    """Jaro-Winkler similarity of at least the threshold."""
    label = f"a similar {column}" if threshold >= CLOSE else f"a somewhat similar {column}"
    return sql(label, alike(column, threshold))


def otherwise(label: str = "different") -> ComparisonLevelCreator:
    """Everything else."""
    from splink.comparison_level_library import ElseLevel

    return ElseLevel().configure(label_for_charts=label)


def identifier() -> ComparisonCreator:
    """Identification numbers, such as a VAT or customer number."""
    left, right = first("identifiers")
    one_digit_off = f"levenshtein({left}, {right}) <= 1 and length({left}) > 5"
    return comparison(
        "identifier",
        missing("identifiers"),
        (sql("the same number", shares("identifiers")), 0.88, 0.00001),
        (sql("one digit off", one_digit_off), 0.07, 0.0001),
        (otherwise(), 0.05, 0.99989),
    )


def beside(condition: str, *own: str) -> str:
    """SQL: the condition about columns that are not the comparison's own, under their second names.

    A training session leaves out the comparisons that use the columns of its rule. One that merely looks at
    another
    field must still be trained by the sessions that fix that field.
    """
    others = "|".join(sorted(set(COLUMNS) - set(own), key=len, reverse=True))
    return re.sub(rf"\b({others})_([lr])\b", rf"{BESIDE}\1_\2", condition)


def when(condition: str, more: str) -> str:
    """SQL: both hold. `more` is only evaluated where the condition holds, which "and" does not promise."""
    return f"(case when {condition} then ({more}) else false end)"


def shares(column: str) -> str:
    """SQL: the lists have a value in common."""
    return f"list_has_any({column}_l, {column}_r)"


def first(column: str) -> tuple[str, str]:
    """SQL: the first value of each list."""
    return f"list_extract({column}_l, 1)", f"list_extract({column}_r, 1)"


def alike(column: str, threshold: float) -> str:
    """SQL: Jaro-Winkler similarity of at least the threshold."""
    return f"jaro_winkler_similarity({column}_l, {column}_r) >= {threshold}"


def same(column: str) -> str:
    """SQL: equal."""
    return f"{column}_l = {column}_r"
