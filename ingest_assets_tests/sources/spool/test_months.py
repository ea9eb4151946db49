"""Months, which partitions are made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.spool import partitions


@given(st.floats(0, 4e9))
def test_every_second_is_in_its_month_and_no_other(second: float) -> None:
    month = partitions.month_of(second)
    assert partitions.first_second(month) <= second < partitions.first_second(partitions.month_after(month))
