"""What people type: ids with keys as they are, and days in their zone."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.fields import BOUNDS, FilterError, FilterField, Range, conditions_of, in_zone
from ingest_assets.ledger import Ledger, tables
from ingest_assets.stages.document_rows import document_row
from ingest_assets.stages.ids_meant import document_meant, spellings
from ingest_assets_tests.support.small_parts import document

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
IDS = (
    "people/7", "people/ada%40x.example", "companies/Apple%20Inc.", "lines/a%2Fb", "lines/x/y%20z",
    "odd/50%25", "odd/50%2525", "files/src/main.py",
)  # fmt: skip


TYPED = {
    **{each: each for each in IDS},
    "people/ada@x.example": "people/ada%40x.example",
    "companies/Apple Inc.": "companies/Apple%20Inc.",
    " companies/Apple Inc. ": "companies/Apple%20Inc.",
    "lines/a/b": "lines/a%2Fb",
    "lines/x/y z": "lines/x/y%20z",
    "odd/50%": "odd/50%25",
    "people/8": "people/8",
    "people": "people",
    "": "",
}


@both
def test_ids_as_people_type_them(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        rows = [document_row("crm", "", "0" * 32, document(each)) for each in IDS]
        connection.execute(sa.insert(tables.document), rows)
    with ledger.reading() as connection:
        assert {typed: document_meant(connection, "crm", typed) for typed in TYPED} == TYPED
        assert all(document_meant(connection, "papers", typed) == typed for typed in TYPED)


@given(st.text(max_size=20), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_key_as_it_is_stands_for_its_id(kind: str, key: str) -> None:
    kind, key = kind.replace("/", "").strip(), key.strip()
    assert f"{kind}/{quote(key, safe='')}" in spellings(f"{kind}/{key}")


FIELDS = [
    *BOUNDS,
    FilterField(name="closed", type="time", description=""),
    FilterField(name="n", description=""),
]
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("name", "value", "zone", "low", "high"),
    [
        ("since", "2024-07-01", BERLIN, "2024-06-30T22:00:00+00:00", None),
        ("until", "2024-07-01", BERLIN, None, "2024-07-01T21:59:59.999999+00:00"),
        ("until", "2024-07-01", UTC, None, "2024-07-01T23:59:59.999999+00:00"),
        ("until", "2024-07-01", NEW_YORK, None, "2024-07-02T03:59:59.999999+00:00"),
        ("until", "2024-07-01T10:00", BERLIN, None, "2024-07-01T08:00:00+00:00"),
        ("until", "2024-07-01T10:00Z", BERLIN, None, "2024-07-01T10:00:00+00:00"),
        ("until", "9999-12-31", NEW_YORK, None, "9999-12-31T23:59:59.999999+00:00"),
        ("until", " 20240701 ", UTC, None, "2024-07-01T23:59:59.999999+00:00"),
        # Days on which clocks are changed have 23 and 25 hours.
        ("closed", "2024-03-31", BERLIN, "2024-03-30T23:00:00+00:00", "2024-03-31T21:59:59.999999+00:00"),
        ("closed", "2024-10-27", BERLIN, "2024-10-26T22:00:00+00:00", "2024-10-27T22:59:59.999999+00:00"),
        ("closed", "2024-07-01..2024-07-02", UTC, "2024-07-01T00:00:00+00:00", "2024-07-02T23:59:59.999999+00:00"),  # noqa: E501
        ("closed", "2024-07-01..", BERLIN, "2024-06-30T22:00:00+00:00", None),
        ("closed", "..2024-07-01", BERLIN, None, "2024-07-01T21:59:59.999999+00:00"),
        ("closed", "..", BERLIN, None, None),
    ],
)  # fmt: skip
def test_days_are_whole_days_of_the_asker(
    name: str, value: str, zone: ZoneInfo, low: str | None, high: str | None
) -> None:
    [condition] = conditions_of(in_zone({name: [value]}, FIELDS, zone), FIELDS)
    assert condition.ranges == (Range(low, high),)


@pytest.mark.parametrize(
    "where",
    [
        {"since": ["2024-07-02"], "until": ["2024-07-01"]},
        {"closed": ["2024-07-02..2024-07-01"]},
        {"until": ["soon"]},
        {"closed": ["2024-07-01..soon"]},
    ],
)
def test_what_nothing_can_match_is_refused(where: dict[str, list[str]]) -> None:
    with pytest.raises(FilterError):
        conditions_of(in_zone(where, FIELDS, BERLIN), FIELDS)


def test_a_day_is_within_itself() -> None:
    where = {"since": ["2024-07-01"], "until": ["2024-07-01"], "n": ["2024-07-01"]}
    since, until, text = conditions_of(in_zone(where, FIELDS, BERLIN), FIELDS)
    assert str(since.ranges[0].low) < str(until.ranges[0].high)
    assert text.values == ("2024-07-01",)


@given(st.datetimes(), st.sampled_from([BERLIN, NEW_YORK, UTC, None]))
def test_a_filter_in_a_zone_is_the_same_twice(moment: object, zone: ZoneInfo | None) -> None:
    for value in (str(moment), str(moment)[:10], f"..{str(moment)[:10]}"):
        once = in_zone({"closed": [value], "until": [value]}, FIELDS, zone)
        assert in_zone(once, FIELDS, zone) == once
