"""What is ignored: whole names by git's rules, never parts of names."""

from __future__ import annotations

import pytest
from dulwich.ignore import IgnoreFilter
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.repositories.ignore import IgnoreRules, default_patterns


def _is_ignored(path: str, *patterns: str, own: bytes = b"") -> bool:
    folder, slash, name = path.rpartition("/")
    return IgnoreRules(patterns, own).verdict(folder + slash, name) is True


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("out", "router.rs", False), ("out", "src/router.rs", False), ("out", "out/a.rs", True),
        ("out", "src/out", True), ("build", "builder/a.py", False), ("build", "rebuild.py", False),
        ("build", "src/build/a.py", True), ("build/", "build", False), ("/build", "src/build/a", False),
        ("*.gen.py", "a/b.gen.py", True), ("docs/*.md", "docs/a.md", True),
        ("docs/*.md", "docs/x/a.md", False),
        ("docs/**/a.md", "docs/x/y/a.md", True), ("a/*", "a/b/c", True), ("\\!x", "!x", True),
        ("#x", "#x", False),
        ("[ab].py", "a.py", True), ("[!ab].py", "a.py", False), ("Out", "out/a", False), ("a?c", "abc", True),
    ],
)  # fmt: skip
def test_patterns_are_gitignore_patterns(pattern: str, path: str, ignored: bool) -> None:
    assert _is_ignored(path, pattern) is ignored


WORDS = st.sampled_from(["out", "build", "vendor", "node_modules", "dist", "src", "router", "a"])


@given(WORDS, st.text("abcxyz_-.", min_size=1, max_size=5), st.booleans())
def test_part_of_a_name_never_matches(word: str, more: str, before: bool) -> None:
    name = more + word if before else word + more
    assert not _is_ignored(f"top/{name}.rs", word)
    assert not _is_ignored(f"{name}/main.rs", word, f"{word}/")


PIECES = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "**", "?", "[ab]"])
PATTERNS = st.lists(PIECES, min_size=1, max_size=3).map("/".join)
LINES = st.builds("{}{}{}".format, st.sampled_from(["", "", "!"]), PATTERNS, st.sampled_from(["", "", "/"]))
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "abb", "c"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(LINES, max_size=4), PATHS)
def test_agrees_with_another_implementation(lines: list[str], path: str) -> None:
    """dulwich's own implementation, applied from the top folder down, as in git."""
    if any("***" in line or line.strip("!/") in ("", "**") for line in lines):
        return
    theirs = IgnoreFilter([line.encode() for line in lines])
    parts = path.split("/")
    expected = any(theirs.is_ignored("/".join(parts[:i]) + "/") for i in range(1, len(parts)))
    expected = expected or bool(theirs.is_ignored(path))
    assert _is_ignored(path, *lines) is expected


@pytest.mark.parametrize(
    "path",
    [
        "node_modules/x/index.js", "web/node_modules/x.js", "vendor/x/y.go", "third_party/a.c", "yarn.lock",
        "a/package-lock.json", "static/jquery.min.js", "api/v1/a.pb.go", "x_pb2.py", "Cargo.lock",
        ".venv/x.py",
    ],
)  # fmt: skip
def test_files_not_written_in_the_repository_are_ignored(path: str) -> None:
    assert _is_ignored(path)


@pytest.mark.parametrize(
    "path",
    [
        "src/vendors.py", "vendor.py", "my_vendor/a.py", "node_modules_list.txt", "lock.py", "admin.js",
        "min.js",
        "src/yarn.lock.md", "pb.go", "builder/a.py", "router.rs", "target/a.rs", "dist.py", "bin/run.sh",
    ],
)  # fmt: skip
def test_files_that_look_similar_are_not_ignored(path: str) -> None:
    assert not _is_ignored(path)


def test_the_last_match_wins() -> None:
    assert not _is_ignored("vendor/a.py", "!vendor/")
    assert not _is_ignored("vendor/a.py", own=b"!vendor/\n")
    assert _is_ignored("vendor/a.py", "vendor/", own=b"!vendor/\n")
    assert _is_ignored("vendor/a.py", "!vendor/a.py")  # as in git: its folder is ignored
    assert _is_ignored("docs/a.md", own=b"# ours\r\ndocs/\r\n")


def test_a_hostile_ingestignore_does_no_harm() -> None:
    hostile = b"\n".join([b"[z-b", b"\\", b"!", b"*a" * 40 + b"b", b"x" * 5_000, b"\xff\xfe", b"ok/"])
    assert _is_ignored("ok/a.py", own=hostile)
    assert not _is_ignored("a" * 255, own=hostile)


@pytest.mark.parametrize("pattern", ["[z-a", "a\\", "\\", "!", "/", "[[:nope:]]"])
def test_an_invalid_pattern_of_the_caller_is_an_error(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="not a gitignore pattern"):
        IgnoreRules([pattern])


def test_the_defaults_are_valid_patterns() -> None:
    assert len(default_patterns()) > 30
    IgnoreRules(default_patterns())
