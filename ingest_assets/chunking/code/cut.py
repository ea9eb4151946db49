"""Splits a file's text into the parts that become its chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Self

from ingest_assets.chunking.code.languages import LANGUAGES
from ingest_assets.chunking.code.outline import Outline, OutlinePiece, Symbol
from ingest_assets.chunking.code.pack import Extent, groups, label
from ingest_assets.chunking.code.parse import load, parse
from ingest_assets.chunking.code.places import utf8_offsets
from ingest_assets.chunking.prose import ChunkBudget, measure, split

# Anything smaller than this fraction of the budget is merged with its neighbours.
SMALL_SHARE = 6
# How many enclosing scopes, the innermost ones, a chunk repeats before its text, and how long each may be.
SCOPES = 3
SIGNATURE_CHARS = 160
# The names of several symbols in one chunk take at most this many characters.
NAMES_CHARS = 300

_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = " \t"
_CLOSING = " \t\r\n])}>;,"


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes a chunk: the characters [start, stop), and what is known about them."""

    start: int
    stop: int
    kind: str
    name: str
    scopes: tuple[str, ...]  # the signatures of what encloses it, outermost first, indented as in the file
    context: str  # one line: the path, then the signatures down to its own


@dataclass(frozen=True, slots=True)
class File:
    """A text as characters and as UTF-8, and how it is measured."""

    text: str  # as long as the body; lone surrogates are replaced
    data: bytes
    characters: Sequence[int]  # the character offset of each byte
    path: str
    language: str
    root: Symbol
    budget: ChunkBudget
    signatures: dict[Symbol, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: str, path: str, language: str, budget: ChunkBudget) -> Self:
        text = body if body.isascii() else _SURROGATE.sub("\ufffd", body)
        data = text.encode()
        root = Symbol("module", PurePosixPath(path).stem, "", None)
        return cls(text, data, utf8_offsets(text, data), path, language, root, budget)

    def size(self, start: int, stop: int) -> int:
        """Size of the text between two byte offsets, in the budget's unit."""
        return _size(self, self.budget, self.characters[start], self.characters[stop])

    def signature(self, symbol: Symbol) -> str:
        """The line that a symbol is declared in, indented as in the file; shortened if necessary."""
        known = self.signatures.get(symbol)
        if known is None:
            known = self.signatures[symbol] = self._signature(symbol)
        return known

    def _signature(self, symbol: Symbol) -> str:
        data, start = self.data, symbol.start
        stop = symbol.stop
        if stop is None:
            stop = data.find(b"\n", start, start + 4 * SIGNATURE_CHARS)
            stop = start + 4 * SIGNATURE_CHARS if stop < 0 else stop
        shown = data[start : min(stop, start + 8 * SIGNATURE_CHARS)].decode("utf-8", "ignore")
        line = " ".join(shown.split()).removesuffix("{").rstrip()
        if len(line) > SIGNATURE_CHARS:
            line = line[: SIGNATURE_CHARS - 1] + "…"
        begin = data.rfind(b"\n", max(0, start - SIGNATURE_CHARS), start) + 1
        indent = data[begin:start].decode("utf-8", "ignore")
        return indent + line if not indent.strip(_BLANKS) else line


def cut(file: File, budget: ChunkBudget) -> Iterator[Part]:
    """The parts of a file, in order: they do not overlap, and cover everything but white space."""
    if not file.text or file.text.isspace():
        return
    pieces = _pieces(file, budget)
    if pieces is None:
        root = OutlinePiece(0, file.root, 0)
        for extent in _split(file, budget, root, 0, len(file.text)):
            yield Part(extent.start, extent.stop, "module", file.root.name, (), file.path)
        return
    for group in groups(list(_extents(file, budget, pieces)), budget, file.text):
        symbol, name = label(group, NAMES_CHARS)
        first = group[0].piece
        enclosing = first.owner.parent if first.header else first.owner
        scopes = [file.signature(scope) for scope in _chain(enclosing)][-SCOPES:]
        signatures = [file.signature(scope).strip() for scope in _chain(symbol)][-SCOPES - 1 :]
        context = " > ".join([file.path, *signatures])
        yield Part(group[0].start, group[-1].stop, symbol.kind, name, tuple(scopes), context)


def _chain(symbol: Symbol | None) -> list[Symbol]:
    """A symbol and what encloses it, outermost first, without the file."""
    chain: list[Symbol] = []
    while symbol is not None and symbol.parent is not None:
        chain.append(symbol)
        symbol = symbol.parent
    return chain[::-1]


def _pieces(file: File, budget: ChunkBudget) -> list[OutlinePiece] | None:
    """The pieces of a file by its syntax; None if its language is unknown or it cannot be parsed."""
    if file.language not in LANGUAGES:
        return None
    loaded = load(file.language)
    tree = parse(file.data, loaded.language)
    if tree is None:
        return None
    outline = Outline(
        file.data,
        LANGUAGES[file.language],
        loaded.roles,
        file.size,
        budget.size,
        budget.size // SMALL_SHARE,
        [],
    )
    outline.visit(tree.root_node.children, file.root, 0)
    pieces = outline.pieces
    if not pieces:
        return None
    if pieces[0].start > 0:
        if file.data[: pieces[0].start].isspace():
            pieces[0].start = 0
        else:
            pieces.insert(0, OutlinePiece(0, file.root, 0))
    return pieces


def _extents(file: File, budget: ChunkBudget, pieces: Sequence[OutlinePiece]) -> Iterator[Extent]:
    stops = [file.characters[piece.start] for piece in pieces[1:]] + [len(file.text)]
    for piece, end in zip(pieces, stops, strict=True):
        start, stop = _trim(file.text, file.characters[piece.start], end)
        if start >= stop:
            continue
        size = _size(file, budget, start, stop)
        if size <= budget.size:
            yield Extent(piece, start, stop, size)
            continue
        # A piece that would fit without its closing brackets.
        head = start + len(file.text[start:stop].rstrip(_CLOSING).rstrip())
        if start < head < stop and _size(file, budget, start, head) <= budget.size:
            yield Extent(piece, start, head, _size(file, budget, start, head))
            yield from _split(file, budget, OutlinePiece(piece.start, piece.owner, piece.depth), head, stop)
        else:
            yield from _split(file, budget, piece, start, stop)


def _split(file: File, budget: ChunkBudget, piece: OutlinePiece, start: int, stop: int) -> Iterator[Extent]:
    """Cuts a text as prose, without regard to its syntax."""
    whole = ChunkBudget(budget.size, 0, budget.unit, budget.tokenizer)
    for part in split(file.text[start:stop], whole):
        first, last = _trim(file.text, start + part.start, start + part.end)
        if first < last:
            yield Extent(piece, first, last, _size(file, budget, first, last))
            if piece.header:
                piece = replace(piece, header=False)


def _size(file: File, budget: ChunkBudget, start: int, stop: int) -> int:
    if budget.unit == "characters":
        return stop - start
    return measure(budget)([file.text[start:stop]])[0]


def _trim(text: str, start: int, stop: int) -> tuple[int, int]:
    """The range without white space at its end and blank lines at its start; indentation stays."""
    shown = text[start:stop].rstrip()
    first = start + len(shown) - len(shown.lstrip())
    line = text.rfind("\n", start, first) + 1
    if line == 0:
        line = start if start == 0 or text[start - 1] == "\n" else first
    return line, start + len(shown)
