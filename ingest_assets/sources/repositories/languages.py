"""The language of a file, by its name and its first bytes, spelled as GitHub spells it.

Names, extensions and interpreters come from `identify`, which pre-commit maintains. This module adds the
names of its tags, and the few extensions that several languages share; what neither knows comes from GitHub's
own table (`linguist`). What users add is in `language_table`.

What belongs here: languages. What does not: whether a file holds text at all (content).
"""

from __future__ import annotations

import io
import re
from functools import cache, lru_cache
from posixpath import basename, splitext

from ingest_assets.model import digest_of
from ingest_assets.sources.repositories.linguist import extensions_of, linguist

# Tags of identify; the first that a file has decides. Tags that are not here are for data (CSV, SVG, keys,
# patches), or for settings that only a tool reads: nobody searches those for a passage.
_NAMES = {
    "jupyter": "Jupyter Notebook", "pyi": "Python", "python": "Python", "cython": "Cython", "tsx": "TSX",
    "ts": "TypeScript", "jsx": "JavaScript", "javascript": "JavaScript", "coffee": "CoffeeScript",
    "vue": "Vue", "svelte": "Svelte", "astro": "Astro", "go": "Go", "go-mod": "Go Module", "rust": "Rust",
    "java": "Java", "kotlin": "Kotlin", "scala": "Scala", "groovy": "Groovy", "clojure": "Clojure",
    "clojurescript": "Clojure", "objective-c++": "Objective-C++", "objective-c": "Objective-C",
    "cuda": "Cuda", "metal": "Metal", "c++": "C++", "ino": "C++", "c": "C", "c#": "C#", "c#script": "C#",
    "f#": "F#", "f#script": "F#", "vb": "Visual Basic .NET", "ruby": "Ruby", "php": "PHP", "swift": "Swift",
    "dart": "Dart", "bats": "Shell", "bash": "Shell", "zsh": "Shell", "sh": "Shell", "ksh": "Shell",
    "shell": "Shell", "pkgbuild": "Shell", "fish": "fish", "nushell": "Nushell", "powershell": "PowerShell",
    "batch": "Batchfile", "awk": "Awk", "perl": "Perl", "lua": "Lua", "luau": "Luau", "r": "R",
    "julia": "Julia", "elixir": "Elixir", "erlang": "Erlang", "gleam": "Gleam", "haskell": "Haskell",
    "elm": "Elm", "purescript": "PureScript", "ocaml": "OCaml", "nim": "Nim", "zig": "Zig",
    "crystal": "Crystal", "fortran": "Fortran", "pascal": "Pascal", "asm": "Assembly", "verilog": "Verilog",
    "system-verilog": "SystemVerilog", "vhdl": "VHDL", "solidity": "Solidity", "vala": "Vala",
    "vim": "Vim Script", "scheme": "Scheme", "lean": "Lean", "gdscript": "GDScript", "hlsl": "HLSL",
    "qml": "QML", "sql": "SQL", "graphql": "GraphQL", "proto": "Protocol Buffer", "thrift": "Thrift",
    "prisma": "Prisma", "yang": "YANG", "avro-schema": "JSON", "xquery": "XQuery", "robot": "RobotFramework",
    "gherkin": "Gherkin", "erb": "HTML+ERB", "jinja": "Jinja", "handlebars": "Handlebars",
    "mustache": "Mustache", "twig": "Twig", "liquid": "Liquid", "pug": "Pug", "gotmpl": "Go Template",
    "html": "HTML", "xhtml": "HTML", "css": "CSS", "scss": "SCSS", "sass": "Sass", "less": "Less",
    "stylus": "Stylus", "dockerfile": "Dockerfile", "makefile": "Makefile", "cmake": "CMake",
    "meson": "Meson", "bazel": "Starlark", "tiltfile": "Starlark", "bitbake": "BitBake", "terraform": "HCL",
    "hcl": "HCL", "nix": "Nix", "cue": "CUE", "jsonnet": "Jsonnet", "puppet": "Puppet", "jenkins": "Groovy",
    "spec": "RPM Spec", "json5": "JSON5", "jsonld": "JSONLD", "json": "JSON", "yaml": "YAML", "toml": "TOML",
    "ini": "INI", "java-properties": "Java Properties", "xml": "XML", "dtd": "XML", "mdx": "MDX",
    "markdown": "Markdown", "myst": "Markdown", "quarto": "Markdown", "rst": "reStructuredText",
    "asciidoc": "AsciiDoc", "literate-haskell": "Literate Haskell", "tex": "TeX", "plantuml": "PlantUML",
    "plain-text": "Text",
}  # fmt: skip
# Extensions that identify does not know.
_EXTENSIONS = {
    ".mts": "TypeScript", ".cts": "TypeScript", ".el": "Emacs Lisp", ".lisp": "Common Lisp", ".org": "Org",
    ".pl6": "Raku", ".ipp": "C++", ".tpp": "C++", ".ixx": "C++", ".cppm": "C++", ".psql": "SQL",
    ".pgsql": "SQL",
}  # fmt: skip
_DATA = frozenset({"image", "audio", "video", "font", "archive", "map", "dotenv", "pofile", "xliff", "resx"})
_NOT_PROSE = frozenset({".log", ".out", ".lst", ".dat"})
# What only C++ has in a header, not C, at the beginning of a line or as a separate word.
_CPP = re.compile(
    rb"^\s*(?:template\s*<|namespace\b|using\s+\w|class\s+\w|(?:public|private|protected)\s*:"
    rb"|#\s*include\s*<(?:\w+|bits/.*)>)|\bstd::|\bconstexpr\b|\bvirtual\s+~?\w|\bstatic_cast<|\boperator\s*[=+<(\[]",
    re.MULTILINE,
)
_OBJECTIVE_C = re.compile(
    rb"^\s*(?:@(?:interface|protocol|implementation|class|import|end)\b|#\s*import\b)", re.MULTILINE
)
_HEAD = 1 << 14  # bytes: enough to decide, and cheap for a file of a megabyte


def is_binary_name(path: str) -> bool:
    """Whether the name alone says that a file is not text: a picture, an archive."""
    return "binary" in _tags(path)


def language_of(path: str, content: bytes) -> str | None:
    """The language of a text file; "Text" for plain prose; None if it is not worth searching.

    It depends on the path and on the first 16 KiB of the content alone, never on other files.
    """
    head, suffix = content[:_HEAD], splitext(path)[1].lower()
    if suffix in (".h", ".hh", ".hpp", ".m", ".ts"):
        return _shared(suffix, head)
    tags = _tags(path)
    if tags & _DATA:
        return None
    named = _named(tags) or _EXTENSIONS.get(suffix) or _by_linguist(path)
    if named is not None and not (named == "Text" and head.startswith(b"#!")):
        return named
    return _by_interpreter(head) or _plain(path, tags, suffix)


def _tags(path: str) -> frozenset[str]:
    return _tags_of_name(basename(path))


@lru_cache(maxsize=4_096)  # called twice per file, and a thousand times for __init__.py
def _tags_of_name(name: str) -> frozenset[str]:
    from identify.identify import tags_from_filename

    return frozenset(tags_from_filename(name))


def _named(tags: frozenset[str]) -> str | None:
    return next((name for tag, name in _NAMES.items() if tag in tags), None)


def _by_linguist(path: str) -> str | None:
    name, known = basename(path), linguist()
    by_extension = (known.extensions.get(each) for each in extensions_of(name))
    found = known.files.get(name) or next((each for each in by_extension if each), None)
    return None if found is None else _spellings()[found.lower()]


@cache
def fingerprint() -> str:
    """Of the tables here: another one may mean other languages for the same files."""
    from importlib.metadata import version

    return digest_of(
        "languages", version("identify"), linguist().digest, repr((_NAMES, _EXTENSIONS, sorted(_DATA)))
    )


def _shared(suffix: str, head: bytes) -> str:
    """For an extension that several languages share: decided by what only one of them can contain."""
    if suffix == ".ts":  # Qt translations are XML
        return (
            "XML"
            if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<!DOCTYPE"))
            else "TypeScript"
        )
    if suffix == ".m":
        return (
            "Objective-C"
            if _OBJECTIVE_C.search(head) or re.search(rb"^\s*#\s*include\b", head, re.MULTILINE)
            else "MATLAB"
        )
    if suffix != ".h":
        return "C++"
    if _OBJECTIVE_C.search(head):
        return "Objective-C"
    return "C++" if _CPP.search(head) else "C"


def _by_interpreter(head: bytes) -> str | None:
    """By the first line of a script, "#!/usr/bin/env python3"."""
    from identify.identify import parse_shebang
    from identify.interpreters import INTERPRETERS

    if not head.startswith(b"#!"):
        return None
    try:
        command = parse_shebang(io.BytesIO(head))
    except ValueError:
        return None
    name = basename(command[0]) if command else ""
    while name and name not in INTERPRETERS:  # python3.11, then python3
        name = name.rpartition(".")[0]
    return _named(frozenset(INTERPRETERS.get(name, ())))


def _plain(path: str, tags: frozenset[str], suffix: str) -> str | None:
    """For text of no more specific kind, or without any extension (OWNERS, NEWS)."""
    name = basename(path)
    if suffix in _NOT_PROSE:
        return None
    return "Text" if tags == {"text"} or (not tags and "." not in name) else None


def spelled(value: str) -> str:
    """A language in its canonical case, or by another name of it; unchanged if there is no such language."""
    return known(value) or value.strip()


def known(value: str) -> str | None:
    """The language that people mean by a name, as GitHub spells it; None if there is none."""
    name = value.strip().lower()
    name = linguist().names.get(name, name).lower()
    return _spellings().get(name)


def names() -> list[str]:
    """Every language that there is a name for."""
    return sorted(_spellings().values())


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    there = (*linguist().names.values(), *_NAMES.values(), *_EXTENSIONS.values())
    return {name.lower(): name for name in there}
