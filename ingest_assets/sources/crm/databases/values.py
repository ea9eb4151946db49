"""What a server sends for a value, as the cell that SQLite would hold for it.

So the same rows give the same documents in every system: whole numbers are integers whatever their type, true
is 1, times are text, and text is bytes, undecoded.

What belongs here: pure functions. What does not: which type a column has, which each server says its own way.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

from ingest_assets.sources.crm.text import Cell


def number(text: str) -> Cell:
    """An exact number: a float only if that says the same. SQLite has NULL for what is none (NaN)."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return bytearray(text.encode())
    if not value.is_finite():
        return None if value.is_nan() else float(value)
    if value == value.to_integral_value():
        return int(value)
    close = float(value)
    return close if Decimal(repr(close)) == value else bytearray(text.encode())


def real(value: float) -> Cell:
    return None if math.isnan(value) else value


def moment(text: bytes, *, is_utc: bool = False) -> bytearray:
    """A time without zeros at the end of its fraction; in UTC if its type has a zone."""
    if b"." in text:
        text = text.rstrip(b"0").rstrip(b".")
    return bytearray(text + b"+00:00" if is_utc else text)


def keys_of(aggregated: bytes | bytearray) -> list[list[Cell]]:
    """A JSON array of keys, each an array, as the cells that its columns would be."""
    keys = json.loads(aggregated, parse_float=number, parse_int=int)
    return [[_cell(each) for each in (json.loads(key) if isinstance(key, str) else key)] for key in keys]


def _cell(value: Any) -> Cell:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return bytearray(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict | list):
        return bytearray(json.dumps(value, ensure_ascii=False).encode())
    return value  # type: ignore[no-any-return]  # NULL, or a number
