"""Dates of birth in one form, so that they can be compared.

What belongs here: reading dates as people write them. An unreadable date, or a filler, becomes "".
"""

from __future__ import annotations

import re
from functools import lru_cache

# What programs write when the date is unknown.
FILLERS = frozenset(["1900-01-01", "1901-01-01", "1970-01-01", "0001-01-01", "1899-12-30", "2000-01-01",
                    "1111-11-11", "1753-01-01", "1899-12-31", "9999-12-31"])  # fmt: skip
FIRST_YEAR, LAST_YEAR = 1000, 2100
_MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
)}  # fmt: skip
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[t ].*)?")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})")
_RUN_YEAR_FIRST = re.compile(r"((?:1[89]|20)\d\d)(\d\d)(\d\d)")
_RUN_YEAR_LAST = re.compile(r"(\d\d)(\d\d)(\d{4})")
_DAY_MONTH_NAME = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)? ?([a-z]{3})[a-z]*\.?,? (\d{4})")
_MONTH_NAME_DAY = re.compile(r"([a-z]{3})[a-z]*\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_MONTHS_A_YEAR = 12


@lru_cache(maxsize=100_000)
def birth_date(text: str) -> str:
    """The date in ISO 8601; the day comes before the month where both readings are possible.

    Impossible dates (a 13th month) are kept: they are typing errors and still evidence. A date with a
    two-digit year is dropped, because its century is unknown.
    """
    parts = _parts(" ".join(text.lower().split()))
    if parts is None:
        return ""
    year, month, day = parts
    iso = f"{year:04d}-{month:02d}-{day:02d}"
    if not month or not day:
        return ""
    return "" if iso in FILLERS or not FIRST_YEAR <= year <= LAST_YEAR else iso


def _parts(text: str) -> tuple[int, int, int] | None:
    """Year, month and day."""
    for pattern in (_ISO, _RUN_YEAR_FIRST):
        if found := pattern.fullmatch(text):
            return int(found[1]), int(found[2]), int(found[3])
    for pattern in (_YEAR_LAST, _RUN_YEAR_LAST):
        if found := pattern.fullmatch(text):
            day, month = int(found[1]), int(found[2])
            if month > _MONTHS_A_YEAR >= day:
                day, month = month, day
            return int(found[3]), month, day
    if (found := _DAY_MONTH_NAME.fullmatch(text)) and found[2] in _MONTHS:
        return int(found[3]), _MONTHS[found[2]], int(found[1])
    if (found := _MONTH_NAME_DAY.fullmatch(text)) and found[1] in _MONTHS:
        return int(found[3]), _MONTHS[found[1]], int(found[2])
    return None
