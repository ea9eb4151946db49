"""Normalises people's names, and says what can be told from a name.

What belongs here: pure functions of names. What does not: how two people are compared (see `people`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ingest_assets.entities.text import fold, plain
from ingest_assets.entities.wordlists import lines, words

if TYPE_CHECKING:
    from nicknames import NickNamer

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
SUFFIXES = frozenset(["phd", "md", "esq", "mba", "bsc", "msc", "llb", "cpa", "dds", "obe", "cbe"])
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
# What a mailbox of a family says besides its name.
_OF_FAMILY = frozenset(["", "s", "the", "thes", "fam", "family", "familie", "famille", "familia", "famiglia"])
# Spellings of one sound, so that "Katherine" and "Kathryn" are no two names.
_SPELLINGS = (
    (r"ph", "f"), (r"sch|sh", "s"), (r"ck|c(?=[^eihy]|$)|q", "k"), (r"c(?=[eiy])|z", "s"), (r"w", "v"),
    (r"x", "ks"),
    (r"(?<=[aou])e", ""), (r"(?<!^)h", ""), (r"ey|ie|y|j", "i"), (r"(.)\1+", r"\1"), (r"(?<=an)e$", ""),
)  # fmt: skip


@lru_cache(maxsize=200_000)
def person_name(name: str) -> tuple[str, str]:
    """(given names, family name) of a full name, folded, without honorifics and suffixes.

    "Family, Given" is understood. One word alone is a family name.
    """
    before, comma, after = name.partition(",")
    if comma and not set(plain(after).split()) <= SUFFIXES | set(_generations()):
        return given_name(after), family_name(before)
    if not fold(before) or not any(map(fold, before.split())):
        return "", ""  # "N/A N/A" is a placeholder too
    # Word by word, so that "Fontaine-Charpentier" stays one word.
    parts = _without_titles([word for part in before.split() if (word := plain(part))])
    if not parts[1:]:
        return "", fold(" ".join(parts))
    start = len(parts) - 1
    while start > 1 and parts[start - 1] in PARTICLES:
        start -= 1
    # "Unknown Okafor" has a family name only.
    return " ".join(word for word in parts[:start] if word not in NO_NAMES), " ".join(parts[start:])


def given_name(text: str) -> str:
    """Given names, folded, without honorifics; "" where there is nothing else."""
    found = _without_titles(fold(text).split())
    return "" if len(found) == 1 and found[0] in HONORIFICS | NO_NAMES else " ".join(found)


def family_name(text: str) -> str:
    """A family name, folded, without suffixes."""
    return " ".join(_without_titles(fold(text).split()))


def _without_titles(found: list[str]) -> list[str]:
    while len(found) > 1 and found[0] in HONORIFICS:
        found = found[1:]
    while len(found) > 1 and (found[-1] in SUFFIXES or found[-1] in _generations()):
        found = found[:-1]
    return found


@lru_cache(maxsize=200_000)
def generation(*names: str) -> str:
    """Which of a line of namesakes somebody is: "1" for Sr, "2" for Jr and II; "" if no name says so."""
    for name in names:
        for part in name.split(","):
            found = [word for word in plain(part).split() if word not in SUFFIXES]
            # A word alone is a name: "Junior" may be one. After a comma it is a suffix.
            if found and (len(found) > 1 or part is not name) and found[-1] in _generations():
                return _generations()[found[-1]]
    return ""


@lru_cache(maxsize=1)
def _generations() -> dict[str, str]:
    return {word: number for word, _, number in (line.partition(" ") for line in lines("generations"))}


@lru_cache(maxsize=50_000)
def given_forms(given: str) -> tuple[str, ...]:
    """The first given name and the names that it is short for, sorted."""
    first = given.split(" ", maxsplit=1)[0]
    return tuple(sorted({first, *_nicknames().canonicals_of(first)})) if first else ()


@lru_cache(maxsize=1)
def _nicknames() -> NickNamer:
    from nicknames import NickNamer

    return NickNamer()


def middle_initial(given: str) -> str:
    """The first letter of the second given name."""
    _, _, second = given.partition(" ")
    return second[:1]


def own(name: str, kind: str) -> str:
    """How a name of its own sounds; "" for a word that is no known name, which may be a misspelt one."""
    word = name.split(" ", maxsplit=1)[0] if kind == "given" else name
    return spelling(word) if word in words(f"{kind}_names") else ""


@lru_cache(maxsize=200_000)
def spelling(word: str) -> str:
    """One form of the spellings of a name: Catherine, Katharine."""
    for pattern, replacement in _SPELLINGS:
        word = re.sub(pattern, replacement, word)
    return word


def squeezed(mailbox: str) -> str:
    """A mailbox without what separates its words."""
    return re.sub(r"[\W_]+", "", mailbox)


def mailboxes_of(given: str, forms: tuple[str, ...], family: str) -> tuple[str, ...]:
    """The mailboxes that a person of this name may have at work, squeezed."""
    last, parts = family.replace(" ", ""), given.split()
    if not last or not parts:
        return ()
    firsts = {*forms, *parts, given.replace(" ", ""), "".join(part[0] for part in parts)}
    firsts |= {first[0] for first in firsts}
    lasts = {last, family.rsplit(maxsplit=1)[-1]}
    pairs = {(first, one) for first in firsts for one in lasts}
    full = {(first, last[:1]) for first in firsts if len(first) > 1}
    return tuple(sorted({a + b for pair in pairs | full for a, b in (pair, pair[::-1])}))


def is_of_family(mailbox: str, forms: tuple[str, ...], family: str) -> bool:
    """Whether a mailbox says a family's name only: family.lund, thelunds, lund1970."""
    letters, last = re.sub(r"[\W\d_]+", "", mailbox), family.replace(" ", "")
    if not last or last not in letters:
        return False
    rest = letters.replace(last, "", 1)
    # Of somebody whose given name is not known, "afisher" may well be the own mailbox.
    return rest in _OF_FAMILY or (bool(forms) and all(rest[0] != form[0] for form in forms))


def made_of(mailbox: str, given: str, family: str) -> bool:
    """Whether a mailbox consists of names and initials only. Two or more digits make it distinctive."""
    letters = squeezed(mailbox)
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
