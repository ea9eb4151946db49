"""How two people are compared.

What belongs here: the comparisons and their levels; see `levels` for what they are made of. Each kind of
evidence is one comparison: members of a household share address, telephone and often a mailbox, which must
not count three times. For the same reason a family name counts little if the given names are clearly
different, and a mailbox made of the name adds nothing to the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.entities.levels import (
    alike,
    comparison,
    exact,
    first,
    identifier,
    missing,
    otherwise,
    same,
    shares,
    similar,
    sql,
)

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator

    from ingest_assets.entities.levels import Level

# Given and family name swapped, one of them perhaps misspelt.
_SWAPPED = (
    "(given_l = family_r and jaro_winkler_similarity(family_l, given_r) >= 0.85) or "
    "(family_l = given_r and jaro_winkler_similarity(given_l, family_r) >= 0.85)"
)
_ONLY_FAMILY_NAME = (
    "family_l = family_r and least(length(given_l), length(given_r)) > 1 "
    "and not list_has_any(given_forms_l, given_forms_r) and jaro_winkler_similarity(given_l, given_r) < 0.75"
)
_DIFFERENT_GIVEN = (
    "jaro_winkler_similarity(given_l, given_r) < 0.75 "
    "and not coalesce(birth_date_l = birth_date_r, false) "
    "and not coalesce(list_has_any(identifiers_l, identifiers_r), false)"
)
_INITIAL = "left(given_l, 1) = left(given_r, 1) and least(length(given_l), length(given_r)) = 1"
_SWAPPED_DATE = (
    "left(birth_date_l, 4) = left(birth_date_r, 4) and substr(birth_date_l, 6, 2) = right(birth_date_r, 2) "
    "and right(birth_date_l, 2) = substr(birth_date_r, 6, 2)"
)
_EMAIL, _OTHER_EMAIL = first("emails")
_SIMILAR_EMAIL = f"levenshtein({_EMAIL}, {_OTHER_EMAIL}) <= 2 and length({_EMAIL}) > 10"


def comparisons() -> list[ComparisonCreator]:
    """Names, date of birth, contact details, place, identifiers and work."""
    return [*_names(), _birth(), _reach(), _place(), identifier(), _work()]


def _names() -> list[ComparisonCreator]:
    return [
        comparison(
            "given",
            missing("given"),
            (exact("given", frequency=True), 0.72, 0.006),
            (
                sql("given and family name swapped", _SWAPPED).configure(tf_adjustment_column="given"),
                0.02,
                0.00003,
            ),
            (sql("a short form", shares("given_forms")), 0.07, 0.004),
            (sql("an initial", _INITIAL), 0.04, 0.01),
            (similar("given", 0.9), 0.08, 0.004),
            (similar("given", 0.8), 0.03, 0.015),
            # Members of a household or an office share everything but this. Not trained: records with many
            # wrong first names would teach the model to join couples.
            (
                sql("a different one, no identifier or date of birth in common", _DIFFERENT_GIVEN).configure(
                    fix_m_probability=True
                ),
                0.0005,
                0.9,
            ),
            (otherwise(), 0.0395, 0.06097),
        ),
        comparison(
            "family",
            _missing_or_swapped(),
            (sql("the family name alone", _ONLY_FAMILY_NAME), 0.005, 0.0035),
            (exact("family", frequency=True), 0.755, 0.004),
            (similar("family", 0.9), 0.12, 0.004),
            (similar("family", 0.8), 0.04, 0.02),
            (otherwise(), 0.08, 0.9685),
        ),
    ]


def _missing_or_swapped() -> Level:
    """Swapped names are one observation, which counts for the given name and not again here."""
    condition = f"family_l is null or family_r is null or {_SWAPPED}"
    return sql("nothing to compare, or swapped", condition).configure(is_null_level=True), None, None


def _birth() -> ComparisonCreator:
    return comparison(
        "birth_date",
        missing("birth_date"),
        (exact("birth_date"), 0.85, 0.0001),
        (sql("day and month swapped", _SWAPPED_DATE), 0.02, 0.0001),
        (sql("one digit off", "damerau_levenshtein(birth_date_l, birth_date_r) <= 1"), 0.07, 0.0015),
        (sql("within a month", _days_apart(31)), 0.01, 0.002),
        (sql("within a year", _days_apart(366)), 0.015, 0.025),
        (sql("within ten years", _days_apart(3653)), 0.015, 0.21),
        (otherwise(), 0.02, 0.7613),
    )


def _days_apart(days: int) -> str:
    return f"abs(birth_day_l - birth_day_r) <= {days}"


def _reach() -> ComparisonCreator:
    return comparison(
        "reach",
        missing("emails", "phones", "address"),
        (sql("e-mail address", shares("emails")), 0.45, 0.00003),
        (sql("telephone number", shares("phones")), 0.15, 0.00005),
        (sql("house number and street", same("door")), 0.08, 0.0005),
        (sql("mailbox at another domain", same("handle")), 0.03, 0.0001),
        (sql("a similar e-mail address", _SIMILAR_EMAIL), 0.05, 0.0002),
        (
            sql("a similar address or mailbox", f"{alike('address', 0.9)} or {alike('handle', 0.9)}"),
            0.04,
            0.002,
        ),
        (otherwise(), 0.2, 0.99712),
    )


def _place() -> ComparisonCreator:
    return comparison(
        "place",
        missing("place", "postcode"),
        (sql("postcode", same("postcode")), 0.45, 0.004),
        (exact("place", frequency=True), 0.3, 0.04),
        (sql("a similar place", f"{alike('place', 0.9)} or {alike('postcode', 0.9)}"), 0.07, 0.02),
        (otherwise(), 0.18, 0.936),
    )


def _work() -> ComparisonCreator:
    return comparison(
        "work",
        missing("organisation", "title"),
        (exact("organisation", frequency=True), 0.6, 0.003),
        (similar("organisation", 0.9), 0.12, 0.004),
        (sql("title", same("title")), 0.08, 0.03),
        (otherwise(), 0.2, 0.963),
    )
