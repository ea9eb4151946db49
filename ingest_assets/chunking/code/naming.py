"""What a symbol is called, what kind it is, and where its signature is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest_assets.chunking.code.grammar import Grammar, Rule, SymbolKind

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_NAME = 160
# Nodes that enclose a name: the field or child type that leads to it, or None for the first child.
_NAME_WRAPPERS: dict[str, str | None] = {
    "pointer_declarator": "declarator",
    "function_declarator": "declarator",
    "init_declarator": "declarator",
    "array_declarator": "declarator",
    "reference_declarator": None,
    "parenthesized_declarator": None,
    "generic_type": "type",
    "variable_declaration": None,
    "atx_heading": "heading_content",
    "setext_heading": "heading_content",
}
_MAX_WRAPPERS = 12
# Nodes that precede a symbol's signature.
_BEFORE_SIGNATURE = frozenset(
    {
        "annotation",
        "attribute",
        "attribute_declaration",
        "attribute_item",
        "attribute_list",
        "block_comment",
        "comment",
        "decorator",
        "line_comment",
        "marker_annotation",
        "multiline_comment",
    }
)
_OWNER = re.compile(r"(\w+)(?:\[[^\]]*\])?\W*$")


def kind_of(node: Node, rule: Rule, data: bytes) -> SymbolKind | None:
    """The kind of symbol that a node is; None if it is not a symbol."""
    inner = _inner(node, rule)
    kind = rule.kind
    if rule.by:
        value = inner.child_by_field_name(rule.by)
        for _ in range(_MAX_WRAPPERS):
            if value is None:
                break
            if value.type in rule.kinds:
                kind = rule.kinds[value.type]
                break
            value = _unwrapped(value)
    if rule.words:
        name = inner.child_by_field_name("name")
        end = name.start_byte if name is not None else inner.end_byte
        words = data[inner.start_byte : end].decode("utf-8", "ignore").split()
        kind = next((rule.words[word] for word in words if word in rule.words), kind)
    return kind


def name_of(node: Node, rule: Rule, grammar: Grammar, qualifier: str, data: bytes) -> tuple[str, str]:
    """(qualified name, prefix of its members' names); the first is empty if there is no name."""
    inner = _inner(node, rule)
    own = _first(inner, rule.name)
    for _ in range(_MAX_WRAPPERS):
        within = _unwrapped(own) if own is not None else None
        if within is None:
            break
        own = within
    name = _text(own, data)
    if rule.owner:
        receiver = _OWNER.search(_text(inner.child_by_field_name(rule.owner), data))
        if receiver:
            name = f"{receiver.group(1)}{grammar.separator}{name}"
    if not name:
        return "", qualifier
    prefix = f"{qualifier}{grammar.separator}" if qualifier else ""
    shown = name
    if rule.prefix:
        before = inner.child_by_field_name(rule.prefix)
        within = _unwrapped(before) if before is not None else None
        if before is not None:
            shown = f"{_text(within or before, data)} for {name}"
    return (prefix + shown)[-MAX_NAME:], (prefix + name)[-MAX_NAME:]


def body_of(node: Node, rule: Rule, grammar: Grammar) -> Node | None:
    """The node whose children are the members, or the statements, of a symbol."""
    inner = _inner(node, rule)
    body = inner.child_by_field_name("body")
    if body is None and rule.by:
        value = inner.child_by_field_name(rule.by)
        body = value.child_by_field_name("body") if value is not None else None
    if body is None and grammar.bodies:
        body = next((child for child in inner.named_children if child.type in grammar.bodies), None)
    return body


def signature_start(node: Node, otherwise: int) -> int:
    """Where a symbol's signature begins, after its annotations."""
    for child in node.children:
        if child.type in _BEFORE_SIGNATURE:
            continue
        if child.type == "modifiers":
            words = [part for part in child.children if part.type not in _BEFORE_SIGNATURE]
            if not words:
                continue
            return words[0].start_byte
        return child.start_byte
    return otherwise


def _inner(node: Node, rule: Rule) -> Node:
    if rule.inner:
        for child in node.named_children:
            if child.type == rule.inner:
                return child
    return node


def _first(node: Node, names: tuple[str, ...]) -> Node | None:
    for name in names:
        found = node.child_by_field_name(name)
        if found is None:
            found = next((child for child in node.named_children if child.type == name), None)
        if found is not None:
            return found
    return None


def _unwrapped(node: Node) -> Node | None:
    """One step from a node that encloses a name towards the name."""
    if node.type not in _NAME_WRAPPERS:
        return None
    step = _NAME_WRAPPERS[node.type]
    if step is None:
        return node.named_children[0] if node.named_child_count else None
    return _first(node, (step,))


def _text(node: Node | None, data: bytes) -> str:
    # Not node.text, which is very slow for a tree that was read block by block.
    if node is None:
        return ""
    text = data[node.start_byte : min(node.end_byte, node.start_byte + 4 * MAX_NAME)].decode(
        "utf-8", "ignore"
    )
    return " ".join(text.split()).strip("\"'")[:MAX_NAME]
