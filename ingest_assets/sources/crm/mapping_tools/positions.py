"""Where in a TOML file a value is: `tomllib` reads values, tree-sitter says where they are written.

What belongs here: lines and columns of keys. What does not: what is wrong with them (`check`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ingest_assets.sources.crm.faults import Where

if TYPE_CHECKING:
    from tree_sitter import Node

_TABLES = {"table", "table_array_element"}
_KEYS = {"bare_key", "quoted_key", "dotted_key"}


class Position(NamedTuple):
    """Both count from 1; a column is one of characters."""

    line: int
    column: int


class Positions:
    """The positions of all keys, and of the entries of arrays, of one file."""

    def __init__(self, text: str) -> None:
        import tree_sitter_toml
        from tree_sitter import Language, Parser

        self._lines = text.encode().split(b"\n")
        self._found: dict[Where, Position] = {}
        self._last: dict[Where, int] = {}  # of an array of tables, the number of the last one
        root = Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
        for node in root.children:
            if node.type in _TABLES:
                self._table(node)
            elif node.type == "pair":
                self._pair((), node)

    def of(self, where: Where) -> Position:
        """Of what is at a place, else of what it would be in; the first line if there is nothing of it."""
        while where and where not in self._found:
            where = where[:-1]
        return self._found.get(where, Position(1, 1))

    def _table(self, node: Node) -> None:
        key = next(child for child in node.children if child.type in _KEYS)
        where: Where = ()
        *above, last = _parts(key)
        for part in above:
            where = (*where, part)
            where = (*where, self._last[where]) if where in self._last else where
        where = (*where, last)
        if node.type == "table_array_element":
            self._note(where, node)
            self._last[where] = self._last.get(where, -1) + 1
            where = (*where, self._last[where])
        self._note(where, node)
        for child in node.children:
            if child.type == "pair":
                self._pair(where, child)

    def _pair(self, where: Where, node: Node) -> None:
        key, value = node.children[0], node.children[-1]
        for part in _parts(key):
            where = (*where, part)
            self._note(where, key)
        self._value(where, value)

    def _value(self, where: Where, node: Node) -> None:
        if node.type == "inline_table":
            for child in node.children:
                if child.type == "pair":
                    self._pair(where, child)
        elif node.type == "array":
            entries = [child for child in node.children if child.is_named and child.type != "comment"]
            for number, child in enumerate(entries):
                self._note((*where, number), child)
                self._value((*where, number), child)

    def _note(self, where: Where, node: Node) -> None:
        line, byte = node.start_point
        column = len(self._lines[line][:byte].decode(errors="replace"))
        self._found.setdefault(where, Position(line + 1, column + 1))


def _parts(key: Node) -> Iterator[str]:
    if key.type == "dotted_key":
        for child in key.children:
            if child.type in _KEYS:
                yield from _parts(child)
        return
    written = (key.text or b"").decode(errors="replace")
    yield next(iter(tomllib.loads(f"{written} = 0")))
