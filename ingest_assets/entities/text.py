"""Normalises text and addresses so that they can be compared.

What belongs here: pure functions from text to text. A value that says nothing (empty, a placeholder, a
filler) becomes "", which is evidence neither for nor against anything. What does not: names (see
`person_names` and `firm_names`).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache

from ingest_assets.entities.wordlists import words

_MIN_REPEATS = 3  # one character repeated this often is not a value
# Scripts that can be transliterated to Latin without making different names equal. Chinese cannot: many names
# share one spelling in Latin letters.
_TRANSLITERATED = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN")
_OPTIONAL_MARKS = (*_TRANSLITERATED, "ARABIC", "HEBREW")
_STREET_WORDS = {
    "street": "st", "avenue": "ave", "road": "rd", "boulevard": "blvd", "drive": "dr", "place": "pl",
    "lane": "ln", "court": "ct", "square": "sq", "highway": "hwy", "north": "n", "south": "s", "east": "e",
    "west": "w", "suite": "ste", "apartment": "apt", "floor": "fl", "building": "bldg", "crescent": "cres",
    "circuit": "cct", "strasse": "str", "straße": "str",
}  # fmt: skip
# Words of an address that are often left out or spelt in different ways.
_STREET_FILLERS = frozenset(
    {*_STREET_WORDS, *_STREET_WORDS.values(), "the", "po", "box", "unit", "no", "number"}
)


def fold(text: str) -> str:
    """Lower case without accents and punctuation, single spaces between words; "" for a placeholder."""
    folded = plain(text)
    return "" if folded in words("nobody") or is_filler(folded) else folded


def is_filler(folded: str) -> bool:
    """Whether it is one character repeated, or nothing but zeros."""
    characters = set(folded.replace(" ", ""))
    return (len(characters) == 1 and len(folded) >= _MIN_REPEATS) or characters == {"0"}


@lru_cache(maxsize=200_000)
def plain(text: str) -> str:
    """Lower case without accents and punctuation, single spaces between words; placeholders are kept."""
    letters = text.lower() if text.isascii() else _fold_letters(text)
    letters = letters.replace("'", "").replace("\u2019", "")
    if letters.isascii():
        return " ".join(re.sub(r"[^\w]+|_", " ", letters).split())
    return " ".join("".join(c if c.isalnum() or _is_mark(c) else " " for c in letters).split())


def _fold_letters(text: str) -> str:
    """Lower-case letters, without the marks that are optional in their script."""
    kept, optional = [], False
    for letter in unicodedata.normalize("NFKC", text.casefold()):
        if _is_mark(letter):
            # Vowel signs of Indian scripts are marks too, and distinguish names.
            kept += [] if optional else [letter]
            continue
        optional = letter.isascii() or unicodedata.name(letter, "").startswith(_OPTIONAL_MARKS)
        kept.append(_transliterate(letter))
    return unicodedata.normalize("NFC", "".join(kept))


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


@lru_cache(maxsize=5_000)
def _transliterate(letter: str) -> str:
    """The letter in Latin script where its own script allows it, else the letter itself."""
    from anyascii import anyascii

    if letter.isascii() or not unicodedata.name(letter, "").startswith(_TRANSLITERATED):
        return letter
    return anyascii(letter).lower()


@lru_cache(maxsize=200_000)
def sound(word: str) -> str:
    """The phonetic code of a word, so that misspellings match; the word itself if it is not ASCII."""
    from jellyfish import metaphone

    return (metaphone(word) or word) if word.isascii() else word


@lru_cache(maxsize=200_000)
def street(text: str) -> str:
    """An address, folded, with common words abbreviated."""
    return " ".join(_STREET_WORDS.get(word, word) for word in fold(text).split())


@lru_cache(maxsize=200_000)
def door(address: str) -> str:
    """House number and first word of the street of a normalised address; "" without a number or a word."""
    words = address.split()
    number = next((word for word in words if word[0].isdigit()), "")
    name = next((word for word in words if word != number and word not in _STREET_FILLERS), "")
    return f"{number} {name}" if number and name else ""


@lru_cache(maxsize=100_000)
def day_number(iso: str) -> int | None:
    """Day number of an ISO 8601 date, counted from the year 1; None for an impossible date."""
    try:
        return date.fromisoformat(iso).toordinal()
    except ValueError:
        return None
