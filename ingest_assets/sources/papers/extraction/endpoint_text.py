"""Finding what a model quotes in the text it was given, whatever it did to blanks, quotes and accents.

What belongs here: folding, and offsets into the text as it stands. What does not: what is looked for
(`endpoint_checks`).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache

MAX_FOUND = 2_000  # places of one phrase in one text
_QUOTES = dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'") | dict.fromkeys(
    '\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb', '"'
)  # fmt: skip
_MINUS = "\u2212"
_OVERLAY = 1  # the class of marks that negate: not-equal is equal with a stroke through it
_SHORT_NAME = 5  # "AI", "CAT" and "STAR" are other words in small letters


@lru_cache(maxsize=8_192)
def _folded(character: str) -> str:
    if character in _QUOTES:
        return _QUOTES[character]
    if character.isspace():
        return " "
    if character == _MINUS or unicodedata.category(character) == "Pd":
        return "-"
    if unicodedata.category(character) == "Cf":  # soft hyphens, joiners: nobody sees them
        return ""
    plain = "".join(
        part
        for part in unicodedata.normalize("NFKD", character)
        if unicodedata.combining(part) in (0, _OVERLAY)
    )
    return "".join(" " if part.isspace() else part for part in plain.casefold())


def fold(text: str) -> str:
    """A text in a form in which all of its usual spellings are equal."""
    return " ".join("".join(map(_folded, text)).split())


class FoldedText:
    """A text, and where each character of its folded form stands in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        folded: list[str] = []
        places: list[int] = []
        for at, character in enumerate(text):
            for part in _folded(character):
                if part == " " and (not folded or folded[-1] == " "):
                    continue
                folded.append(part)
                places.append(at)
        self._folded = "".join(folded)
        self._places = places

    def find(self, phrase: str) -> tuple[int, int] | None:
        """Where a phrase stands first, as whole words: offsets into the text. None if it does not."""
        return next(self.find_all(phrase), None)

    def find_all(self, phrase: str) -> Iterator[tuple[int, int]]:
        """Each place of a phrase as whole words, at most MAX_FOUND. A short name only in its own capitals."""
        wanted = fold(phrase)
        capitals = phrase.strip() if len(wanted) <= _SHORT_NAME and phrase != phrase.lower() else ""
        at, found = self._folded.find(wanted) if wanted else -1, 0
        while at >= 0 and found < MAX_FOUND:
            end = at + len(wanted)
            if self._whole_words(at, end):
                start, stop = self._places[at], self._end(end)
                if not capitals or _same_capitals(self._text[start:stop], capitals):
                    found += 1
                    yield start, stop
            at = self._folded.find(wanted, max(end, at + 1))

    def _end(self, end: int) -> int:
        """Behind the character that the folded one before `end` comes from, and behind its marks."""
        at = self._places[end - 1] + 1
        while at < len(self._text) and unicodedata.combining(self._text[at]):
            at += 1
        return at

    def _whole_words(self, at: int, end: int) -> bool:
        text = self._folded
        before = at > 0 and text[at].isalnum() and text[at - 1].isalnum()
        after = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
        # A character that folds to several, such as a ligature, is not cut in the middle.
        first = bisect_left(self._places, self._places[at]) == at
        last = bisect_right(self._places, self._places[end - 1]) == end
        return first and last and not before and not after


def _same_capitals(found: str, wanted: str) -> bool:
    return [c.isupper() for c in found if c.isalnum()] == [c.isupper() for c in wanted if c.isalnum()]
