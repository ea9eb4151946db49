"""What was read of a folder is not read again, and never believed wrongly."""

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

from ingest_assets.sources.repositories.hints import RACY_NS, Clock
from ingest_assets.sources.repositories.working_tree import WorkingTree
from ingest_assets_tests.sources.repositories.working_trees import (
    HOUR_NS,
    folder_at,
    items,
    read_files,
    skipped,
    state,
    write,
)


@pytest.mark.usefixtures("settled")
def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(5):
        write(folder.path, f"{i}.py", f"a = {i}\n")
    write(folder.path, "x.py", b"\0\1\2")  # skipped for its content
    before = state(folder)
    assert read_files(folder) == 0
    assert state(folder) == before
    tree = WorkingTree("repositories", folder)
    assert [(len(items(tree)), tree.read_files) for _ in range(2)] == [(5, 0), (5, 0)]
    assert skipped(folder)["x.py"][0] == "binary"
    write(folder.path, "3.py", "a = 9\n")
    assert read_files(folder) == 1


def test_a_file_that_was_just_modified_is_read_again(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n", age_ns=0)
    assert [read_files(folder) for _ in range(2)] == [1, 1]


@pytest.mark.usefixtures("settled")
def test_a_change_of_same_size_whose_time_was_set_back_is_found(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    file = write(folder.path, "a.py", "a = 1\n")
    state(folder)
    found = file.stat()
    file.write_text("a = 2\n")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert state(folder)["a.py"][1] == "a = 2\n"


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("step_s", [-3_600, -3, 3, 3_600])
def test_no_hint_is_believed_across_a_step_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    state(folder)
    assert read_files(folder) == 0
    real = Clock.now
    monkeypatch.setattr(Clock, "now", lambda: replace(real(), wall_ns=real().wall_ns + step_s * 10**9))
    assert read_files(folder) == 1
    assert read_files(folder) == 0  # what is read after the step counts again


def test_when_a_clock_was_set() -> None:
    before = Clock(wall_ns=10**18, counted_ns=10**12, boot="one")
    hour_later = Clock(10**18 + HOUR_NS, 10**12 + HOUR_NS, "one")
    assert not hour_later.was_set_since(before)
    assert replace(hour_later, wall_ns=hour_later.wall_ns + 10 * RACY_NS).was_set_since(before)
    restarted = replace(hour_later, counted_ns=5, boot="two")
    assert not restarted.was_set_since(before)
    assert replace(restarted, wall_ns=before.wall_ns - 1).was_set_since(before)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", [b"", b"\x81", b"\x83\xa6format\xa11\xa5clock\xc0\xa5files\x90"])
def test_hints_that_cannot_be_read_cost_only_reading(tmp_path: Path, content: bytes) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    before = state(folder)
    (folder.kept_in / "hints.msgpack").write_bytes(content)
    assert state(folder) == before


EDITS = st.tuples(
    st.sampled_from(["write", "same size", "delete", "move", "touch", "mode", "folder"]),
    st.integers(0, 5),
    st.integers(0, 5),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(EDITS, max_size=4), max_size=5))
def test_reading_after_any_edits_gives_what_a_first_reading_gives(rounds: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = folder_at(Path(made) / "r")
        for turn, edits in enumerate(rounds):
            for kind, one, other in edits:
                _edit(folder.path, kind, one, other, turn)
            fresh = replace(folder, kept_in=Path(made) / f"fresh{turn}")
            assert state(folder) == state(fresh)


def _edit(root: Path, kind: str, one: int, other: int, turn: int) -> None:
    path, to = (root / f"d{n % 2}" / f"f{n}.py" for n in (one, other))
    path.parent.mkdir(exist_ok=True)
    to.parent.mkdir(exist_ok=True)
    if kind == "folder":
        shutil.rmtree(path.parent)
    elif kind == "write":
        path.write_text(f"a = {turn}\n" * (other + 1))
    elif not path.exists():
        return
    elif kind == "same size":
        found = path.stat()
        path.write_bytes(bytes(path.read_bytes()).replace(b"a", b"b"))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif kind == "delete":
        path.unlink()
    elif kind == "move":
        path.replace(to)
    elif kind == "touch":
        os.utime(path)
    elif kind == "mode":
        path.chmod(0o755 if turn % 2 else 0o644)
