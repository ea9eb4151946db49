"""Cells to text: cleaning what a database may hold, and writing a cell for a reader or for an id.

What belongs here: pure functions from one SQLite value to one string. What does not: templates and rows.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from urllib.parse import quote_from_bytes

# TEXT comes as a bytearray, BLOB as bytes. Undecoded, so that ids and digests use what is stored, valid or
# not, and so that an unchanged row is never decoded at all.
Cell = int | float | bytearray | bytes | None

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MILLISECONDS_FROM = 1e11  # as seconds this is the year 5138, as milliseconds March 1973


def clean(raw: bytes | bytearray) -> tuple[str, bool]:
    r"""The text with \n line ends, without control characters (except \n and \t) and invalid UTF-8.

    Invalid bytes, including those of lone surrogates, become U+FFFD. The second value says whether anything
    had to be dropped or replaced; changed line ends do not count.
    """
    try:
        text, repaired = raw.decode(), False
    except UnicodeDecodeError:
        text, repaired = raw.decode(errors="replace"), True
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROLS.search(text):
        text, repaired = _CONTROLS.sub("", text), True
    return text, repaired


def spell(number: float) -> str:
    """A number as a person writes it: 1200.0 is "1200"."""
    return f"{number:.15g}" if isinstance(number, float) else str(number)


def is_text(blob: bytes) -> bool:
    """Whether a BLOB holds text rather than binary data."""
    try:
        return "\0" not in blob.decode()
    except UnicodeDecodeError:
        return False


def key_part(cell: Cell) -> str | None:
    """One part of a key as written in a document id; None for NULL. Different cells, different parts.

    Text is percent-encoded byte by byte. A BLOB is x'0a1b': no percent-encoded text holds an apostrophe.
    """
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, bytearray):
        return cell.decode() if cell.isalnum() else quote_from_bytes(cell, safe="")
    if cell is None:
        return None
    return f"x'{cell.hex()}'" if isinstance(cell, bytes) else quote_from_bytes(repr(cell).encode(), safe="")


def iso_time(cell: Cell) -> str | None:
    """A time cell as ISO 8601; None when it does not hold a recognisable time.

    Text is read as ISO 8601 ("2024-05-01 10:00:00" too; a date stays a date, no zone stays no zone).
    Numbers are Unix time, in seconds or milliseconds, and become UTC.
    """
    try:
        if isinstance(cell, bytearray):
            text = cell.decode().strip()
            moment = datetime.fromisoformat(text)
            return moment.date().isoformat() if _is_date(text) else moment.isoformat()
        if isinstance(cell, int | float) and math.isfinite(cell):
            seconds = cell / 1000 if abs(cell) >= _MILLISECONDS_FROM else cell
            return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None  # not a time, or one outside the calendar: the document is still worth finding
    return None


def _is_date(text: str) -> bool:
    return len(text) <= len("2024-05-01") and ":" not in text
