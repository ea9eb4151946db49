"""Words of a text, folded so that spellings of one name meet.

What belongs here: where words start and end, and what makes two of them equal. What does not: names.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# A Greek letter is a word: "interleukin-1β" has three.
_WORD = re.compile(r"[^\W_α-ω]+|[α-ω]")  # noqa: RUF001
_POSSESSIVE = re.compile(r"(?<=\w)['’]s\b")  # noqa: RUF001
# Between two words of one name: a space, a hyphen, a slash, an apostrophe; never a full stop or a bracket.
_JOIN = re.compile(r"(?: |\t|\n(?!\n)|\u00a0)?[-‐‑‒–/'’]?(?: |\t|\n(?!\n)|\u00a0)?\Z")  # noqa: RUF001
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",  # noqa: RUF001
    "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "σ": "sigma", "τ": "tau", "ω": "omega",  # noqa: RUF001
}  # fmt: skip
MAX_FOLDED_CHARS = 40  # longer ones are no words, and not kept
MIN_FOLDED_CHARS = 4  # shorter words have no plural worth folding: "gas", "his"
MAX_JOIN_CHARS = 3
_APOSTROPHES = frozenset({"'", "’"})  # noqa: RUF001
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "i": "1"}


class Word(NamedTuple):
    """A word: where it stands, what it is equal to, and whether it can go on a name from the word before."""

    start: int
    end: int
    folded: str
    joined: bool


def fold(word: str) -> str:
    """A word without its case, accents, British spelling and plural: "Tumours" and "tumor" are equal."""
    return _fold(word) if len(word) <= MAX_FOLDED_CHARS else word.lower()


@lru_cache(maxsize=65_536)
def _fold(word: str) -> str:
    folded = word.lower()
    if not folded.isascii():
        folded = "".join(GREEK.get(character, character) for character in folded)
        folded = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    folded = _ROMAN.get(folded, folded)
    if len(folded) >= MIN_FOLDED_CHARS:
        folded = folded.replace("ae", "e").replace("oe", "e").replace("umour", "umor").replace("ulph", "ulf")
        folded = folded.replace("isation", "ization")
        if folded.endswith("ies") and len(folded) > MIN_FOLDED_CHARS:
            folded = folded[:-3] + "y"
        elif folded.endswith("s") and not folded.endswith(("ss", "us", "is")):
            folded = folded[:-1]
    return folded


def words(text: str) -> list[Word]:
    """The words of a text in its order. A possessive "s" belongs to the word before."""
    found: list[Word] = []
    last_end = -1
    for match in _WORD.finditer(text):
        start, end = match.span()
        word = match.group()
        gap = text[last_end:start] if last_end >= 0 else "\n\n"
        if word == "s" and gap in _APOSTROPHES:
            last_end = end
            continue
        joined = gap == " " or (len(gap) <= MAX_JOIN_CHARS and _JOIN.match(gap) is not None)
        found.append(Word(start, end, fold(word), joined))
        last_end = end
    return found


def key(name: str) -> str:
    """A name as its folded words, which is how it is looked up."""
    if "'" in name or "’" in name:  # noqa: RUF001
        name = _POSSESSIVE.sub("", name)
    return " ".join(map(fold, _WORD.findall(name)))
