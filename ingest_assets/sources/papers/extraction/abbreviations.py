"""The abbreviations that a paper defines: "tumour necrosis factor (TNF)".

What belongs here: the algorithm of Schwartz and Hearst (A simple algorithm for identifying abbreviation
definitions in biomedical text, 2003) and the paper's own list. What does not: what an abbreviation names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ingest_assets.sources.papers.article import Article

_BRACKETS = re.compile(r"\(([^()]{1,200})\)|\[([^\[\]]{1,200})\]")
_SENTENCE_END = re.compile(r"[.!?;]\s+(?=[A-Z])|\n")
_REFERENCE = re.compile(r"(?:Figs?|Tables?|Refs?|Eqs?|Eq|Supp\w*|Cat|No)\b\.?", re.IGNORECASE)
_WORD = re.compile(r"\S+")
MIN_SHORT_CHARS, MAX_SHORT_CHARS = 2, 10
MAX_SHORT_WORDS = 2
MAX_LONG_CHARS = 400
MIN_SLIPPED = 3  # rows of a list whose long form is that of another one: fewer may be chance


class Definition(NamedTuple):
    """A short form with its long form, and where the long form and the short form stand in a text."""

    short: str
    long: str
    long_start: int
    short_start: int


def definitions(text: str) -> Iterator[Definition]:
    """The definitions in a text, in its order: long (short), and short (long)."""
    for match in _BRACKETS.finditer(text):
        group = 1 if match.group(1) is not None else 2
        inside, inside_start = match.group(group), match.start(group)
        # "(TNF; also cachectin)" and "(TNF, 5 ng)" define the first of what they list.
        head = re.split(r"[;,:]\s", inside, maxsplit=1)[0].rstrip()
        found = None
        if is_short_form(head):
            found = _before(text, head, match.start(), inside_start)
        if found is None and (len(head.split()) > MAX_SHORT_WORDS or len(head) > MAX_SHORT_CHARS):
            found = _reversed(text, inside, match.start(), inside_start)
        if found is not None:
            yield found


def is_short_form(text: str) -> bool:
    """Whether this may be an abbreviation: short, with a letter, and it starts with a letter or digit."""
    return (
        MIN_SHORT_CHARS <= len(text) <= MAX_SHORT_CHARS
        and len(text.split()) <= MAX_SHORT_WORDS
        and any(character.isalpha() for character in text)
        and text[0].isalnum()
        and not _REFERENCE.match(text)
        # A word in small letters is a remark: "(mean)", "(i.e. 5)".
        and not (text.islower() and text.replace(".", "").isalpha())
    )


def _before(text: str, short: str, bracket: int, short_start: int) -> Definition | None:
    """The long form before the bracket: at most min(|short| + 5, 2 |short|) words of the same sentence."""
    sentence_start = max(0, bracket - MAX_LONG_CHARS)
    for end in _SENTENCE_END.finditer(text, sentence_start, bracket):
        sentence_start = end.end()
    words = list(_WORD.finditer(text, sentence_start, bracket))
    most = min(len(short) + 5, 2 * len(short))
    words = words[-most:]
    if not words:
        return None
    start = words[0].start()
    candidate = text[start:bracket].rstrip()
    offset = best_long_form(short, candidate)
    if offset is None:
        return None
    long = candidate[offset:]
    if not _plausible(short, long):
        return None
    return Definition(short, long, start + offset, short_start)


def _reversed(text: str, inside: str, bracket: int, inside_start: int) -> Definition | None:
    """The short form before the bracket, its long form within: "TNF (tumour necrosis factor)"."""
    words = list(_WORD.finditer(text, max(0, bracket - 60), bracket))
    if not words:
        return None
    short = words[-1].group().strip("\"'([,;:")
    if not is_short_form(short):
        return None
    offset = best_long_form(short, inside)
    if offset is None or offset > 0 or not _plausible(short, inside):
        return None
    return Definition(short, inside, inside_start, text.rindex(short, 0, bracket))


def best_long_form(short: str, long: str) -> int | None:
    """Where the long form starts in `long`: the short form's characters are matched from the right.

    The first character of the short form has to start a word. None if they are not all there.
    """
    at_short, at_long = len(short) - 1, len(long) - 1
    while at_short >= 0:
        wanted = short[at_short].lower()
        if not wanted.isalnum():
            at_short -= 1
            continue
        while at_long >= 0 and (
            long[at_long].lower() != wanted or (at_short == 0 and at_long > 0 and long[at_long - 1].isalnum())
        ):
            at_long -= 1
        if at_long < 0:
            return None
        at_long -= 1
        at_short -= 1
    # To the start of the word: a hyphen does not start one.
    return long.rfind(" ", 0, at_long + 1) + 1


def _plausible(short: str, long: str) -> bool:
    words = long.split()
    return (
        len(long) > len(short)
        and len(words) <= min(len(short) + 5, 2 * len(short))
        and short.lower() not in (word.lower().strip("()[],.;") for word in words)
        and "(" not in long
    )


def of_article(article: Article) -> dict[str, str]:
    """What each abbreviation stands for in this paper: as its own list says, else its first definition."""
    listed = {short.strip(): long.strip() for short, long in sorted(article.abbreviations.items())}
    found = _listed({short: long for short, long in listed.items() if short and long})
    for section in article.sections:
        for each in definitions(section.text):
            found.setdefault(each.short, each.long)
    return found


def _listed(said: dict[str, str]) -> dict[str, str]:
    """What a paper's own list says. Where it has slipped by a row, each long form goes to what it fits.

    That is told by several short forms which fit none of their letters, but the long form of another one.
    """
    lost = {short: long for short, long in said.items() if best_long_form(short, long) is None}
    moved: dict[str, str] = {}
    for short in lost:
        fitting = [other for other in lost if other != short and best_long_form(short, lost[other]) == 0]
        if len(fitting) == 1:
            moved[short] = fitting[0]
    if len(moved) < MIN_SLIPPED:
        return said
    given = set(moved.values())  # if none fits them, what they stand for is unknown
    kept = {short: long for short, long in said.items() if short not in given}
    return kept | {short: lost[other] for short, other in moved.items()}
