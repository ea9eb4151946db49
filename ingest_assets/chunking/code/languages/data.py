"""Markup, style sheets, queries and data: their sections, keys and statements are modules."""

from __future__ import annotations

from ingest_assets.chunking.code.grammar import Grammar, Rule

SQL = Grammar(
    "tree-sitter-sql",
    {
        "create_table": Rule("struct", name=("object_reference",)),
        "create_view": Rule("struct", name=("object_reference",)),
        "create_materialized_view": Rule("struct", name=("object_reference",)),
        "create_type": Rule("type_alias", name=("object_reference",)),
        "create_function": Rule("function", name=("object_reference",)),
        "create_trigger": Rule("function", name=("object_reference",)),
    },
    wraps=frozenset({"statement"}),
    opens=frozenset({"transaction", "block"}),
    leads=frozenset({"comment", "marginalia"}),
)

# An element is not a symbol: most have no name, and a page of nested ones would be cut into tiny pieces.
HTML = Grammar("tree-sitter-html", {}, ends=frozenset({"end_tag"}))

CSS = Grammar(
    "tree-sitter-css",
    {
        "rule_set": Rule("module", name=("selectors",)),
        "media_statement": Rule("module", name=("feature_query", "binary_query", "keyword_query")),
        "keyframes_statement": Rule("module", name=("keyframes_name",)),
    },
    opens=frozenset({"block"}),
    leads=frozenset({"comment", "js_comment"}),
    separator=" ",
)

JSON = Grammar(
    "tree-sitter-json",
    {"pair": Rule("module", name=("key",))},
    opens=frozenset({"object", "array"}),
)

YAML = Grammar(
    "tree-sitter-yaml",
    {"block_mapping_pair": Rule("module", name=("key",)), "flow_pair": Rule("module", name=("key",))},
    opens=frozenset(
        {"document", "block_node", "flow_node", "block_mapping", "block_sequence", "flow_mapping"}
    ),
)

TOML = Grammar(
    "tree-sitter-toml",
    {
        "table": Rule("module", name=("bare_key", "dotted_key", "quoted_key")),
        "table_array_element": Rule("module", name=("bare_key", "dotted_key", "quoted_key")),
    },
)

MARKDOWN = Grammar(
    "tree-sitter-markdown",
    {"section": Rule("module", name=("atx_heading", "setext_heading"), own=True)},
    leads=frozenset(),
    separator=" > ",
)
