"""Genes' symbols in a text, and whether they mean genes there.

What belongs here: what is written like a symbol, and what speaks for it: many symbols are words, units or
abbreviations of something else. What does not: names in words (`names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ingest_assets.sources.papers.extraction.dictionaries import Dictionaries, Symbol, symbol_key

# "PD-L1", "TGF-β1", "HLA-DRB1", "p53"; a slash, a comma or a space ends it.
_TOKEN = re.compile(r"(?<![\w])[^\W_]+(?:[-‐‑–][^\W_]+)*(?![\w])")  # noqa: RUF001
_DIGIT = re.compile(r"\d")
_PART = re.compile(r"[^\W_]+")
_LIST_GAP = re.compile(r":\Z|\s*(?:[,/;|+]|[-‐‑–]|,?\s*(?:and|or|&))\s*\Z")  # noqa: RUF001
_BETWEEN = re.compile(r"[.,;:()\n\t]")  # what lies between is not beside: a new sentence, a cell of a table
_ROMAN = re.compile(r"[-‐‑–](I{1,3})\Z")  # noqa: RUF001
_HYPHENS = re.compile(r"[-‐‑–]")  # noqa: RUF001
_NEAR = re.compile(r"[^\W_]+")
MAX_PARTS = 4
MIN_CHARS, MAX_CHARS = 2, 20
MAX_LIST_GAP_CHARS = 6
MIN_PLURAL_CHARS = 3
MIN_SUPPORTED_CHARS = 3  # of shorter ones the paper has to have the name in words
MIN_CLEAR_CHARS = 4  # shorter symbols need support, and so do all that are words


class Found(NamedTuple):
    """A symbol at a place of a text."""

    start: int
    end: int
    entry: int
    key: str
    clear: bool  # it can hardly be anything else
    exact: bool  # written as the dictionary has it
    shared: bool  # several genes have this alias, and `entry` is one of them


@dataclass
class Evidence:
    """What one paper says about its symbols. Filled section by section, then asked."""

    # What the paper defines, by key: the gene, or None for something else.
    defined: dict[str, int | None] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)  # entries whose full name the paper has
    supported: set[str] = field(default_factory=set)  # keys that stand beside a word for genes, or in a list

    def accepts(self, found: Found, only_defined: frozenset[str], surface: str) -> bool:
        """Whether this symbol means its gene in this paper."""
        if found.key in self.defined:
            return self.defined[found.key] is not None
        if surface in only_defined:
            return False
        if found.clear or found.entry in self.named:
            return True
        return len(found.key) >= MIN_SUPPORTED_CHARS and found.key in self.supported


def find(text: str, dictionaries: Dictionaries) -> Iterator[Found]:
    """All that is written like a symbol that is in the dictionary, longest first at each place."""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.islower() and not _DIGIT.search(token):
            continue  # words; no symbol is written so
        if token.isalnum():
            known = _look_up(token, dictionaries)
            if known is not None:
                yield Found(match.start(), match.end(), *known)
            continue
        parts = [(part.start(), part.end()) for part in _PART.finditer(text, match.start(), match.end())]
        at = 0
        while at < len(parts):
            for last in range(min(len(parts), at + MAX_PARTS), at, -1):
                start, end = parts[at][0], parts[last - 1][1]
                known = _look_up(text[start:end], dictionaries)
                if known is not None:
                    yield Found(start, end, *known)
                    at = last
                    break
            else:
                at += 1


class _Known(NamedTuple):
    entry: int
    key: str
    clear: bool
    exact: bool
    shared: bool


@lru_cache(maxsize=65_536)
def _look_up(surface: str, dictionaries: Dictionaries) -> _Known | None:
    """What this spelling may mean. The same spellings come again and again."""
    if not MIN_CHARS <= len(surface) <= MAX_CHARS or surface.isdigit():
        return None
    for written in _spellings(surface):
        folded = symbol_key(written)
        symbols = dictionaries.symbols.get(folded)
        chosen, exact = _choose(written, symbols)
        if chosen is None or _is_word(written, dictionaries) or not (exact or _like_a_symbol(written)):
            continue
        if chosen.approved or written == surface or not _ROMAN.search(surface):
            clear = _clear(written, chosen, symbols, dictionaries)
            return _Known(chosen.entry, folded, clear, exact, _shared(chosen, symbols))
    return None


def _spellings(surface: str) -> Iterator[str]:
    """How the dictionary may have it: without the plural's "s", and with 1 for I as in "IGF-I"."""
    yield surface
    if surface.endswith("s") and len(surface) > MIN_PLURAL_CHARS:
        yield surface[:-1]
    roman = _ROMAN.search(surface)
    if roman is not None:
        yield surface[: roman.start()] + str(len(roman.group(1)))


def _choose(written: str, symbols: tuple[Symbol, ...]) -> tuple[Symbol | None, bool]:
    """The symbol that this spelling means: the one written so, an approved one before an alias."""
    plain = _HYPHENS.sub("", written)
    exact = [each for each in symbols if _HYPHENS.sub("", each.surface) == plain]
    best = min(exact or symbols, key=lambda each: (not each.approved, each.entry), default=None)
    return best, bool(exact)


def _is_word(written: str, dictionaries: Dictionaries) -> bool:
    if not written.isalpha():
        return False
    titled = written[0].isupper() and written[1:].islower()
    return written.islower() or (titled and written.upper() in dictionaries.ambiguous)


class _Shape(NamedTuple):
    letters: int
    upper: int
    digits: bool


def _shape(written: str) -> _Shape:
    return _Shape(
        sum(map(str.isalpha, written)), sum(map(str.isupper, written)), any(map(str.isdigit, written))
    )


def _like_a_symbol(written: str) -> bool:
    """Capitals, or one with a digit, or a word with one as those of mice: "Akt"."""
    shape = _shape(written)
    return shape.upper > 1 or (
        shape.upper == 1 and (shape.digits or (written[0].isupper() and len(written) > MIN_CHARS))
    )


def _clear(written: str, symbol: Symbol, symbols: tuple[Symbol, ...], dictionaries: Dictionaries) -> bool:
    """Whether this can hardly be anything but the gene."""
    letters, upper, digits = _shape(written)
    mouse = digits and upper == 1 and letters > MIN_CHARS
    if letters < MIN_CHARS or not (upper > 1 or mouse or written == symbol.surface):
        return False
    if not dictionaries.ambiguous.isdisjoint((symbol.surface, written)):
        return False
    if symbol.approved:
        # "TP53", "IL6"; of letters alone longer ones: "EGFR".
        least = MIN_SUPPORTED_CHARS if digits else MIN_CLEAR_CHARS
        return len(written) >= least and (digits or upper >= MIN_SUPPORTED_CHARS)
    # An alias that two genes share is clear of neither.
    if _shared(symbol, symbols):
        return False
    if digits:
        return len(written) >= MIN_CLEAR_CHARS
    return letters > MIN_CLEAR_CHARS - ("-" in written) and upper >= MIN_CLEAR_CHARS


def _shared(symbol: Symbol, symbols: tuple[Symbol, ...]) -> bool:
    return not symbol.approved and len({each.entry for each in symbols}) > 1


def support(
    text: str, found: list[Found], dictionaries: Dictionaries, defined: Mapping[str, int | None]
) -> Iterator[str]:
    """Keys of the symbols that something beside them speaks for; `defined` as in `Evidence`."""
    beside = dictionaries.beside

    def is_gene(each: Found) -> bool:
        if each.key in defined:
            return defined[each.key] is not None
        return each.clear and text[each.start : each.end] not in dictionaries.only_defined

    for index, each in enumerate(found):
        if each.clear or each.exact or _like_a_symbol(text[each.start : each.end]):
            after = _NEAR.search(text, each.end, each.end + 24)
            before = _last_word(text, each.start)
            near_after = (
                after is not None
                and after.group().lower() in beside
                and _close(text, each.end, after.start())
            )
            near_before = before in beside
            if near_after or near_before:
                yield each.key
                continue
        neighbours = [found[other] for other in (index - 1, index + 1) if 0 <= other < len(found)]
        if any(is_gene(other) and _listed(text, each, other) for other in neighbours):
            yield each.key


def _close(text: str, end: int, start: int) -> bool:
    return not _BETWEEN.search(text, end, start)


def _last_word(text: str, end: int) -> str:
    words = _NEAR.findall(text[max(0, end - 24) : end])
    gap = re.search(r"[^\W_](\W*)\Z", text[max(0, end - 24) : end])
    if not words or gap is None or _BETWEEN.search(gap.group(1)):
        return ""
    return str(words[-1]).lower()


def _listed(text: str, one: Found, other: Found) -> bool:
    first, second = sorted((one, other))
    return (
        second.start - first.end <= MAX_LIST_GAP_CHARS
        and _LIST_GAP.match(text, first.end, second.start) is not None
    )
