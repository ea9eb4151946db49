"""What some values of a column look like.

What belongs here: counting. What does not: what a column is for (`roles`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel

from ingest_assets.sources.crm import markup
from ingest_assets.sources.crm.text import Cell, clean, is_text, spell
from ingest_assets.sources.crm.times import TimeReader

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_PHONE = re.compile(r"[+(]?\d[\d\s()./+-]{4,}(?:\s*(?:x|ext\.?)\s*\d+)?", re.IGNORECASE)
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_ORDER = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})\b")
_TAG = re.compile(r"</?(?:p|div|br|span|html|body|table|b|i|ul|li|a|h[1-6])\b[^<>]*>", re.IGNORECASE)
_MOST_VALUES, _VALUE_CHARS, _MONTHS = 20, 60, 12


class ColumnSample(BaseModel):
    """Counts of values, of those that are not empty."""

    filled: int = 0
    numbers: int = 0
    emails: int = 0
    phones: int = 0
    urls: int = 0
    html: int = 0  # beyond doubt; these are read as HTML by themselves
    tags: int = 0  # with tags of HTML
    times: int = 0  # read as times without a format
    day_first: int = 0  # dates of two small numbers and a year, of which the first is no month
    month_first: int = 0
    either_first: int = 0
    separator: str = ""  # in these
    binary: int = 0
    characters: int = 0  # in all of them together
    longest: int = 0
    distinct: int = 0
    values: tuple[str, ...] = ()  # if there are few and they are short

    @property
    def average(self) -> float:
        """Characters of a value."""
        return self.characters / self.filled if self.filled else 0.0

    def mostly(self, count: int) -> bool:
        """Whether a count is that of most values."""
        return bool(self.filled) and count * 10 >= self.filled * 8


def sampled(cells: Sequence[Cell]) -> ColumnSample:
    """Count."""
    found = ColumnSample()
    reader = TimeReader()
    distinct: set[str] = set()
    for cell in cells:
        if isinstance(cell, bytes) and not is_text(cell):
            found.binary += 1
            found.filled += 1
            continue
        text = _text(cell)
        if not text:
            continue
        distinct.add(text)
        found.filled += 1
        found.characters += len(text)
        found.longest = max(found.longest, len(text))
        _count(found, text)
        found.numbers += _is_number(text)
        value = cell if isinstance(cell, int | float) else text
        found.times += reader.read(value) is not None
    found.distinct = len(distinct)
    if len(distinct) <= _MOST_VALUES and found.longest <= _VALUE_CHARS:
        found.values = tuple(sorted(distinct))
    return found


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return spell(cell) if isinstance(cell, int | float) else clean(cell)[0].strip()


def _count(found: ColumnSample, text: str) -> None:
    found.emails += _EMAIL.search(text) is not None and len(text) <= 4 * _VALUE_CHARS
    found.phones += _PHONE.fullmatch(text) is not None
    found.urls += _URL.fullmatch(text) is not None
    found.html += markup.is_html(text)
    found.tags += _TAG.search(text) is not None
    if (order := _ORDER.match(text)) is not None:
        first, second = int(order[1]), int(order[3])
        found.separator = order[2]
        found.day_first += first > _MONTHS >= second
        found.month_first += second > _MONTHS >= first
        found.either_first += first <= _MONTHS and second <= _MONTHS


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
