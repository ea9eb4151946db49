"""Where a long text is cut: at natural boundaries, chosen by its content.

A splitter that fills each piece up to the budget moves every later boundary when a word is inserted at
the top. So the text is first split into sentences and paragraphs (by semantic-text-splitter), and these
units are joined again by a content-defined rule, as in deduplicating backups: a piece that is long enough
ends at the end of a paragraph or before a unit whose hash says so, and always before it exceeds the
budget. After an insertion, the boundaries are the same again within a few pieces.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

Measure = Callable[[Sequence[str]], Sequence[int]]

# From a quarter of the budget on, a piece may end before one unit in four, and from half of it on at the
# end of any paragraph, so that two sequences of boundaries meet again after a few pieces.
MIN_SHARE = 4
CUT_ONE_IN = 4
# The splitter joins units shorter than a sixteenth of the budget, and gets at most eight budgets at once.
UNIT_SHARE = 16
SEGMENT_BUDGETS = 8
CUT_WORD_ONE_IN = 64
# The number of characters that determine a cut inside a word longer than that (in a language without spaces,
# or an encoded file).
CUT_WINDOW = 8
CUT_PRIME = 2_654_435_761

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class ChunkBudget:
    """How large a chunk may be, and how much of the previous one it repeats.

    `unit` is characters, or tokens of the tokenizer in `tokenizer` (a tokenizer.json).
    """

    size: int
    overlap: int = 0
    unit: Literal["characters", "tokens"] = "characters"
    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: [start, end) are its own characters, [lead, start) those repeated before them."""

    lead: int
    start: int
    end: int


def split(text: str, budget: ChunkBudget) -> list[Piece]:
    """The pieces of a text, in order; together they cover it. Empty text has no pieces."""
    if not text:
        return []
    if budget.unit == "characters" and len(text) <= budget.size:
        return [Piece(0, 0, len(text))]
    units = _units(text, budget)
    sizes = measure(budget)([unit for _, unit in units])
    pieces: list[Piece] = []
    first, filled = 0, 0
    for i, ((_, unit), size) in enumerate(zip(units, sizes, strict=True)):
        ends = i > first and _ends_between(units[i - 1][1], unit, filled, budget)
        if ends or (i > first and filled + size > budget.size):
            pieces.append(_piece(units, sizes, first, i, budget))
            first, filled = i, 0
        filled += size
    pieces.append(_piece(units, sizes, first, len(units), budget))
    return pieces


def _ends_between(before: str, after: str, filled: int, budget: ChunkBudget) -> bool:
    """Whether a piece that could continue ends here. Its content decides, not where it began."""
    if filled * 2 >= budget.size and _PARAGRAPH_END.search(before):
        return True
    return filled * MIN_SHARE >= budget.size and zlib.crc32(after.encode()) % CUT_ONE_IN == 0


def _piece(
    units: Sequence[tuple[int, str]], sizes: Sequence[int], first: int, stop: int, budget: ChunkBudget
) -> Piece:
    lead, room = first, budget.overlap
    while lead > 0 and sizes[lead - 1] <= room:
        lead -= 1
        room -= sizes[lead]
    last_start, last = units[stop - 1]
    return Piece(units[lead][0], units[first][0], last_start + len(last))


def _units(text: str, budget: ChunkBudget) -> list[tuple[int, str]]:
    """(offset, unit), in order and without gaps: paragraphs, or sentences of a paragraph over the budget."""
    from semantic_text_splitter import TextSplitter

    capacity = (max(1, budget.size // UNIT_SHARE), budget.size)
    if budget.tokenizer is not None:
        splitter = TextSplitter.from_huggingface_tokenizer(_tokenizer(budget.tokenizer), capacity, trim=False)
    else:
        splitter = TextSplitter(capacity, trim=False)
    sizes_of = measure(budget)
    units: list[tuple[int, str]] = []
    for start, stop in _segments(text, budget.size * SEGMENT_BUDGETS):
        segment = text[start:stop]
        # A token is at least one ASCII character; of other characters (Hangul, for example) it may be a part.
        if len(segment) <= budget.size and (segment.isascii() or sizes_of([segment])[0] <= budget.size):
            units.append((start, segment))
        else:
            units += [(start + offset, unit) for offset, unit in splitter.chunk_indices(segment)]
    return units


def _segments(text: str, limit: int) -> Iterator[tuple[int, int]]:
    """[start, stop) of the paragraphs, each with the blank lines after it; long ones are cut."""
    start = 0
    for blank in _PARAGRAPH_END.finditer(text):
        yield from _cut(text, start, blank.end(), limit)
        start = blank.end()
    if start < len(text):
        yield from _cut(text, start, len(text), limit)


def _cut(text: str, start: int, stop: int, limit: int) -> Iterator[tuple[int, int]]:
    """Parts of at most `limit` characters, cut at a word if possible; the content decides where.

    The splitter's time grows with the square of what it is given at once.
    """
    if stop - start > limit:
        for word in _WORD.finditer(text, start, stop):
            while word.end() - start > limit:
                in_words = word.start() - start > limit // 2
                part = word.start() if in_words else _cut_in_word(text, start + limit // 2, start + limit)
                yield start, part
                start = part
            if word.end() - start >= limit // 2 and zlib.crc32(word.group().encode()) % CUT_WORD_ONE_IN == 0:
                yield start, word.end()
                start = word.end()
    if start < stop:
        yield start, stop


def _cut_in_word(text: str, low: int, high: int) -> int:
    """Where to cut between `low` and `high`: after the characters with the smallest hash.

    Two runs that started at different places see mostly the same hashes, and soon choose the same cut.
    """
    window = text[max(0, low - CUT_WINDOW) : high].encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(window, "<u4")
    hashes = np.zeros(high - low, np.uint32)
    for k in range(1, min(CUT_WINDOW, low) + 1):
        hashes = (hashes * np.uint32(CUT_PRIME)) ^ codes[len(codes) - (high - low) - k : len(codes) - k]
        hashes ^= hashes >> np.uint32(15)
    return low + int((hashes * np.uint32(CUT_PRIME)).argmin())


def measure(budget: ChunkBudget) -> Measure:
    """A function that returns the sizes of texts in the budget's unit."""
    if budget.tokenizer is None:
        return lambda units: [len(unit) for unit in units]
    tokenizer = _tokenizer(budget.tokenizer)
    return lambda units: [
        len(encoding.ids) for encoding in tokenizer.encode_batch(list(units), add_special_tokens=False)
    ]


@lru_cache(maxsize=2)
def _tokenizer(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the library is imported here only
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
