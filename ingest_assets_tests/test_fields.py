"""Filters as people write them, and as both engines answer them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest_assets.collection.base import Leg, Store
from ingest_assets.fields import (
    BOUNDS,
    COMMON_FIELDS,
    Condition,
    FieldType,
    FilterError,
    FilterField,
    Range,
    conditions_of,
    typed,
)
from ingest_assets.model import Scalar
from ingest_assets_tests.collection.points import dense, ids_of, make_points, write
from ingest_assets_tests.support.engines import STORES, new_store

FIELDS = (
    FilterField(name="colour", description="x", normalise=str.lower),
    FilterField(name="year", type="number", description="x"),
    FilterField(name="sent", type="time", description="x"),
    FilterField(name="paid", type="flag", description="x"),
)
KNOWN = (*COMMON_FIELDS, *BOUNDS, *FIELDS)


@pytest.mark.parametrize(
    ("field", "values", "condition"),
    [
        ("colour", ["Red", "BLUE"], Condition("colour", values=("red", "blue"))),
        ("year", ["2020"], Condition("year", "number", ranges=(Range(2020.0, 2020.0),))),
        ("year", ["2015..2020"], Condition("year", "number", ranges=(Range(2015.0, 2020.0),))),
        (
            "year",
            ["..2020", "2030 .."],
            Condition("year", "number", ranges=(Range(None, 2020.0), Range(2030.0, None))),
        ),
        ("year", ["-1.5..1e3"], Condition("year", "number", ranges=(Range(-1.5, 1000.0),))),
        ("paid", ["Yes", "false"], Condition("paid", "flag", values=(True, False))),
        (
            "sent",
            ["2026-01-01..2026-01-31T12:00:00+02:00"],
            Condition(
                "sent",
                "time",
                ranges=(Range("2026-01-01T00:00:00+00:00", "2026-01-31T10:00:00+00:00"),),
            ),
        ),
        (
            "since",
            ["2026-01-01"],
            Condition("time", "time", ranges=(Range("2026-01-01T00:00:00+00:00", None),)),
        ),
        (
            "sent",
            ["2026-01-05", "..2026-01-31", "2026-01-31T09:30:00Z"],
            Condition(
                "sent",
                "time",
                ranges=(
                    Range("2026-01-05T00:00:00+00:00", "2026-01-05T23:59:59.999999+00:00"),
                    Range(None, "2026-01-31T23:59:59.999999+00:00"),
                    Range("2026-01-31T09:30:00+00:00", "2026-01-31T09:30:00+00:00"),
                ),
            ),
        ),
        (
            "until",
            ["2026-01-01"],
            Condition("time", "time", ranges=(Range(None, "2026-01-01T23:59:59.999999+00:00"),)),
        ),
    ],
)
def test_a_filter_as_conditions(field: str, values: list[str], condition: Condition) -> None:
    assert conditions_of({field: values}, KNOWN) == [condition]


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("color", "red", r"Cannot filter by color\. Fields: document_id, kind"),
        ("year", "MMXX", "year=MMXX is not a number, or a range"),
        ("year", "nan", "is not a number"),
        ("year", "inf..", "is not a number"),
        ("year", "1..2..3", "is not a number"),
        ("year", "", "is not a number"),
        ("year", "2000..100", "year=2000..100 is a range that ends before it begins"),
        ("sent", "2026-02-01..2026-01-31", "ends before it begins"),
        ("since", "2026-01-01..2026-01-31", "is not a date or time"),
        ("paid", "perhaps", "paid=perhaps is neither true nor false"),
        ("sent", "tomorrow", "sent=tomorrow is not a date or time"),
        ("since", "31.01.2026", "is not a date or time"),
        ("colour", "a\0b", "is not text"),
    ],
)
def test_a_filter_that_is_wrong(field: str, value: str, why: str) -> None:
    with pytest.raises(FilterError, match=why):
        conditions_of({field: [value]}, KNOWN)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Red", "keyword", "Red"),
        ("12.5", "number", 12.5),
        ("1,000", "number", None),
        ("no", "flag", False),
        ("maybe", "flag", None),
        ("2026-01-31", "time", "2026-01-31T00:00:00+00:00"),
        ("31.01.2026", "time", None),
    ],
)
def test_a_text_as_a_value_of_a_type(text: str, kind: FieldType, value: Scalar | None) -> None:
    assert typed(text, kind) == value


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Ten points: of colours, years from 2010 on, days of January, and every third paid."""
    store = new_store(request.param, tmp_path)
    store.create("toys", 1, 4, FIELDS)
    points = make_points(range(10))
    own: list[dict[str, Scalar]] = [
        {
            "colour": ("red", "blue")[n % 2],
            "year": 2010 + n if n % 2 else 2010.5 + n,  # whole numbers and others
            "sent": f"2026-01-{n + 1:02}T00:00:00+00:00",
            "paid": n % 3 == 0,
        }
        for n in range(10)
    ]
    payloads = [payload | more for payload, more in zip(points.payloads, own, strict=True)]
    write(store, "toys", 1, replace(points, payloads=payloads))
    store.publish("toys", 1)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"colour": ["RED"]}, [0, 2, 4, 6, 8]),
        ({"year": ["2013"]}, [3]),
        ({"year": ["2012.5"]}, [2]),
        ({"year": ["2013..2015"]}, [3, 4, 5]),
        ({"year": ["..2011", "2019.."]}, [0, 1, 9]),
        ({"year": ["2050.."]}, []),
        ({"sent": ["2026-01-03..2026-01-04"]}, [2, 3]),
        ({"sent": ["..2026-01-02"], "colour": ["red"]}, [0]),
        ({"paid": ["true"]}, [0, 3, 6, 9]),
        ({"paid": ["no"], "year": ["..2012"]}, [1]),
        ({"paid": ["true", "false"], "colour": ["blue"]}, [1, 3, 5, 7, 9]),
    ],
)
def test_both_engines_find_what_has_the_values(
    store: Store, where: dict[str, list[str]], found: list[int]
) -> None:
    with store.reader("toys") as reader:
        [answer] = reader.query([Leg("dense", dense=dense(0))], 100, conditions_of(where, KNOWN))
    assert sorted(point.id for point in answer) == sorted(ids_of(found))
