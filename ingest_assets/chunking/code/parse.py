"""A file's text to its syntax tree, with a bound on the work that does not depend on the clock.

Some files (a megabyte of backslashes, an SQL dump in another dialect) would keep a parser busy for
minutes. Work is counted in steps and in characters read, so that a file is given up at the same place
on every machine; it is then cut as prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ingest_assets.chunking.code.grammar import Part, parts
from ingest_assets.chunking.code.languages import LANGUAGES

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

# Bytes that the parser is given at once. Real files of a few thousand bytes are read once over, and a
# step, as the parser reports it, is about two bytes of code.
BLOCK = 4_096
# Beyond this many times its own size, and these many bytes and steps, a file is given up.
FREE_READS, READS_A_BYTE = 2_000_000, 10
FREE_STEPS, STEPS_A_BYTE = 200_000, 5
STEPS_A_REPORT = 100
# The YAML scanner writes past its buffer at 256 open blocks (tree-sitter-yaml 0.7.2); nobody writes 100.
MAX_YAML_BLOCKS = 100
# For each tag the HTML scanner goes through all that are open, which no step counts.
MAX_HTML_OPEN = 20_000
_YAML_OPENING = re.compile(rb"^[ \t]*(?:[-?:][ \t]+)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A grammar in memory: the compiled language and its table of parts."""

    language: Language
    parts: dict[int, Part]


@cache
def load(name: str) -> Loaded:
    """The grammar of a language of `LANGUAGES`; loaded once a process."""
    grammar = LANGUAGES[name]
    language = grammar.language()
    return Loaded(language, parts(grammar, language))


@cache
def versions() -> tuple[str, ...]:
    """The parser's and every grammar's name and version: other versions may see other symbols."""
    from importlib.metadata import version

    packages = sorted({"tree-sitter"} | {grammar.package for grammar in LANGUAGES.values()})
    return tuple(f"{package} {version(package)}" for package in packages)


def parse(data: bytes, language: Language) -> Tree | None:
    """The tree of a file in UTF-8, or None when it is too much work."""
    from tree_sitter import Parser

    if language == load("YAML").language and _yaml_blocks(data) > MAX_YAML_BLOCKS:
        return None
    if language == load("HTML").language and data.count(b"<") - 2 * data.count(b"</") > MAX_HTML_OPEN:
        return None
    reads = FREE_READS + READS_A_BYTE * len(data)
    steps = FREE_STEPS + STEPS_A_BYTE * len(data)

    def read(offset: int, _: object) -> bytes:
        nonlocal reads
        block = data[offset : offset + BLOCK] if reads > 0 else b""
        reads -= len(block)
        return block

    def give_up(_offset: int, _error: bool) -> bool:  # noqa: FBT001 - the library's own signature
        nonlocal steps
        steps -= STEPS_A_REPORT
        return steps < 0 or reads <= 0

    try:
        return Parser(language).parse(read, progress_callback=give_up)
    except ValueError:  # what the library raises for a parse that was given up
        return None


def _yaml_blocks(data: bytes) -> int:
    """At least as many as there are blocks of YAML within each other: one at a column, and one a dash."""
    openings = set(_YAML_OPENING.findall(data))
    columns = {len(opening) - len(opening.lstrip()) for opening in openings}
    return len(columns) + max((opening.count(b" ") for opening in openings if opening.strip()), default=0)
