"""What the chunker knows about a language, as data: which nodes are symbols, and how they are named.

A language is a `Grammar`: the package that parses it, and the role of each node type. All languages share
the algorithm in `outline.py`.
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
# Kinds with members: functions in them are methods, and their members get chunks of their own.
TYPES: frozenset[str] = frozenset({"class", "struct", "trait", "enum", "interface", "impl"})
HOLDERS: frozenset[str] = TYPES | {"module"}
# Kinds that get a chunk of their own if longer than two lines.
DEFINITIONS: frozenset[str] = TYPES | {"function", "method", "macro"}
# Kinds that are symbols at the top level of a file or namespace, and plain text inside anything else.
VALUES: frozenset[str] = frozenset({"const", "static", "type_alias"})


@dataclass(frozen=True, slots=True)
class Rule:
    """How nodes of one type become symbols.

    `name` lists the fields (or child types) that may hold the name; the first one present counts. All of
    this may be one level further down, in a child of type `inner`. The kind is `kind`, unless the node in
    the field `by` has a type in `kinds`, or the signature has a word in `words`; a node without a kind is
    not a symbol. `owner` is the field that names the type of a method declared outside of it, `prefix` a
    field put before the name, as in "Display for Crane". With `own`, the node's children are its members;
    otherwise its body's children are.
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
    """A language: its package, and the role of each node type that is not plain text of its parent."""

    package: str  # as installed, for example tree-sitter-python
    rules: Mapping[str, Rule]
    wraps: frozenset[str] = frozenset()  # wrap one symbol: an export, a template, decorators
    opens: frozenset[str] = frozenset()  # contain symbols without being one: #ifdef, extern "C", a list
    leads: frozenset[str] = frozenset({"comment"})  # belong to what follows: comments, attributes
    ends: frozenset[str] = frozenset()  # close what precedes them, as a bracket does
    bodies: frozenset[str] = frozenset()  # hold the members if there is no field "body"
    function: str = "language"  # of the package's module
    separator: str = "."

    def language(self) -> Language:
        """The compiled grammar."""
        from importlib import import_module

        from tree_sitter import Language

        module = import_module(self.package.replace("-", "_"))
        return Language(getattr(module, self.function)())


# The role of a node type, as the outline needs it.
PLAIN, PUNCTUATION, LEAD, WRAP, OPEN = range(5)
Role = int | Rule
# Keywords before which a long statement may be cut. Others, such as "end", close what precedes them.
BRANCHES = frozenset(
    {"case", "catch", "default", "elif", "else", "elsif", "ensure", "except", "finally", "rescue", "when"}
)
# The node type of text that could not be parsed.
ERROR_KIND = 65_535


def roles(grammar: Grammar, language: Language) -> dict[int, Role]:
    """The role of each node type, by the grammar's number for it."""
    table: dict[int, Role] = {ERROR_KIND: OPEN}
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
