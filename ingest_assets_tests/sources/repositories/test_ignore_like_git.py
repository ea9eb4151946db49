"""Ignored exactly as git itself ignores, and in a time that no pattern can make explode."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest_assets.sources.repositories.ignore import IgnoreRules
from ingest_assets.sources.repositories.wildmatch import parse

# What a pattern can be made of, with what git treats in a way of its own.
_PIECES = (
    "a", "b", "ab", "*", "**", "***", "?", "/", "//", "!", "#", "\\", "\\*", "\\/", "\\ ", " ", "[ab]",
    "[!a]", "[^a-b]", "[]]", "[a", "[b-a]", "[!]a]", "[a-]", "[\\]]", "[[:alpha:]]", "[[:space:]]",
    "[[:nope:]]", "[[:a]", "[[:]", "[a-\\b]", "[a-[:digit:]]",
    "[a/b]", "é", "[é]", "**/", "/**", "/**/", "*a", "a*", "b**", "?*", "*/",
)  # fmt: skip
LINES = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join)
NAMES = st.lists(
    st.sampled_from(["a", "b", "ab", "]", "-", "é", "*", "\\", " ", "!", "#", "["]), min_size=1, max_size=4
)
PATHS = st.lists(NAMES.map("".join), min_size=1, max_size=5).map("/".join)


@pytest.fixture(scope="module")
def work_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return path


def _ignored_by_git(work_tree: Path, lines: list[str], paths: list[str]) -> list[bool]:
    (work_tree / ".gitignore").write_bytes("\n".join(lines).encode())
    answer = subprocess.run(
        ["git", "-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "-zvn", "--stdin"],
        cwd=work_tree, input=b"".join(path.encode() + b"\0" for path in paths), capture_output=True,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(work_tree)}, check=False,
    )  # fmt: skip
    assert answer.returncode in (0, 1), answer.stderr
    fields = answer.stdout.split(b"\0")[:-1]
    patterns = fields[2::4]
    assert len(patterns) == len(paths)
    return [bool(pattern) and not pattern.startswith(b"!") for pattern in patterns]


def _ignored_by_us(lines: list[str], paths: list[str]) -> list[bool]:
    rules = IgnoreRules(own="\n".join(lines).encode())
    return [rules.verdict(*_split(path)) is True for path in paths]


def _split(path: str) -> tuple[str, str]:
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, min_size=1, max_size=4), st.lists(PATHS, min_size=1, max_size=30))
@example(["a/**/b*a"], ["a/b/ba", "a/bb/bba", "a/bb/bb"])
@example(["a/b**/a"], ["a/bb/b/a", "a/b/a", "a/ba"])
@example(["**\\/a", "a/**"], ["a", "b/a", "a/b"])
@example(["a\\ ", "b  "], ["a ", "a", "b", "b "])
@example(["\ufeffa", "b\r"], ["a", "b"])
@example(["a?b", "[é]"], ["aéb", "aab", "é"])
def test_git_agrees(work_tree: Path, lines: list[str], paths: list[str]) -> None:
    assert _ignored_by_us(lines, paths) == _ignored_by_git(work_tree, lines, paths)


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["*", "**", "a", "?", "[ab]", "*a", "**/", "/"]), min_size=1, max_size=60),
    st.sampled_from(["a" * 255, "/".join("a" * 64), "/".join(["ab" * 30] * 30)]),
)
@example(["*a"] * 60 + ["b"], "a" * 255)
@example(["**/a/"] * 30 + ["b"], "/".join("a" * 64))
@example(["**/", "*a*a*a*a*b/"] * 12 + ["c"], "/".join(["a" * 60] * 60))
def test_no_pattern_takes_long(pieces: list[str], path: str) -> None:
    """Not timed: one that backtracks would take longer than the universe is old."""
    pattern = parse("".join(pieces).encode())
    if pattern is not None:
        pattern.matches(path.encode())


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["[!a]", "[^b-y]", "[[:alpha:]]", "[!0-9x]", "[é]"]), min_size=1, max_size=60)
)
@example(["[!a]"] * 1_000)
def test_sets_of_bytes_stay_short(pieces: list[str]) -> None:
    """Not timed: with each of its bytes written out, compiling a set takes a hundred times as long."""
    pattern = parse("".join(pieces).encode())
    assert pattern is not None
    assert pattern.expression is not None
    assert len(pattern.expression.pattern) <= 40 * len(pieces) + 10
