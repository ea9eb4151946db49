"""Languages by name, interpreter and first bytes, as GitHub spells them."""

from __future__ import annotations

import pytest

from ingest_assets.sources.repositories.languages import is_binary_name, language_of


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "Python"), ("a.pyi", "Python"), ("a.js", "JavaScript"), ("a.mjs", "JavaScript"),
        ("a.jsx", "JavaScript"), ("a.ts", "TypeScript"), ("a.mts", "TypeScript"), ("a.d.ts", "TypeScript"),
        ("a.tsx", "TSX"), ("a.go", "Go"), ("a.rs", "Rust"), ("a.java", "Java"), ("a.c", "C"), ("a.cc", "C++"),
        ("a.cpp", "C++"), ("a.hpp", "C++"), ("a.cs", "C#"), ("a.rb", "Ruby"), ("Gemfile", "Ruby"),
        ("a.php", "PHP"),
        ("a.kt", "Kotlin"), ("a.kts", "Kotlin"), ("a.swift", "Swift"), ("a.scala", "Scala"),
        ("a.sh", "Shell"),
        ("a.bash", "Shell"), ("a.zsh", "Shell"), (".bashrc", "Shell"), ("a.sql", "SQL"), ("a.html", "HTML"),
        ("a.css", "CSS"), ("a.scss", "SCSS"), ("a.json", "JSON"), ("a.yaml", "YAML"), ("a.yml", "YAML"),
        ("a.toml", "TOML"), ("a.md", "Markdown"), ("README.MD", "Markdown"), ("a.rst", "reStructuredText"),
        ("a.txt", "Text"), ("LICENSE", "Text"), ("OWNERS", "Text"), ("Makefile", "Makefile"),
        ("Dockerfile", "Dockerfile"), ("x/Dockerfile.dev", "Dockerfile"), ("CMakeLists.txt", "CMake"),
        ("a.proto", "Protocol Buffer"), ("a.tf", "HCL"), ("a.lua", "Lua"), ("a.vue", "Vue"), ("a.xml", "XML"),
        ("a.ipynb", "Jupyter Notebook"), ("a.dart", "Dart"), ("a.ex", "Elixir"), ("a.hs", "Haskell"),
        ("a.csv", None), ("a.svg", None), ("a.pem", None), ("a.log", None), ("a.unknown", None),
        (".gitignore", None),
        ("a.po", None), ("a.diff", None),
    ],
)  # fmt: skip
def test_by_name(path: str, language: str | None) -> None:
    assert language_of(path, b"x\n") == language


@pytest.mark.parametrize(
    ("head", "language"),
    [
        (b"#!/usr/bin/env python3\n", "Python"), (b"#!/usr/bin/python3.11 -u\n", "Python"),
        (b"#!/bin/bash\n", "Shell"), (b"#! /bin/sh\n", "Shell"), (b"#!/usr/bin/env node\n", "JavaScript"),
        (b"#!/usr/bin/env -S ruby -w\n", "Ruby"), (b"#!/usr/bin/perl\n", "Perl"),
        (b"#!/opt/unheard-of\n", "Text"), (b"#!\n", "Text"), (b"#!/usr/bin/env 'x\n", "Text"),
        (b"hello\n", "Text"),
    ],
)  # fmt: skip
def test_by_interpreter(head: bytes, language: str) -> None:
    assert language_of("bin/tool", head) == language


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("a.h", b"#include <stdio.h>\nstruct a { int class_; };\n", "C"),
        ("a.h", b"/* a class of things; namespace */\nint f(void);\n", "C"),
        ("a.h", b"#ifdef __cplusplus\nextern \"C\" {\n#endif\nint f(void);\n", "C"),
        ("a.h", b"#pragma once\n#include <vector>\n", "C++"),
        ("a.h", b"namespace x {\n", "C++"),
        ("a.h", b"template <typename T> struct A {};\n", "C++"),
        ("a.h", b"struct A {\n  public:\n   int x;\n};\n", "C++"),
        ("a.h", b"std::string f();\n", "C++"),
        ("a.h", b"#import <UIKit/UIKit.h>\n@interface A : B\n@end\n", "Objective-C"),
        ("a.m", b"#import <UIKit/UIKit.h>\n", "Objective-C"),
        ("a.m", b"function y = f(x)\ny = x;\n", "MATLAB"),
        ("a.ts", b"export const a = 1\n", "TypeScript"),
        ("de.ts", b'<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS></TS>\n', "XML"),
        ("de.ts", b"\xef\xbb\xbf<!DOCTYPE TS>\n", "XML"),
        ("a.tsx", b"<T,>(x: T) => <b/>", "TSX"),
    ],
)  # fmt: skip
def test_extensions_that_languages_share(path: str, head: bytes, language: str) -> None:
    assert language_of(path, head) == language


def test_names_of_binary_files() -> None:
    assert is_binary_name("a/b.png")
    assert is_binary_name("a.jar")
    assert not is_binary_name("a.py")
    assert not is_binary_name("a.svg")
