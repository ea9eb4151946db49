"""Parses a file's text into a syntax tree, with a bound on the work that does not depend on the clock.

Some files (a megabyte of backslashes, an SQL dump in another dialect) would keep a parser busy for
minutes. Work is counted in steps and bytes read, so that parsing is abandoned at the same point on every
machine; the file is then cut as prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ingest_assets.chunking.code.grammar import Role, roles
from ingest_assets.chunking.code.languages import LANGUAGES
from ingest_assets.chunking.code.places import CONTINUATION

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

# Bytes that the parser gets at once. It reads most files once or twice (some Kotlin, 20 times), and
# takes 0.3 to 2.2 steps per byte: measured on 6,000 files in 20 languages.
BLOCK = 4_096
# A file may take this many bytes and steps, plus this many times its own size.
FREE_READS, READS_A_BYTE = 2_000_000, 10
FREE_STEPS, STEPS_A_BYTE = 200_000, 5
STEPS_A_REPORT = 100
# At the end of a file with 6,000 open brackets, several parsers take seconds and gigabytes in one step, or
# overflow their stack. Of 15,000 real files, the deepest had 604.
MAX_DEPTH = 1_500
_DEEPER = np.zeros(256, np.int8)
_DEEPER[list(b"([{<")] = 1
_DEEPER[list(b")]}>")] = -1
# The YAML scanner writes past its buffer at 256 open blocks (tree-sitter-yaml 0.7.2); nobody writes 100.
MAX_YAML_BLOCKS = 100
# For each tag the HTML scanner goes through all open tags, which is not counted in steps.
MAX_HTML_OPEN = 20_000
_YAML_OPENING = re.compile(rb"^[ \t]*(?:[-?:][ \t]+)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A grammar in memory: the compiled language and its table of roles."""

    language: Language
    roles: dict[int, Role]


@cache
def load(name: str) -> Loaded:
    """The grammar of a language of `LANGUAGES`; loaded once per process."""
    grammar = LANGUAGES[name]
    language = grammar.language()
    return Loaded(language, roles(grammar, language))


@cache
def versions() -> tuple[str, ...]:
    """The parser's and every grammar's name and version: other versions may find different symbols."""
    from importlib.metadata import version

    packages = sorted({"tree-sitter"} | {grammar.package for grammar in LANGUAGES.values()})
    return tuple(f"{package} {version(package)}" for package in packages)


def parse(data: bytes, language: Language) -> Tree | None:
    """The tree of a file in UTF-8, or None if it is too much work."""
    from tree_sitter import Parser

    if _depth(data) > MAX_DEPTH:
        return None
    if language == load("YAML").language and _yaml_blocks(data) > MAX_YAML_BLOCKS:
        return None
    if language == load("HTML").language and data.count(b"<") - 2 * data.count(b"</") > MAX_HTML_OPEN:
        return None
    reads = FREE_READS + READS_A_BYTE * len(data)
    steps = FREE_STEPS + STEPS_A_BYTE * len(data)

    def read(offset: int, _: object) -> bytes:
        nonlocal reads
        if reads <= 0:
            return b""
        # Whole characters only: the parser crashes if it gets a part of one and the rest never comes.
        end = offset + BLOCK
        while end < len(data) and data[end] & 0xC0 == CONTINUATION:
            end -= 1
        reads -= end - offset
        return data[offset:end]

    def give_up(_offset: int, _error: bool) -> bool:  # noqa: FBT001 - the library's own signature
        nonlocal steps
        steps -= STEPS_A_REPORT
        return steps < 0 or reads <= 0

    try:
        return Parser(language).parse(read, progress_callback=give_up)
    except ValueError:  # what the library raises for an abandoned parse
        return None


def _depth(data: bytes) -> int:
    """The largest number of brackets open at once, whether or not they act as brackets."""
    if len(data) <= MAX_DEPTH:
        return 0
    steps = _DEEPER[np.frombuffer(data.replace(b"<<", b""), np.uint8)]
    depth = np.cumsum(steps, dtype=np.int32)
    return int((depth - np.minimum.accumulate(depth)).max(initial=0))


def _yaml_blocks(data: bytes) -> int:
    """An upper bound on the nesting of YAML blocks: one per column, and one per dash."""
    openings = set(_YAML_OPENING.findall(data))
    columns = {len(opening) - len(opening.lstrip()) for opening in openings}
    return len(columns) + max((opening.count(b" ") for opening in openings if opening.strip()), default=0)
