"""How two organisations are compared.

What belongs here: the comparisons and their levels; see `levels` for what they are made of. A domain or a
switchboard is strong evidence but no proof: subsidiaries and branches share them at different addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.entities.levels import (
    alike,
    beside,
    comparison,
    exact,
    fixed,
    identifier,
    missing,
    otherwise,
    same,
    shares,
    similar,
    sql,
    when,
)

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator

_COMMON_WORDS = "array_length(list_intersect(words_l, words_r))"
_NO_STREET = "(address_l is null or address_r is null)"
_WORDS_OF_SHORTER = "least(array_length(words_l), array_length(words_r))"
_ALL_OF_SHORTER_NAME = f"{_WORDS_OF_SHORTER} > 1 and {_COMMON_WORDS} >= {_WORDS_OF_SHORTER}"


def comparisons() -> list[ComparisonCreator]:
    """Name, domain, contact details, address and identifiers."""
    return [_name(), _domain(), _reach(), _address(), identifier()]


def _name() -> ComparisonCreator:
    return comparison(
        "name",
        missing("name"),
        (sql("branches in two towns", beside("town_l <> town_r and name_l <> name_r")), *fixed(-6)),
        (exact("name", frequency=True), 0.6, 0.00005),
        (sql("the same words", _words_in_common(0.99)), 0.07, 0.0001),
        (similar("name", 0.94), 0.12, 0.0008),
        (sql("all words of the shorter name", _ALL_OF_SHORTER_NAME), 0.07, 0.0005),
        (sql("most words", _words_in_common(0.6)), 0.04, 0.0005),
        (similar("name", 0.85), 0.05, 0.008),
        (otherwise(), 0.05, 0.98955),
    )


def _words_in_common(share: float) -> str:
    """SQL: this share of the distinct words of both names is in both."""
    return f"{_COMMON_WORDS} >= {share} * (array_length(words_l) + array_length(words_r) - {_COMMON_WORDS})"


def _domain() -> ComparisonCreator:
    return comparison(
        "domain",
        missing("domains"),
        (sql("web or mail domain", shares("domains")), 0.8, 0.0005),
        (otherwise(), 0.2, 0.9995),
    )


def _reach() -> ComparisonCreator:
    apart = beside(f"jaro_winkler_similarity(name_l, name_r) < 0.7 and {_COMMON_WORDS} = 0")
    neighbours = when(f"{shares('phones')} and {beside(same('door'))}", apart)
    return comparison(
        "reach",
        missing("phones", "emails"),
        (sql("a house's telephone number, and quite another name", neighbours), *fixed(1)),
        (sql("telephone number or e-mail address", f"{shares('phones')} or {shares('emails')}"), 0.7, 0.0003),
        (otherwise(), 0.3, 0.9997),
    )


def _address() -> ComparisonCreator:
    return comparison(
        "address",
        missing("address", "postcode", "place"),
        (sql("the same address", same("address")), 0.4, 0.0003),
        (sql("house number and street", same("door")), 0.2, 0.0004),
        (sql("a similar address", alike("address", 0.93)), 0.07, 0.002),
        (sql("postcode, with no street to compare", f"{same('postcode')} and {_NO_STREET}"), 0.1, 0.005),
        (sql("postcode, but a different street", same("postcode")), 0.05, 0.01),
        (exact("place", frequency=True), 0.12, 0.03),
        (otherwise(), 0.1, 0.9523),
    )
