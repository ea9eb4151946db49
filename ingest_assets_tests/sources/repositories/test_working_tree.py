"""Folders as they stand on disk: what is read is what git would list."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ContentError, ItemError, SourceUnavailableError
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.tree import TreeLimits
from ingest_assets.sources.repositories.working_tree import WorkingTree
from ingest_assets_tests.sources.repositories.working_trees import (
    PATHS,
    PATTERNS,
    folder_at,
    git,
    items,
    skipped,
    state,
    write,
)


@settings(max_examples=30, deadline=None)
@given(
    paths=st.sets(PATHS, max_size=12),
    ignoring=st.dictionaries(st.sampled_from(["", "x/", "keep/"]), st.lists(PATTERNS, max_size=4)),
    excluded=st.lists(PATTERNS, max_size=2),
    forced=st.sets(PATHS, max_size=4),
)
def test_the_files_are_those_that_git_lists(
    paths: set[str], ignoring: dict[str, list[str]], excluded: list[str], forced: set[str]
) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git")
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", made)
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        root = Path(made) / "r"
        root.mkdir()
        git(root, "init", "-q")
        for path in sorted(paths | {f"{folder}.gitignore" for folder in ignoring}):
            below = path.rpartition("/")[0]
            above = [Path(path).parents[i] for i in range(below.count("/") + bool(below))]
            if any((root / each).is_file() for each in above) or (root / path).is_dir():
                continue
            write(root, path, "\n".join(ignoring.get(below and f"{below}/", ["text"])) + "\n")
        for path in sorted(forced):
            if (root / path).is_file():
                git(root, "add", "-f", path)
        (root / ".git" / "info" / "exclude").write_text("\n".join(excluded))
        listed = set(git(root, "ls-files", "-co", "--exclude-standard", "-z").split("\0")) - {""}
        tree = WorkingTree("repositories", folder_at(root))
        found = set(items(tree))
        ignored = {
            skip.id for skip in tree.skipped if skip.detail.startswith(("git ign", "a folder that git"))
        }
        others = {skip.id for skip in tree.skipped} - ignored
        assert found | others == listed


def test_what_is_not_committed_is_read_and_a_folder_need_not_be_a_repository(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "src/b.md", "# b\n")
    plain = state(folder)
    assert {path: body for path, (_, body) in plain.items()} == {"a.py": "a = 1\n", "src/b.md": "# b\n"}
    git(folder.path, "init", "-q")
    git(folder.path, "add", "a.py")
    git(folder.path, "commit", "-q", "-m", "one")
    write(folder.path, "a.py", "a = 2\n")
    now = state(folder)
    assert now["a.py"][1] == "a = 2\n"
    assert now["src/b.md"] == plain["src/b.md"]
    assert folder.commit() == git(folder.path, "rev-parse", "HEAD").strip()


def test_links_pipes_sockets_and_names_that_are_not_text_are_counted(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    root = folder.path
    (tmp_path / "secret.py").write_text("password = 1\n")
    write(root, "a.py", "a = 1\n")
    (root / "inside").symlink_to("a.py")
    (root / "outside.py").symlink_to(tmp_path / "secret.py")
    (root / "up").symlink_to("..", target_is_directory=True)
    (root / "loop").symlink_to("loop")
    (root / "circle").symlink_to(".", target_is_directory=True)
    os.mkfifo(root / "pipe.py")
    (root / "other" / ".git").mkdir(parents=True)
    write(root, "other/c.py", "c = 1\n")
    Path(os.fsdecode(os.fsencode(root) + b"/na\xefve.py")).write_text("n = 1\n")
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(root)  # a socket's path is short
        try:
            bound.bind("s.py")
        finally:
            os.chdir(before)
        assert set(state(folder)) == {"a.py"}
        assert skipped(folder) == {
            "circle": ("unsupported_language", "a symbolic link"),
            "inside": ("unsupported_language", "a symbolic link"),
            "loop": ("unsupported_language", "a symbolic link"),
            "na\\xefve.py": ("parse_error", "not a valid name"),
            "other/": ("unsupported_language", "another repository"),
            "outside.py": ("unsupported_language", "a symbolic link that leaves the folder"),
            "pipe.py": ("unsupported_language", "neither file nor folder"),
            "s.py": ("unsupported_language", "neither file nor folder"),
            "up": ("unsupported_language", "a symbolic link that leaves the folder"),
        }


def test_a_device_is_counted_and_not_opened(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    try:
        os.mknod(folder.path / "endless.py", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero
    except OSError:
        pytest.skip("only the administrator makes devices")
    assert set(state(folder)) == {"a.py"}
    assert skipped(folder) == {"endless.py": ("unsupported_language", "neither file nor folder")}


@pytest.mark.parametrize("becomes", ["a pipe", "a link", "a folder"])
def test_an_index_of_git_that_is_no_file_is_reported(tmp_path: Path, becomes: str) -> None:
    """Opening a pipe would wait for ever, and a link could lead to any file of this machine."""
    folder = folder_at(tmp_path / "r")
    git(folder.path, "init", "-q")
    write(folder.path, ".gitignore", "*.log.py\n")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "b.log.py", "b = 1\n")
    git(folder.path, "add", "-f", "b.log.py")
    assert set(state(folder)) == {"a.py", "b.log.py"}
    index = folder.path / ".git" / "index"
    index.rename(tmp_path / "index")
    if becomes == "a pipe":
        os.mkfifo(index)
    elif becomes == "a link":
        index.symlink_to(tmp_path / "index")
    else:
        index.mkdir()
    assert set(state(folder)) == {"a.py"}
    assert skipped(folder)[".git/index"][0] == "parse_error"


def test_what_this_program_keeps_is_left_out(tmp_path: Path) -> None:
    home = tmp_path / "r" / "state"
    folder = replace(folder_at(tmp_path / "r", home / "repositories" / "x"), own=(home.resolve(),))
    write(folder.path, "a.py", "a = 1\n")
    assert set(state(folder)) == {"a.py"}
    assert skipped(folder)["state/"][0] == "ignore_pattern"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (TreeLimits(files=42), r"more than 42 files and folders \(d/e/f/ alone has 40\).*MAX_FILES"),
        (TreeLimits(total_bytes=100), r"over 100 bytes.*MAX_REPO_SIZE_GB"),
    ],
)
def test_too_much_is_refused_with_the_limit(tmp_path: Path, limits: TreeLimits, said: str) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(40):
        write(folder.path, f"d/e/f/{i}.py", "a = 1\n")
    with pytest.raises(ContentError, match=said):
        state(folder, limits=limits)
    assert len(state(folder)) == 40


def test_a_folder_with_too_many_entries_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(40):
        write(folder.path, f"data/frames/{i}.py", "a = 1\n")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "z/z.py", "a = 1\n")
    limits = TreeLimits(files=39)
    assert set(state(folder, limits=limits)) == {"a.py", "z/z.py"}
    assert skipped(folder, limits=TreeLimits(depth=2))["data/frames/"][1] == "is nested more than 2 deep"
    reason, detail = skipped(folder, limits=limits)["data/frames/"]
    assert (reason, "more than 39 files and folders" in detail) == ("parse_error", True)
    assert "INGEST_REPOSITORY_MAX_FILES" in detail
    # What is known of it stays.
    assert len(state(folder)) == 42
    known = items(WorkingTree("repositories", folder, limits=limits))
    assert len(known) == 42
    with pytest.raises(ItemError, match="Its folder has more than 39"):
        known["data/frames/7.py"].render()
    # The folder itself.
    with pytest.raises(ContentError, match="The folder frames has more than 39 files and folders: refused"):
        state(folder_at(folder.path / "data" / "frames", tmp_path / "kept"), limits=limits)


@pytest.mark.parametrize(
    ("limits", "said"),
    [(TreeLimits(), "more than 200,000 files"), (TreeLimits(seconds=0), "took longer than 0 s")],
)
def test_a_folder_without_end_is_refused_before_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: TreeLimits, said: str
) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    [entry] = os.scandir(folder.path)

    @contextmanager
    def endless(_self: Inside, _path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        yield itertools.repeat(entry)

    monkeypatch.setattr(Inside, "scan", endless)
    with pytest.raises((ContentError, SourceUnavailableError), match=said):
        state(folder, limits=limits)
