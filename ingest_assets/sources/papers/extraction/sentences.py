"""Sentences of a text, with their places.

What belongs here: where a sentence of scientific prose ends. What does not: what it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"[.!?][\"')\]”’]*\s+(?=[\"'(\[“‘]?[A-Z0-9Α-Ωα-ω])|\n{2,}")  # noqa: RUF001
# What a full stop after it does not end a sentence.
_ABBREVIATED = re.compile(
    r"(?:\b(?:al|e\.g|i\.e|cf|vs|Fig|Figs|fig|Tab|Ref|Refs|Eq|No|no|Dr|Prof|Mr|Mrs|Ms|St|approx|ca|resp|spp|sp|var"
    r"|Inc|Ltd|Co|vol|pp|ed|eds|etc)|\b[A-Z]|\b[A-Z]\.[A-Z])\Z"
)
MAX_SENTENCE_CHARS = 4_000  # a list without a full stop is cut


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, without the space around it."""
    start = 0
    for match in _END.finditer(text):
        paragraph = "\n\n" in match.group()  # "hepatitis C." ends one
        if not paragraph and _ABBREVIATED.search(text, max(start, match.start() - 12), match.start()):
            continue
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def rows(text: str) -> Iterator[tuple[int, int]]:
    """The sentences of a table's text: none goes on from one row to the next."""
    for line in re.finditer(r"[^\n]+", text):
        yield from ((line.start() + start, line.start() + end) for start, end in sentences(line.group()))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > MAX_SENTENCE_CHARS:
        cut = text.rfind(" ", start, start + MAX_SENTENCE_CHARS)
        cut = cut if cut > start else start + MAX_SENTENCE_CHARS
        yield start, cut
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if end > start:
        yield start, end
