"""Which changes of a watched folder can change a document."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.sources.repositories.source import ConfinedRepository
from ingest_assets.sources.repositories.watching import MANY, Watched
from ingest_assets.sources.repositories.working_tree import Folder, WorkingTree
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.sources.repositories.working_trees import (
    NAMES,
    PATHS,
    PATTERNS,
    folder_at,
    git,
    state,
    write,
)
from ingest_assets_tests.support.built_index import Home


def watched_at(folder: Folder, sandbox: Path, patterns: tuple[str, ...] = ()) -> Watched:
    def source() -> ConfinedRepository:
        tree = WorkingTree("repositories", folder, prefix="x/", patterns=patterns)
        return ConfinedRepository(tree, Sandbox(sandbox))

    return Watched("x", folder, patterns, source, 1 << 20)


def concerns(watched: Watched, *paths: str) -> list[bool]:
    return [watched.concerns([watched.path / path]) for path in paths]


def test_what_git_and_patterns_leave_out_does_not_concern_it(tmp_path: Path) -> None:
    home = tmp_path / "r" / "state"
    folder = replace(folder_at(tmp_path / "r"), own=(home.resolve(),))
    git(folder.path, "init", "-q")
    write(folder.path, ".gitignore", "*.log\nbuild/\n")
    write(folder.path, "src/.gitignore", "made.py\n")
    write(folder.path, "build/kept.py", "a = 1\n")
    write(folder.path, "build/other.py", "a = 1\n")
    write(folder.path, "node_modules/x.py", "a = 1\n")
    write(folder.path, ".git/info/exclude", "mine\n")
    git(folder.path, "add", "-f", "build/kept.py")
    watched = watched_at(folder, tmp_path / "tmp", ("*.gen.py",))
    paths = (
        "a.py",
        "src/b.py",
        "src",
        "gone/c.py",
        "made.py",
        ".gitignore",
        "src/.gitignore",
        ".ingestignore",
    )
    assert concerns(watched, *paths, ".", ".git/info/exclude", "build/kept.py", "build") == [True] * 12
    ignored = ("a.log", "src/a.log", "build/other.py", "src/made.py", "mine", "node_modules/x.py", "a.gen.py")
    ours = (".git/index", ".git/objects/ab/cd", "sub/.git/HEAD", "state/ledger.sqlite", "node_modules")
    assert concerns(watched, *ignored, *ours) == [False] * 12
    assert concerns(watched, "src/.b.py.swp", "src/4913", ".#a.py") == [False] * 3
    assert watched.concerns([folder.path / each for each in (*ignored, "a.py")])
    git(folder.path, "add", "-f", "build/other.py")
    assert concerns(watched, "build/other.py") == [True]
    assert watched.concerns([folder.path / f"{n}.log" for n in range(MANY + 1)])  # too many to look at each
    assert watched.concerns([tmp_path / "elsewhere"])


@settings(max_examples=30, deadline=None)
@given(
    paths=st.sets(PATHS, min_size=1, max_size=8),
    ignoring=st.dictionaries(st.sampled_from(["", "x/", "keep/"]), st.lists(PATTERNS, max_size=4)),
    forced=st.sets(PATHS, max_size=3),
    changed=PATHS,
    how=st.sampled_from(["write", "delete", "move"]),
    to=NAMES,
)
def test_a_change_that_changes_a_document_concerns_it(
    paths: set[str], ignoring: dict[str, list[str]], forced: set[str], changed: str, how: str, to: str
) -> None:
    """The other way round it need not be: a run that finds nothing is cheap."""
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", made)
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        folder = folder_at(Path(made) / "r")
        root = folder.path
        git(root, "init", "-q")
        for path in sorted(paths | {f"{each}.gitignore" for each in ignoring}):
            below = path.rpartition("/")[0]
            if any((root / each).is_file() for each in Path(path).parents) or (root / path).is_dir():
                continue
            write(root, path, "\n".join(ignoring.get(below and f"{below}/", ["text"])) + "\n")
        for path in sorted(forced):
            if (root / path).is_file():
                git(root, "add", "-f", path)
        watched = watched_at(folder, Path(made) / "tmp")
        before = state(folder)
        touched = _change(root, changed, how, to)
        after = state(replace(folder, kept_in=Path(made) / "fresh"))
        if touched and after != before:
            assert watched.concerns([root / each for each in touched])


def _change(root: Path, path: str, how: str, to: str) -> list[str]:
    """What a watcher is told of."""
    if how == "write":
        if any((root / each).is_file() for each in Path(path).parents) or (root / path).is_dir():
            return []
        new = [str(each) for each in reversed(Path(path).parents) if not (root / each).exists()]
        write(root, path, "other\n")
        return [*new, path]
    if not (root / path).exists():
        return []
    if how == "move":
        if (root / to).exists() or (root / path) in (root / to).parents:
            return []
        (root / path).rename(root / to)
        return [path, to]
    files = [str(each.relative_to(root)) for each in (root / path).rglob("*")]
    if (root / path).is_dir():
        shutil.rmtree(root / path)
    else:
        os.unlink(root / path)  # noqa: PTH108 - as above
    return [*files, path]


def test_the_state_changes_with_what_a_run_would_read(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, ".gitignore", "*.log\n")
    watched = watched_at(folder, tmp_path / "tmp")
    first = watched.state()
    write(folder.path, "b.log", "1\n")
    assert watched.state() == first
    write(folder.path, "a.py", "a = 2\n")
    second = watched.state()
    assert second != first
    (folder.path / "a.py").rename(folder.path / "b.py")
    assert watched.state() not in (first, second)


def test_a_folder_that_is_watched_is_kept_as_it_stands(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").with_settings(crm_db_path=None)
    plain = tmp_path / "plain"
    write(plain, "a.py", "a = 1\n")
    with TestRepo(tmp_path / "bare.git"):
        pass
    with home.bench() as bench:
        repositories = repositories_of(bench)
        kept: Any = repositories.watched(plain)
        assert repositories.get(kept.part).own_folder
        assert not repositories.get(kept.part).committed
        assert home.path / "ingest" in kept.folder.own
        with pytest.raises(ConfigurationError, match="no files in it"):
            repositories.watched(tmp_path / "bare.git")
        with pytest.raises(ConfigurationError):
            repositories.watched(tmp_path / "nothing")
        with pytest.raises(ConfigurationError):
            repositories.watched(plain / "a.py")
        assert [each.id for each in repositories.all()] == [kept.part]
