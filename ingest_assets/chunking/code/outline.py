"""Flattens a syntax tree into a list of pieces, each of which belongs to one symbol.

Only nodes that contain symbols, or exceed the budget, are descended into: a function that fits is one piece,
whatever is in it. A piece extends to the start of the next one, so pieces never overlap and nothing is lost.
Offsets are in bytes of the UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest_assets.chunking.code.grammar import (
    DEFINITIONS,
    HOLDERS,
    LEAD,
    OPEN,
    PLAIN,
    PUNCTUATION,
    TYPES,
    VALUES,
    WRAP,
    Grammar,
    Role,
    Rule,
    SymbolKind,
)
from ingest_assets.chunking.code.naming import body_of, kind_of, name_of, signature_start

if TYPE_CHECKING:
    from tree_sitter import Node

# Below this depth, a text is cut without regard to its syntax.
MAX_DEPTH = 80
# Added to the depth of a piece that does not begin its line, where a cut should be avoided.
MID_LINE = 1_000
# How far back to look for the start of a line, in bytes.
MAX_INDENT = 400
# A definition with more line breaks than this gets a chunk of its own.
SHORT_LINES = 1
# A key, an element or a style-sheet rule gets one if larger than this fraction of the budget.
LARGE_SHARE = 3


@dataclass(slots=True, eq=False)
class Symbol:
    """Something with a name: what pieces belong to, from the file itself down."""

    kind: SymbolKind
    name: str  # qualified
    qualifier: str  # prefix of its members' names
    parent: Symbol | None
    start: int = 0  # of its signature
    stop: int | None = None  # of its signature; None: it ends with its line


@dataclass(slots=True)
class OutlinePiece:
    """A part of a file that is not divided further: from `start` to the start of the next piece."""

    start: int
    owner: Symbol  # whose members it is merged with
    depth: int  # of its start in the syntax tree; a cut does the least harm where it is low
    symbol: Symbol | None = None  # the symbol that this piece is as a whole
    alone: bool = False  # it is a chunk of its own
    header: bool = False  # it is the beginning of its owner


@dataclass(slots=True)
class Outline:
    """Collects the pieces of one file."""

    data: bytes
    grammar: Grammar
    roles: dict[int, Role]
    size: Callable[[int, int], int]  # of the text between two offsets, in the budget's unit
    budget: int
    small: int  # anything smaller than this is merged
    pieces: list[OutlinePiece]

    def add(self, start: int, owner: Symbol, depth: int) -> OutlinePiece | None:
        """Begin a piece, at the start of its line if only blanks precede it."""
        floor = self.pieces[-1].start if self.pieces else -1
        line = self.data.rfind(b"\n", max(floor, start - MAX_INDENT, 0), start) + 1
        if line == 0 and start > MAX_INDENT:
            line = start
        indented = line <= start and (line == start or self.data[line:start].isspace())
        begins = indented and (line == 0 or self.data[line - 1] == ord("\n"))
        if begins:
            start = line
        if start <= floor:
            return None
        piece = OutlinePiece(start, owner, depth if begins else depth + MID_LINE)
        self.pieces.append(piece)
        return piece

    def visit(self, nodes: Sequence[Node], owner: Symbol, depth: int, lead: int = -1) -> None:
        """Process the children of a node, in order; `lead` is where comments before the first one begin."""
        data, roles = self.data, self.roles
        lead_end = done = -1
        for node in nodes:
            start, end = node.start_byte, node.end_byte
            if start >= end:
                continue
            role = roles.get(node.kind_id, PLAIN)
            if role == PUNCTUATION:
                done = end
            elif role == LEAD:
                trails = lead < 0 <= done and b"\n" not in data[done:start]
                if not trails:
                    lead = self._begin(lead, lead_end, start, owner, depth)
                    lead_end = end
            else:
                self._item(node, role, self._begin(lead, lead_end, start, owner, depth), owner, depth)
                lead = lead_end = -1
                done = end
        if lead >= 0:
            self.add(lead, owner, depth)

    def _begin(self, lead: int, lead_end: int, start: int, owner: Symbol, depth: int) -> int:
        """Where something begins: at the comments before it, unless there is a blank line between."""
        if lead < 0:
            return start
        if lead_end >= 0 and self._apart(lead_end, start):
            self.add(lead, owner, depth)
            return start
        return lead

    def _apart(self, end: int, start: int) -> bool:
        """Whether there is a blank line between a comment and what follows."""
        if self.data[end - 1] == ord("\n"):  # some grammars include the line break in a comment
            end -= 1
        return self.data.count(b"\n", end, start) > 1

    def _item(self, node: Node, role: Role, at: int, owner: Symbol, depth: int) -> None:
        if depth >= MAX_DEPTH:
            self.add(at, owner, depth)
            return
        if role == WRAP:
            for child in node.named_children:
                inside = self.roles.get(child.kind_id, PLAIN)
                if inside == WRAP:
                    self._item_in(node, child.named_children, at, owner, depth)
                    return
                if isinstance(inside, Rule) and self._symbol(node, child, inside, at, owner, depth):
                    return
        elif isinstance(role, Rule):
            if self._symbol(node, node, role, at, owner, depth):
                return
        elif role == OPEN and self.size(at, node.end_byte) > self.small and node.child_count:
            self.visit(node.children, owner, depth + 1, at)
            return
        self._plain(node, at, owner, depth)

    def _item_in(self, node: Node, inner: Sequence[Node], at: int, owner: Symbol, depth: int) -> None:
        """A wrapper in a wrapper, such as an exported, declared function."""
        for child in inner:
            rule = self.roles.get(child.kind_id, PLAIN)
            if isinstance(rule, Rule) and self._symbol(node, child, rule, at, owner, depth):
                return
        self._plain(node, at, owner, depth)

    def _plain(self, node: Node, at: int, owner: Symbol, depth: int) -> None:
        self.add(at, owner, depth)
        if node.child_count and self.size(at, node.end_byte) > self.budget:
            self.visit(node.children, owner, depth + 1, at)

    def _symbol(self, outer: Node, node: Node, rule: Rule, at: int, owner: Symbol, depth: int) -> bool:
        """Add the symbol that a rule makes of a node; False if it is not a symbol here."""
        kind = kind_of(node, rule, self.data)
        if kind is None or (kind in VALUES and owner.kind != "module"):
            return False
        name, qualifier = name_of(node, rule, self.grammar, owner.qualifier, self.data)
        if not name:
            if kind in VALUES:
                return False
            name = owner.name
        if kind == "function" and (owner.kind in TYPES or "::" in name):
            kind = "method"
        name, qualifier = name.replace("::", "."), qualifier.replace("::", ".")
        body = body_of(node, rule, self.grammar)
        start = signature_start(outer, at)
        stop = body.start_byte if body is not None and body.start_byte > start else None
        symbol = Symbol(kind, name, qualifier, owner, start, stop)
        lines = self.data.count(b"\n", outer.start_byte, outer.end_byte)
        size = self.size(at, outer.end_byte)
        members = kind in HOLDERS and (body is not None or rule.own) and lines > 0
        if (members or size > self.budget) and node.child_count:
            self._open(node, body, at, symbol, depth)
            return True
        piece = self.add(at, owner, depth)
        if piece is not None:
            piece.symbol = symbol
            limit = self.budget // LARGE_SHARE if kind == "module" else self.small
            piece.alone = size > limit or (kind in DEFINITIONS and lines > SHORT_LINES)
        return True

    def _open(self, node: Node, body: Node | None, at: int, symbol: Symbol, depth: int) -> None:
        """Split a symbol: its header, then the children of its body."""
        header = self.add(at, symbol, depth)
        if header is not None:
            header.header = True
        if body is None:
            self.visit(node.children, symbol, depth + 1)
            return
        lead = -1
        for child in node.children:  # comments that some grammars put before the body
            if child.start_byte >= body.start_byte:
                break
            if self.roles.get(child.kind_id) != LEAD:
                lead = -1
            elif lead < 0 and self.data.count(b"\n", symbol.start, child.start_byte):
                lead = child.start_byte
        if lead >= 0:
            symbol.stop = lead
        self.visit(body.children or [body], symbol, depth + 1, lead)
