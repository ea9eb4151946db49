"""The words of a sentence that name an entity, for bundles that say only which sentence it is.

What belongs here: finding names in a sentence. What does not: extraction from papers (`extraction`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

_MIN_CHARS = 2
_MAX_COMPARISONS = 2_000_000  # of one paper: a second
_WORD = re.compile(r"\w+")


class Sentence:
    """A sentence in which many names are looked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        lowered = text.lower()
        # A few characters are two in small letters: then only names in the same case are found.
        self.lowered = lowered if len(lowered) == len(text) else text

    def places(self, lowered: str) -> Iterator[tuple[int, int]]:
        """Where the name in small letters stands as words of its own, with the s of a plural."""
        at = self.lowered.find(lowered)
        while at >= 0:
            end = at + len(lowered)
            if not self._goes_on(at - 1):
                if self._goes_on(end) and self.lowered[end] == "s":
                    end += 1
                if not self._goes_on(end):
                    yield at, end
            at = self.lowered.find(lowered, at + 1)

    def _goes_on(self, at: int) -> bool:
        return 0 <= at < len(self.text) and (self.text[at].isalnum() or self.text[at] == "_")


class Names:
    """The names of many entities, found by their first word."""

    def __init__(self, named: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Of each entity its id and its names."""
        self._by_word: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        self._left = _MAX_COMPARISONS
        for entity, names in named:
            for name in sorted({each.strip() for each in names}):
                lowered = name.lower()
                if len(name) >= _MIN_CHARS and (first := _WORD.search(lowered)):
                    self._by_word[first[0]].append((entity, lowered, name))

    def named_in(self, sentence: Sentence) -> dict[str, str]:
        """The entities that the sentence names, with its words: of several names of one the longest.

        Names without a small letter, such as abbreviations, are found as they are written; others in any
        case. Names that begin alike are compared one by one; after two million comparisons none is found.
        """
        words = set(_WORD.findall(sentence.lowered))
        words |= {each[:-1] for each in words if each.endswith("s")}
        found: dict[str, str] = {}
        for word in sorted(words & self._by_word.keys()):
            names = self._by_word[word]
            self._left -= len(names)
            if self._left < 0:
                break
            for entity, lowered, name in names:
                here = _words_of(sentence, lowered, name)
                if here and (
                    entity not in found or (-len(here), here) < (-len(found[entity]), found[entity])
                ):
                    found[entity] = here
        return found


def _words_of(sentence: Sentence, lowered: str, name: str) -> str | None:
    if lowered in sentence.lowered:
        as_written = name == name.upper()
        for at, end in sentence.places(lowered):
            if not as_written or sentence.text.startswith(name, at):
                return sentence.text[at:end]
    return None
