"""Names in words: of the dictionaries, and of what words look like.

What belongs here: which words of a text are a name. What does not: whether it is meant (`names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ingest_assets.sources.papers.extraction.dictionaries import (
    MIN_NAME_CHARS,
    Dictionaries,
    Entry,
    symbol_key,
)
from ingest_assets.sources.papers.extraction.words import GREEK, MAX_FOLDED_CHARS, Word

_HYPHENS = frozenset("-‐‑–")  # noqa: RUF001
_GREEK = frozenset(GREEK.values())
# Words that are names of diseases by their form, though no dictionary has them.
_SUFFIX = re.compile(
    r"(?:hyper|hypo)[a-z]{4,}(?:ism|emia)\Z|[a-z]{4,}(?:itis|omatosi|blastoma|sarcoma|carcinoma|adenoma|opathy|penia)\Z"
)
_NO_DISEASE = re.compile(
    r"(?:hypermetabol|hypomethyl|hypermethyl|hyperdynam|hypnotism)|\A(?:sympathy|empathy)\Z"
)


class Phrase(NamedTuple):
    """A name in words at a place of a text."""

    start: int
    end: int
    entry: Entry
    number: int | None  # of the entry in the dictionaries; None: the paper's own
    is_acronym: bool = False  # in the dictionaries


def find(
    text: str, found: list[Word], dictionaries: Dictionaries, own: Mapping[str, Entry]
) -> Iterator[Phrase]:
    """The longest name at each place. `own`: long forms of this paper, folded."""
    longest = dictionaries.longest
    own_longest: dict[str, int] = {}
    for name in own:
        first, count = name.split(" ", 1)[0], name.count(" ") + 1
        own_longest[first] = max(own_longest.get(first, 0), count)
    at = 0
    while at < len(found):
        first = found[at].folded
        most = longest.get(first, 0)
        if own_longest:
            most = max(most, own_longest.get(first, 0))
        if not most:
            at += 1
            continue
        last = at + 1
        while last < len(found) and last - at < most and found[last].joined:
            last += 1
        for end in range(last, at, -1):
            phrase = _at(text, found, at, end, dictionaries, own)
            if phrase is not None:
                yield phrase
                at = end
                break
        else:
            at += 1


def _at(
    text: str, found: list[Word], at: int, end: int, dictionaries: Dictionaries, own: Mapping[str, Entry]
) -> Phrase | None:
    folded = " ".join([word.folded for word in found[at:end]])
    start, stop = found[at].start, found[end - 1].end
    entry = own.get(folded)
    if entry is not None:
        return Phrase(start, stop, entry, None)
    number = dictionaries.phrases.get(folded)
    if number is None or not _written_so(text[start:stop], folded, dictionaries):
        return None
    entry = dictionaries.entries[number]
    # The dictionary names tumor necrosis factor without the letter that papers add.
    if (
        entry.entity_class == "Gene"
        and end < len(found)
        and found[end].joined
        and found[end].folded in _GREEK
    ):
        stop = found[end].end
    # "N-cadherin" is none of the genes that are called "cadherin".
    if entry.entity_class == "Gene" and at and _is_letter_before(text, found[at - 1], start):
        start = found[at - 1].start
        return Phrase(start, stop, _of_symbol(text[start:stop], dictionaries), None)
    return Phrase(start, stop, entry, number, folded in dictionaries.acronyms)


def _is_letter_before(text: str, word: Word, start: int) -> bool:
    """Whether a word is a single letter with a hyphen before what starts there."""
    return word.end - word.start == 1 and text[word.end : start] in _HYPHENS and text[word.start].isalpha()


def _of_symbol(surface: str, dictionaries: Dictionaries) -> Entry:
    """The gene that has this symbol; without an id if there is none, or several have it."""
    entries = {each.entry for each in dictionaries.symbols.get(symbol_key(surface))}
    return dictionaries.entries[entries.pop()] if len(entries) == 1 else Entry("Gene", surface, ())


def _written_so(surface: str, folded: str, dictionaries: Dictionaries) -> bool:
    if folded in dictionaries.acronyms:
        return sum(character.isupper() for character in surface) > 1 and surface not in dictionaries.ambiguous
    return len(surface) >= MIN_NAME_CHARS


def of_suffix(text: str, found: list[Word]) -> Iterator[tuple[int, int]]:
    """Words that name a disease by their form: "hypercortisolemia", "thyroiditis"."""
    for word in found:
        # A part of a compound is not the whole: "carcinoma-associated" is left to the dictionary. What is
        # very long is no word, and would cost a search the square of its length.
        if word.end - word.start > MAX_FOLDED_CHARS or text[word.end : word.end + 1] == "-":
            continue
        if _SUFFIX.search(word.folded) and not _NO_DISEASE.search(word.folded):
            yield word.start, word.end
