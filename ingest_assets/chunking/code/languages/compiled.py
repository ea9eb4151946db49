"""Compiled languages."""

from __future__ import annotations

from ingest_assets.chunking.code.grammar import Grammar, Rule

GO = Grammar(
    "tree-sitter-go",
    {
        "function_declaration": Rule("function"),
        "method_declaration": Rule("method", owner="receiver"),
        "type_declaration": Rule(
            "type_alias",
            inner="type_spec",
            by="type",
            kinds={"struct_type": "struct", "interface_type": "interface"},
        ),
        "const_declaration": Rule("const", inner="const_spec"),
        "var_declaration": Rule("static", inner="var_spec"),
    },
    opens=frozenset({"statement_list"}),
)

RUST = Grammar(
    "tree-sitter-rust",
    {
        "struct_item": Rule("struct"),
        "union_item": Rule("struct"),
        "enum_item": Rule("enum"),
        "trait_item": Rule("trait"),
        "impl_item": Rule("impl", name=("type",), prefix="trait"),
        "mod_item": Rule("module"),
        "function_item": Rule("function"),
        "function_signature_item": Rule("function"),
        "const_item": Rule("const"),
        "static_item": Rule("static"),
        "type_item": Rule("type_alias"),
        "macro_definition": Rule("macro"),
    },
    opens=frozenset({"foreign_mod_item", "declaration_list"}),
    leads=frozenset({"line_comment", "block_comment", "attribute_item"}),
)

_C_DECLARATION = Rule(
    None,
    name=("declarator",),
    by="declarator",
    kinds={
        "function_declarator": "function",
        "identifier": "static",
    },
)
_C = {
    "function_definition": Rule("function", name=("declarator",)),
    "declaration": _C_DECLARATION,
    "struct_specifier": Rule("struct"),
    "union_specifier": Rule("struct"),
    "enum_specifier": Rule("enum"),
    "type_definition": Rule(
        "type_alias",
        name=("declarator",),
        by="type",
        kinds={"struct_specifier": "struct", "union_specifier": "struct", "enum_specifier": "enum"},
    ),
    "preproc_def": Rule("macro"),
    "preproc_function_def": Rule("macro"),
}
_C_OPENS = frozenset(
    {
        "preproc_ifdef",
        "preproc_if",
        "preproc_else",
        "preproc_elif",
        "linkage_specification",
        "declaration_list",
    }
)
C = Grammar("tree-sitter-c", _C, opens=_C_OPENS)
CPP = Grammar(
    "tree-sitter-cpp",
    {
        **_C,
        "namespace_definition": Rule("module"),
        "class_specifier": Rule("class"),
        "alias_declaration": Rule("type_alias"),
        "concept_definition": Rule("type_alias"),
    },
    wraps=frozenset({"template_declaration"}),
    opens=_C_OPENS,
)

JAVA = Grammar(
    "tree-sitter-java",
    {
        "class_declaration": Rule("class"),
        "record_declaration": Rule("class"),
        "interface_declaration": Rule("interface"),
        "annotation_type_declaration": Rule("interface"),
        "enum_declaration": Rule("enum"),
        "method_declaration": Rule("method"),
        "constructor_declaration": Rule("method"),
        "compact_constructor_declaration": Rule("method"),
    },
    opens=frozenset({"enum_body_declarations"}),
    leads=frozenset({"line_comment", "block_comment"}),
)

CSHARP = Grammar(
    "tree-sitter-c-sharp",
    {
        "namespace_declaration": Rule("module"),
        "class_declaration": Rule("class"),
        "record_declaration": Rule("class"),
        "struct_declaration": Rule("struct"),
        "interface_declaration": Rule("interface"),
        "enum_declaration": Rule("enum"),
        "delegate_declaration": Rule("type_alias"),
        "method_declaration": Rule("method"),
        "constructor_declaration": Rule("method"),
        "destructor_declaration": Rule("method"),
        "operator_declaration": Rule("method", name=("operator",)),
        "property_declaration": Rule("method"),
        "local_function_statement": Rule("function"),
    },
    wraps=frozenset({"global_statement"}),
    opens=frozenset({"preproc_if", "preproc_else", "preproc_elif"}),
)

KOTLIN = Grammar(
    "tree-sitter-kotlin",
    {
        "class_declaration": Rule("class", words={"interface": "interface", "enum": "enum"}),
        "object_declaration": Rule("class"),
        "companion_object": Rule("class"),
        "function_declaration": Rule("function"),
        "property_declaration": Rule("const", name=("variable_declaration",)),
        "type_alias": Rule("type_alias", name=("type",)),
    },
    leads=frozenset({"line_comment", "block_comment"}),
    bodies=frozenset({"class_body", "enum_class_body", "function_body"}),
)

SWIFT = Grammar(
    "tree-sitter-swift",
    {
        "class_declaration": Rule(
            "class", by="declaration_kind", kinds={"struct": "struct", "enum": "enum", "extension": "impl"}
        ),
        "protocol_declaration": Rule("interface"),
        "function_declaration": Rule("function"),
        "protocol_function_declaration": Rule("function"),
        "init_declaration": Rule("method"),
        "property_declaration": Rule("const"),
        "typealias_declaration": Rule("type_alias"),
    },
    opens=frozenset({"statements"}),
    leads=frozenset({"comment", "multiline_comment"}),
)

SCALA = Grammar(
    "tree-sitter-scala",
    {
        "class_definition": Rule("class"),
        "object_definition": Rule("class"),
        "package_object": Rule("module"),
        "trait_definition": Rule("trait"),
        "enum_definition": Rule("enum"),
        "function_definition": Rule("function"),
        "function_declaration": Rule("function"),
        "val_definition": Rule("const", name=("pattern",)),
        "var_definition": Rule("static", name=("pattern",)),
        "type_definition": Rule("type_alias"),
        "given_definition": Rule("const"),
        "extension_definition": Rule("impl", name=("parameters",)),
    },
    leads=frozenset({"comment", "block_comment"}),
    bodies=frozenset({"template_body"}),
)
