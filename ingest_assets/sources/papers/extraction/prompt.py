"""What a model is asked: the prompt, with a version and a checksum, and the paper in parts.

What belongs here: the words that are sent. What does not: sending them (`endpoint`), and the form of the
answer (`endpoint_schema`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.extraction.endpoint_schema import CLASSES, PREDICATES, answer_schema

VERSION = "1"  # raised with every change of the prompt's file or of the schema
TEMPLATE = "pass1_prompt"
# Formulas are no prose, and the back matter (thanks, funding, interests) is not what a paper found.
ASKED = frozenset({"title", "abstract", "body", "boxed_text", "caption", "table"})
_FILE = Path(__file__).with_name(f"{TEMPLATE}.txt")
_TITLE_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A section, or a part of a long one: `section.text[start:end]`."""

    section: Section
    start: int
    end: int

    @property
    def text(self) -> str:
        """The words that are sent."""
        return self.section.text[self.start : self.end]


@cache
def system_prompt() -> str:
    """The instructions, the same for every paper."""
    text = _FILE.read_text("utf-8")
    return text.replace("{classes}", ", ".join(CLASSES)).replace("{predicates}", ", ".join(PREDICATES))


@cache
def checksum() -> str:
    """A digest of all that is asked besides the paper: "sha256:" and 64 hexadecimal digits."""
    schema = json.dumps(answer_schema(), sort_keys=True)
    return "sha256:" + hashlib.sha256(f"{system_prompt()}\0{schema}".encode()).hexdigest()


def user_prompt(article: Article, pieces: tuple[Piece, ...]) -> str:
    """The paper's id and title, and some of its text."""
    lines = [f"Paper id: {article.paper_id}", f"Title: {' '.join(article.title.split())[:_TITLE_CHARS]}", ""]
    for piece in pieces:
        path = " > ".join(" ".join(step.split()) for step in piece.section.path) or piece.section.kind
        lines += [f"<section> {path}", "", piece.text.strip(), "</section>", ""]
    return "\n".join(lines)


def parts(article: Article, max_chars: int) -> list[tuple[Piece, ...]]:
    """The paper's text in order, in groups of at most `max_chars` characters. Empty if it has none."""
    groups: list[tuple[Piece, ...]] = []
    group: list[Piece] = []
    size = 0
    for section in article.sections:
        if section.kind not in ASKED:
            continue
        for piece in _pieces(section, max_chars):
            length = piece.end - piece.start
            if group and size + length > max_chars:
                groups.append(tuple(group))
                group, size = [], 0
            group.append(piece)
            size += length
    return [*groups, tuple(group)] if group else groups


def _pieces(section: Section, max_chars: int) -> Iterator[Piece]:
    """A section in pieces that end at a paragraph, else at a sentence, else at a word."""
    text, start = section.text, 0
    while len(text) - start > max_chars:
        # A cut in the first half would make many small pieces.
        half, limit = start + max_chars // 2, start + max_chars
        cuts = ((text.rfind(mark, half, limit), len(mark)) for mark in ("\n\n", ". ", " "))
        end = next((at + width for at, width in cuts if at >= 0), limit)
        if text[start:end].strip():
            yield Piece(section, start, end)
        start = end
    if text[start:].strip():
        yield Piece(section, start, len(text))
