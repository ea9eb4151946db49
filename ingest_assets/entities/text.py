"""Normalises names and addresses so that they can be compared.

What belongs here: pure functions from text to text. A value that says nothing (empty, a placeholder, a
filler) becomes "", which is evidence neither for nor against anything.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nicknames import NickNamer

# What people type into mandatory fields. Compared after folding.
PLACEHOLDERS = frozenset(
    """
    n a|na|none|null|nil|nan|unknown|unknown unknown|not known|not available|not applicable|not provided|
    no name|noname|no email|test|test test|test user|tester|dummy|example|sample|asdf|qwerty|tbd|tba|todo|
    x|xx|xxx|xxxx|anonymous|deleted|removed|do not use|undefined|missing|blank|empty|no|inconnu|unbekannt|
    firstname|lastname|first name|last name|john doe|jane doe|pending|noemail|nomail|no mail|email|
    unknown person|unknown contact|unknown name|unknown customer|contact person|new contact
    """.replace("\n    ", "")
    .strip()
    .split("|")
)
# Stand-ins for an unknown given name.
NO_NAMES = frozenset(["unknown", "n a", "na", "test", "none", "null", "contact", "unbekannt", "inconnu"])
HONORIFICS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "prof",
        "professor",
        "sir",
        "lord",
        "rev",
        "reverend",
        "fr",
        "hon",
        "capt",
        "captain",
        "maj",
        "col",
        "lt",
        "sgt",
        "herr",
        "frau",
        "mme",
        "mlle",
        "monsieur",
        "madame",
        "sr",
        "sra",
        "srta",
        "dhr",
        "mevr",
        "ing",
        "dipl",
    ]
)
SUFFIXES = frozenset(
    [
        "jr",
        "sr",
        "ii",
        "iii",
        "iv",
        "phd",
        "md",
        "esq",
        "mba",
        "bsc",
        "msc",
        "llb",
        "cpa",
        "dds",
        "obe",
        "cbe",
    ]
)
_MIN_REPEATS = 3  # one character repeated this often is not a value
# Parts of a family name that come before its main part.
PARTICLES = frozenset(
    [
        "van",
        "von",
        "der",
        "den",
        "de",
        "del",
        "della",
        "di",
        "da",
        "du",
        "la",
        "le",
        "dos",
        "das",
        "el",
        "al",
        "bin",
        "ibn",
        "ten",
        "ter",
        "zu",
        "zur",
        "af",
        "av",
        "st",
    ]
)
# Minimum length and Jaro-Winkler similarity for a mailbox to count as made of a name.
_MIN_LENGTH, _MIN_SIMILARITY = 4, 0.85
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
    return "" if folded in PLACEHOLDERS or is_filler(folded) else folded


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
def person_name(name: str) -> tuple[str, str]:
    """(given names, family name) of a full name, folded, without honorifics and suffixes.

    "Family, Given" is understood. One word alone is a family name.
    """
    before, comma, after = name.partition(",")
    if comma and not set(plain(after).split()) <= SUFFIXES:
        return given_name(after), family_name(before)
    if not fold(before) or not any(map(fold, before.split())):
        return "", ""  # "N/A N/A" is a placeholder too
    # Word by word, so that "Fontaine-Charpentier" stays one word.
    words = _without_titles([word for part in before.split() if (word := plain(part))])
    if not words[1:]:
        return "", fold(" ".join(words))
    start = len(words) - 1
    while start > 1 and words[start - 1] in PARTICLES:
        start -= 1
    # "Unknown Okafor" has a family name only.
    return " ".join(word for word in words[:start] if word not in NO_NAMES), " ".join(words[start:])


def given_name(text: str) -> str:
    """Given names, folded, without honorifics; "" where there is nothing else."""
    words = _without_titles(fold(text).split())
    return "" if len(words) == 1 and words[0] in HONORIFICS | NO_NAMES else " ".join(words)


def family_name(text: str) -> str:
    """A family name, folded, without suffixes."""
    return " ".join(_without_titles(fold(text).split()))


def _without_titles(words: list[str]) -> list[str]:
    while len(words) > 1 and words[0] in HONORIFICS:
        words = words[1:]
    while len(words) > 1 and words[-1] in SUFFIXES:
        words = words[:-1]
    return words


@lru_cache(maxsize=50_000)
def given_forms(given: str) -> tuple[str, ...]:
    """The first given name and the names that it is short for, sorted."""
    first = given.split(" ", maxsplit=1)[0]
    return tuple(sorted({first, *_nicknames().canonicals_of(first)})) if first else ()


@lru_cache(maxsize=1)
def _nicknames() -> NickNamer:
    from nicknames import NickNamer

    return NickNamer()


def made_of(mailbox: str, given: str, family: str) -> bool:
    """Whether a mailbox consists of names and initials only. Two or more digits make it distinctive."""
    letters = re.sub(r"[\W_]+", "", mailbox)
    if sum(letter.isdigit() for letter in letters) > 1:
        return False
    first, last = given.replace(" ", ""), family.replace(" ", "")
    forms = {a + b for a, b in ((first, last), (first[:1], last), (first, last[:1]), (first[:1], last[:1]))}
    forms |= {b + a for a, b in ((first, last), (first[:1], last))} | {first, last}
    return any(_is_similar(letters, form) for form in forms if form)


def _is_similar(word: str, form: str) -> bool:
    from jellyfish import jaro_winkler_similarity

    return word == form or (
        len(form) >= _MIN_LENGTH and jaro_winkler_similarity(word, form) > _MIN_SIMILARITY
    )


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


@lru_cache(maxsize=100_000)
def organisation_name(text: str) -> str:
    """An organisation's name, folded, without its legal form."""
    from cleanco import basename

    name = " ".join(text.replace(".", "").split())
    folded = fold(basename(name) or name)
    return folded.removeprefix("the ") if folded.count(" ") > 0 else folded
