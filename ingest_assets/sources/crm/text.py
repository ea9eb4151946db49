"""Cells to text: cleaning what a database may hold, and writing a cell for a reader or for an id.

What belongs here: pure functions from one SQLite value to one string. What does not: templates and rows.
"""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes

# TEXT comes as a bytearray, BLOB as bytes. Undecoded, so that ids and digests use what is stored, valid or
# not, and so that an unchanged row is never decoded at all.
Cell = int | float | bytearray | bytes | None

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Characters that stand between words: \v, \f and NEL between lines, and separators of files, groups, records.
_WHITE = {"\v": "\n", "\f": "\n", "\x85": "\n"} | dict.fromkeys("\x1c\x1d\x1e\x1f", " ")
_SPACES = str.maketrans(_WHITE)
_ASCII_LOWER = str.maketrans({code: code + 32 for code in range(ord("A"), ord("Z") + 1)})
_MOST_EXACT = 1 << 63  # SQLite compares larger numbers as floats only
_WRITTEN_NUMBER = re.compile(rb"\s*[+-]?\d{1,18}(?:\.\d{1,15})?\s*")


def clean(raw: bytes | bytearray) -> tuple[str, bool]:
    r"""The text with \n line ends, without control characters (except \n and \t) and invalid UTF-8.

    Invalid bytes, including those of lone surrogates, become U+FFFD. Control characters that stand between
    words become white space. The second value says whether anything had to be dropped or replaced; changed
    white space does not count.
    """
    try:
        text, repaired = raw.decode(), False
    except UnicodeDecodeError:
        text, repaired = raw.decode(errors="replace"), True
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROLS.search(text):
        text = text.translate(_SPACES)
        text, dropped = _CONTROLS.subn("", text)
        repaired = repaired or dropped > 0
    return text, repaired


def folded(name: str) -> str:
    """The name of a column or table as SQLite compares it: only the letters of ASCII have a case."""
    return name.translate(_ASCII_LOWER)


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
    """One part of a key as written in a document id; None for NULL.

    Cells that SQLite compares as equal numbers are one part: 7 and 7.0; so is the text '7'. Text is
    percent-encoded byte by byte. A BLOB is x'0a1b': no percent-encoded text holds an apostrophe.
    """
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, bytearray):
        return cell.decode() if cell.isalnum() else quote_from_bytes(cell, safe="")
    if cell is None:
        return None
    if isinstance(cell, bytes):
        return f"x'{cell.hex()}'"
    whole = cell.is_integer() and abs(cell) < _MOST_EXACT
    return str(int(cell)) if whole else quote_from_bytes(repr(cell).encode(), safe="")


def as_number(cell: Cell) -> Cell:
    """A text that SQLite compares as a number with a column of numbers, as that number: ' 007.0' is 7."""
    if not isinstance(cell, bytearray) or not _WRITTEN_NUMBER.fullmatch(cell):
        return cell
    return float(cell) if b"." in cell else int(cell)
