"""Scripting languages."""

from __future__ import annotations

from ingest_assets.chunking.code.grammar import Grammar, Rule, SymbolKind

PYTHON = Grammar(
    "tree-sitter-python",
    {
        "class_definition": Rule("class"),
        "function_definition": Rule("function"),
        "assignment": Rule(None, name=("left",), by="left", kinds={"identifier": "const"}),
        "type_alias_statement": Rule("type_alias", name=("left",)),
    },
    wraps=frozenset({"decorated_definition", "expression_statement"}),
    opens=frozenset(
        {"if_statement", "try_statement", "else_clause", "except_clause", "finally_clause", "block"}
    ),
)

_FUNCTIONS: dict[str, SymbolKind] = {
    "arrow_function": "function",
    "function_expression": "function",
    "generator_function": "function",
    "class": "class",
}
_METHODS: dict[str, SymbolKind] = {
    "arrow_function": "method",
    "function_expression": "method",
    "generator_function": "method",
}
_SCRIPT = {
    "class_declaration": Rule("class"),
    "class": Rule("class"),
    "function_declaration": Rule("function"),
    "generator_function_declaration": Rule("function"),
    "method_definition": Rule("method"),
    "lexical_declaration": Rule("const", inner="variable_declarator", by="value", kinds=_FUNCTIONS),
    "variable_declaration": Rule("const", inner="variable_declarator", by="value", kinds=_FUNCTIONS),
    "assignment_expression": Rule(None, name=("left",), by="right", kinds=_FUNCTIONS),
    "pair": Rule(None, name=("key",), by="value", kinds=_METHODS),
}
JAVASCRIPT = Grammar(
    "tree-sitter-javascript",
    {**_SCRIPT, "field_definition": Rule(None, name=("property",), by="value", kinds=_METHODS)},
    wraps=frozenset({"export_statement", "expression_statement"}),
    leads=frozenset({"comment", "decorator"}),
)
TYPESCRIPT = Grammar(
    "tree-sitter-typescript",
    {
        **_SCRIPT,
        "public_field_definition": Rule(None, by="value", kinds=_METHODS),
        "abstract_class_declaration": Rule("class"),
        "interface_declaration": Rule("interface"),
        "enum_declaration": Rule("enum"),
        "type_alias_declaration": Rule("type_alias"),
        "function_signature": Rule("function"),
        "method_signature": Rule("method"),
        "abstract_method_signature": Rule("method"),
        "internal_module": Rule("module"),
        "module": Rule("module"),
    },
    wraps=frozenset({"export_statement", "expression_statement", "ambient_declaration"}),
    leads=frozenset({"comment", "decorator"}),
    function="language_typescript",
)
TSX = Grammar(
    "tree-sitter-typescript",
    TYPESCRIPT.rules,
    wraps=TYPESCRIPT.wraps,
    leads=TYPESCRIPT.leads,
    function="language_tsx",
)

RUBY = Grammar(
    "tree-sitter-ruby",
    {
        "module": Rule("module"),
        "class": Rule("class"),
        "singleton_class": Rule("class", name=("value",)),
        "method": Rule("function"),
        "singleton_method": Rule("function"),
        "assignment": Rule(None, name=("left",), by="left", kinds={"constant": "const"}),
    },
)

PHP = Grammar(
    "tree-sitter-php",
    {
        "namespace_definition": Rule("module"),
        "class_declaration": Rule("class"),
        "interface_declaration": Rule("interface"),
        "trait_declaration": Rule("trait"),
        "enum_declaration": Rule("enum"),
        "method_declaration": Rule("method"),
        "function_definition": Rule("function"),
        "const_declaration": Rule("const", inner="const_element"),
    },
    function="language_php",
)

SHELL = Grammar(
    "tree-sitter-bash",
    {
        "function_definition": Rule("function"),
        "variable_assignment": Rule("const"),
    },
    wraps=frozenset({"declaration_command"}),
)
