"""Several values in one column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.crm.many import is_one, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@one.example", ["ann@one.example"]),
        ("ann@one.example; bob@two.example", ["ann@one.example", "bob@two.example"]),
        ("ann@one.example,bob@two.example", ["ann@one.example", "bob@two.example"]),
        ("ann@one.example | bob@two.example\nann@one.example", ["ann@one.example", "bob@two.example"]),
        ("ann@one.example bob@two.example", ["ann@one.example", "bob@two.example"]),
        ('"Berg, Ann" <ann@one.example>, Lund Bo <bo@two.example>', ["ann@one.example", "bo@two.example"]),
        ('"ann@home" <ann@one.example>', ["ann@one.example"]),
        ("Berg, Ann <ann@one.example>", ["ann@one.example"]),
        ("mailto:ann@one.example", ["ann@one.example"]),
        ('["ann@one.example", "bob@two.example"]', ["ann@one.example", "bob@two.example"]),
        ('[{"value": "ann@one.example", "label": "work"}, {"email": "b@two.example"}]',
         ["ann@one.example", "b@two.example"]),
        ("[]", []),
        ("none", ["none"]),
    ],
)  # fmt: skip
def test_addresses(text: str, expected: list[str]) -> None:
    assert split("emails", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+49 431 123456", ["+49 431 123456"]),
        ("+49 431 123456; +49 151 9876543", ["+49 431 123456", "+49 151 9876543"]),
        ("+49 431 123456 +49 151 9876543", ["+49 431 123456", "+49 151 9876543"]),
        ("(555) 010-2233, (555) 010-4455", ["(555) 010-2233", "(555) 010-4455"]),
        ("555-0102233 / 555-0104455", ["555-0102233", "555-0104455"]),
        ("0431/123456", ["0431/123456"]),  # an area code
        ("030 / 12345678", ["030 / 12345678"]),
        ("555-010-2233, ext. 7", ["555-010-2233, ext. 7"]),
        ("555-010-2233 or 555-010-4455", ["555-010-2233", "555-010-4455"]),
        ("+49 (0)431 123456\n+49 151 9876543", ["+49 (0)431 123456", "+49 151 9876543"]),
        ('["555-010-2233", 5550104455]', ["555-010-2233", "5550104455"]),
        ("1,234", ["1,234"]),
    ],
)
def test_telephone_numbers(text: str, expected: list[str]) -> None:
    assert split("phones", text) == expected


def test_web_sites_and_identifiers() -> None:
    assert split("domains", "one.example, https://two.example/x;three.example") == [
        "one.example", "https://two.example/x", "three.example"]  # fmt: skip
    assert split("identifiers", "DE 123 456 789; ATU 12345678") == ["DE 123 456 789", "ATU 12345678"]


def test_what_is_none_is_told_apart() -> None:
    assert is_one("emails", "ann@one.example")
    assert not is_one("emails", "n/a")
    assert is_one("phones", "112")
    assert not is_one("phones", "unknown")
    assert is_one("domains", "one.example")


@given(st.sampled_from(["emails", "phones", "domains", "identifiers"]), st.text(max_size=200))
def test_no_text_is_lost_and_none_is_empty(what: str, text: str) -> None:
    found = split(what, text)
    assert all(value.strip() == value != "" for value in found)
    assert len(set(found)) == len(found)
    if what == "phones" and text[:1] not in "[{":
        assert sum(map(str.isdigit, "".join(dict.fromkeys(found)))) <= sum(map(str.isdigit, text))
