"""What the chunker knows of a language, as data: which nodes are symbols, and how they are named.

A language is a `Grammar`: the wheel that parses it, and for each type of node its part in a file. The
algorithm in `outline.py` is one for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Language

SymbolKind = Literal[
    "function",
    "class",
    "module",
    "struct",
    "trait",
    "enum",
    "method",
    "const",
    "static",
    "interface",
    "type_alias",
    "impl",
    "macro",
]
# What holds members: functions in it are methods, and its parts are chunks of their own.
TYPES: frozenset[str] = frozenset({"class", "struct", "trait", "enum", "interface", "impl"})
HOLDERS: frozenset[str] = TYPES | {"module"}
# What deserves a chunk of its own as soon as it is longer than two lines.
DEFINITIONS: frozenset[str] = TYPES | {"function", "method", "macro"}
# What is a symbol at the top of a file or namespace, and a mere part of whatever else it stands in.
VALUES: frozenset[str] = frozenset({"const", "static", "type_alias"})


@dataclass(frozen=True, slots=True)
class Rule:
    """How a node of one type is a symbol.

    `name` lists the fields (or types of children) that may hold its name; the first that is there counts.
    The node itself may hold both a level further down, in a child of type `inner`. The kind is `kind`,
    unless the node in the field `by` has a type in `kinds`, or the signature has a word in `words`; a
    node without any kind is no symbol. `owner` is the field that names the type of a method that stands
    outside of it, `prefix` one that is put before the name, as in "Display for Crane". With `own` the
    children of the node are the members; otherwise those of its body are.
    """

    kind: SymbolKind | None
    name: tuple[str, ...] = ("name",)
    inner: str | None = None
    by: str | None = None
    kinds: Mapping[str, SymbolKind] = field(default_factory=dict)
    words: Mapping[str, SymbolKind] = field(default_factory=dict)
    owner: str | None = None
    prefix: str | None = None
    own: bool = False


@dataclass(frozen=True, slots=True)
class Grammar:
    """A language: its wheel, and the part of each type of node that is not plain text of its parent."""

    package: str  # as it is installed, for example tree-sitter-python
    rules: Mapping[str, Rule]
    wraps: frozenset[str] = frozenset()  # stand around one symbol: an export, a template, decorators
    opens: frozenset[str] = frozenset()  # hold symbols without being one: #ifdef, extern "C", a list
    leads: frozenset[str] = frozenset({"comment"})  # belong to what follows: comments, attributes
    ends: frozenset[str] = frozenset()  # close what is before them, as a bracket does
    bodies: frozenset[str] = frozenset()  # hold members where no field "body" does
    function: str = "language"  # of the wheel's module
    separator: str = "."

    def language(self) -> Language:
        """The compiled grammar."""
        from importlib import import_module

        from tree_sitter import Language

        module = import_module(self.package.replace("-", "_"))
        return Language(getattr(module, self.function)())


# The part that a type of node plays, as the outline asks for it.
PLAIN, PUNCTUATION, LEAD, WRAP, OPEN = range(5)
Part = int | Rule
# The words at which a long statement may be cut. Others, such as "end" and "#endif", close what is before.
BRANCHES = frozenset(
    {"case", "catch", "default", "elif", "else", "elsif", "ensure", "except", "finally", "rescue", "when"}
)
# Of nodes that stand for what could not be parsed.
ERROR_KIND = 65_535


def parts(grammar: Grammar, language: Language) -> dict[int, Part]:
    """The part of each type of node, by the grammar's number for it."""
    table: dict[int, Part] = {ERROR_KIND: OPEN}
    for number in range(language.node_kind_count):
        kind = language.node_kind_for_id(number) or ""
        if not language.node_kind_is_named(number):
            table[number] = PLAIN if kind in BRANCHES else PUNCTUATION
        elif kind in grammar.rules:
            table[number] = grammar.rules[kind]
        elif kind in grammar.wraps:
            table[number] = WRAP
        elif kind in grammar.opens:
            table[number] = OPEN
        elif kind in grammar.ends:
            table[number] = PUNCTUATION
        elif kind in grammar.leads:
            table[number] = LEAD
        else:
            table[number] = PLAIN
    return table
