"""Names as they are compared: "Cushing's  SYNDROME" and "cushing's syndrome" are one.

What belongs here: folding of names. What does not: deciding what is one entity (`merging`).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_DASHES = dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE63, 0xFF0D), "-")
_QUOTES = dict.fromkeys((0x2018, 0x2019, 0x2BC, 0xB4, 0x60, 0x2032, 0xFF07), "'")
_DOUBLE_QUOTES = dict.fromkeys((0x201C, 0x201D, 0x201E, 0x2033), '"')
_SAME_SIGN = (
    _DASHES | _QUOTES | _DOUBLE_QUOTES | {0xAD: None, 0x200B: None, 0xFEFF: None}
)  # and what is not seen at all


@lru_cache(maxsize=65_536)
def fold(name: str) -> str:
    """The name in compatibility form and lower case, with one kind of dash, quote and space.

    Folding it again changes nothing. "" for a name of blanks.
    """
    found = name
    for _ in range(4):  # of a few characters the lower-case form has a compatibility form of its own
        before = found
        found = unicodedata.normalize("NFKC", found).translate(_SAME_SIGN)
        found = " ".join(unicodedata.normalize("NFKC", found.casefold()).split())
        if found == before:
            break
    return found


def folded(value: str) -> str:
    """The title of a section, or a kind of study, as it is compared: without case, with single spaces."""
    return " ".join(value.casefold().split())
