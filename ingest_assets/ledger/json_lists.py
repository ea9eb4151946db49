"""SQL over JSON lists of strings in columns, on either database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger.store import Ledger


def holds_one_of(
    ledger: Ledger, column: sa.ColumnElement[str], values: Iterable[str]
) -> sa.ColumnElement[bool]:
    """SQL: the JSON list of strings in a column contains one of the values."""
    each = _strings_of(ledger, column)
    return sa.exists().select_from(each).where(each.c.value.in_(sorted(values)))


def strings_in(ledger: Ledger, listed: sa.ColumnElement[str]) -> sa.Select[Any]:
    """SQL: the strings of a JSON list, one per row."""
    return sa.select(_strings_of(ledger, listed).c.value)


def _strings_of(ledger: Ledger, listed: sa.ColumnElement[str]) -> Any:
    if ledger.is_sqlite:
        return sa.func.json_each(listed).table_valued("value")
    return sa.func.json_array_elements_text(sa.cast(listed, sa.JSON)).table_valued("value")
