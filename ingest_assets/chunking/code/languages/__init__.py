"""The languages that are split by their syntax, under their GitHub Linguist names."""

from __future__ import annotations

from collections.abc import Mapping

from ingest_assets.chunking.code.grammar import Grammar
from ingest_assets.chunking.code.languages import compiled, data, scripting

LANGUAGES: Mapping[str, Grammar] = {
    "Python": scripting.PYTHON,
    "JavaScript": scripting.JAVASCRIPT,
    "TypeScript": scripting.TYPESCRIPT,
    "TSX": scripting.TSX,
    "Go": compiled.GO,
    "Rust": compiled.RUST,
    "Java": compiled.JAVA,
    "C": compiled.C,
    "C++": compiled.CPP,
    "C#": compiled.CSHARP,
    "Ruby": scripting.RUBY,
    "PHP": scripting.PHP,
    "Kotlin": compiled.KOTLIN,
    "Swift": compiled.SWIFT,
    "Scala": compiled.SCALA,
    "Shell": scripting.SHELL,
    "SQL": data.SQL,
    "HTML": data.HTML,
    "CSS": data.CSS,
    "JSON": data.JSON,
    "YAML": data.YAML,
    "TOML": data.TOML,
    "Markdown": data.MARKDOWN,
}
