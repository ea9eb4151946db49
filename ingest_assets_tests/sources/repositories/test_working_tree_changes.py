"""Whatever the disk does while a folder is read: nothing is read by halves, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from ingest_assets.model import ItemError, SourceUnavailableError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.repositories import working_tree
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.source import ConfinedRepository
from ingest_assets.sources.repositories.working_tree import WorkingTree
from ingest_assets_tests.sources.repositories.working_trees import (
    folder_at,
    git,
    items,
    skipped,
    state,
    write,
)


@pytest.mark.usefixtures("settled")
def test_a_folder_that_cannot_be_listed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "closed/b.py", "b = 1\n")
    write(folder.path, "closed/deep/c.py", "c = 1\n")
    assert set(state(folder)) == {"a.py", "closed/b.py", "closed/deep/c.py"}
    with _refusing(monkeypatch, "scan", "closed"):
        for _ in range(2):  # what is known of it is not forgotten
            tree = WorkingTree("repositories", folder)
            found = items(tree)
            assert set(found) == {"a.py", "closed/b.py", "closed/deep/c.py"}
            with pytest.raises(ItemError, match="cannot be read: Permission denied"):
                found["closed/b.py"].render()
            assert [(skip.id, skip.reason) for skip in tree.skipped] == [("closed/", "parse_error")]
    assert set(state(folder)) == {"a.py", "closed/b.py", "closed/deep/c.py"}


def test_a_file_that_cannot_be_read_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "b.py", "b = 1\n")
    with _refusing(monkeypatch, "open", "b.py"):
        found = items(WorkingTree("repositories", folder))
        assert found["a.py"].render().body == "a = 1\n"
        with pytest.raises(ItemError, match="Permission denied"):
            found["b.py"].render()


def test_a_folder_that_cannot_be_read_at_all_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path / "r")
    with _refusing(monkeypatch, "scan", "r"), pytest.raises(SourceUnavailableError, match="Permission"):
        state(folder)
    folder.path.rmdir()
    with pytest.raises(SourceUnavailableError, match="gone"):
        state(folder)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_vanishes_while_it_is_read_is_not_an_empty_one(tmp_path: Path, replaced: bool) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(3):
        write(folder.path, f"d{i}/a.py", "a = 1\n")
    tree = WorkingTree("repositories", folder)
    tree.grants()
    with tree.read() as found:
        next(found)
        folder.path.rename(tmp_path / "elsewhere")
        if replaced:
            folder.path.mkdir()
        with pytest.raises(SourceUnavailableError, match="replaced" if replaced else "gone"):
            list(found)


@pytest.mark.parametrize("above", [False, True], ids=["the folder", "one above it"])
@pytest.mark.parametrize("late", [False, True], ids=["before it is read", "while it is read"])
def test_a_link_in_the_place_of_the_folder_leads_nowhere(tmp_path: Path, above: bool, late: bool) -> None:
    """Whoever may write to a folder above it could otherwise have any folder of this machine read."""
    folder = folder_at(tmp_path / "team" / "r", tmp_path / "kept")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "d/b.py", "b = 1\n")
    write(tmp_path / "secret" / "r", "d/b.py", "secret = 1\n")
    write(tmp_path / "secret", "d/b.py", "secret = 1\n")

    def replace_it() -> None:
        place = folder.path.parent if above else folder.path
        place.rename(tmp_path / "away")
        place.symlink_to(tmp_path / "secret")

    tree = WorkingTree("repositories", folder)
    tree.grants()
    if not late:
        replace_it()
        with pytest.raises(SourceUnavailableError, match="replaced by a link"), tree.read():
            pass
        return
    bodies: list[str] = []
    with tree.read() as found:
        bodies.append(next(found).render().body)
        replace_it()
        with pytest.raises(SourceUnavailableError, match=r"replaced|gone"):
            bodies.extend(item.render().body for item in found)
    assert "secret = 1\n" not in bodies


def test_a_file_that_vanishes_while_the_folder_is_read_is_gone(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    for name in ("a", "b", "c/d"):
        write(folder.path, f"{name}.py", "a = 1\n")
    tree = WorkingTree("repositories", folder)
    tree.grants()
    with tree.read() as found:
        assert next(found).id == "a.py"
        (folder.path / "b.py").unlink()
        shutil.rmtree(folder.path / "c")
        assert [item.id for item in found] == []


def _changing(monkeypatch: pytest.MonkeyPatch, file: Path, times: int) -> None:
    """Something is appended after each of the first readings of a file."""
    real, left = working_tree._start_of, [times]

    def start_of(opened: IO[bytes], size: int) -> bytes:
        content = real(opened, size)
        if left[0] and b"changing" in content:
            left[0] -= 1
            with file.open("ab") as more:
                more.write(b"# more\n")
        return content

    monkeypatch.setattr(working_tree, "_start_of", start_of)


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    folder = folder_at(tmp_path / "r")
    _changing(monkeypatch, write(folder.path, "a.py", "changing = 1\n"), times)
    assert state(folder)["a.py"][1] == "changing = 1\n" + times * "# more\n"


def test_a_file_that_changes_all_the_time_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path / "r")
    _changing(monkeypatch, write(folder.path, "a.py", "changing = 1\n"), 1_000)
    found = items(WorkingTree("repositories", folder))
    with pytest.raises(ItemError, match="changes while it is read"):
        found["a.py"].render()


@pytest.mark.usefixtures("settled")
def test_what_changes_between_listing_and_rendering_is_never_half(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    file = write(folder.path, "a.py", "a = 1\n")
    state(folder)  # so that there is a hint, and it is rendered from what is read then
    tree = WorkingTree("repositories", folder)
    with tree.read() as found:
        [item] = found
        file.write_text("a = 2\n")
        with pytest.raises(ItemError, match="changed while the folder was read"):
            item.render()
    with pytest.raises(ItemError, match="cannot be read"):
        item.render()  # once the folder is no longer held, nothing else is read in its place


@pytest.mark.usefixtures("settled")
def test_a_confined_process_reads_the_same(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    git(folder.path, "init", "-q")
    write(folder.path, ".gitignore", "*.log\nbuild/\n")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "build/b.py", "b = 1\n")
    git(folder.path, "add", "-f", "build/b.py")
    (folder.path / "link.py").symlink_to(tmp_path / "outside.py")
    for _ in range(2):  # the second time with hints, which are kept by the process
        source = ConfinedRepository(WorkingTree("repositories", folder), Sandbox(tmp_path / "tmp"))
        with source.read() as found:
            read = {item.id: (item.digest, item.render().body) for item in found}
        fresh = replace(folder, kept_in=tmp_path / "other")
        assert read == state(fresh)
        assert {skip.id for skip in source.skipped} == set(skipped(fresh))
    assert (folder.kept_in / "hints.msgpack").exists()


def _link_outside(file: Path) -> None:
    secret = file.parent.parent / "secret.py"
    secret.write_text("password = 1\n")
    file.symlink_to(secret)


SWAPS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a link outside": _link_outside,
    "a link to itself": lambda file: file.symlink_to(file.name),
}


@pytest.mark.parametrize("becomes", SWAPS)
@pytest.mark.parametrize("known", [False, True])
def test_what_a_file_becomes_after_it_was_listed_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str, known: bool
) -> None:
    """Opening a pipe would wait for ever, and a link could lead anywhere."""
    folder = folder_at(tmp_path / "r")
    file = write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "b.py", "b = 1\n")
    monkeypatch.setattr(working_tree, "is_settled", lambda *_: known)
    if known:  # by a hint: then it is opened when it is rendered
        state(folder)
    real = Inside.open

    def swapped(self: Inside, path: Path) -> IO[bytes]:
        if path == file and stat.S_ISREG(os.lstat(file).st_mode):
            file.unlink()
            SWAPS[becomes](file)
        return real(self, path)

    monkeypatch.setattr(Inside, "open", swapped)
    tree = WorkingTree("repositories", folder)
    tree.grants()
    with tree.read() as read:
        found = {item.id: item for item in read}
        assert found["b.py"].render().body == "b = 1\n"
        with pytest.raises(ItemError):
            found["a.py"].render()


@pytest.mark.usefixtures("settled")
def test_a_full_disk_costs_only_reading_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    state(folder)
    write(folder.path, "b.py", "b = 1\n")
    with monkeypatch.context() as patch:

        def full(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[:10])
            raise OSError(28, "No space left on device")

        patch.setattr(Path, "write_bytes", full)
        found = state(folder)
    assert set(found) == {"a.py", "b.py"}
    assert [each.name for each in folder.kept_in.iterdir()] == ["hints.msgpack"]
    assert state(folder) == found


@contextmanager
def _refusing(monkeypatch: pytest.MonkeyPatch, what: str, name: str) -> Iterator[None]:
    """As a folder or file without permission; chmod would not hold back a test that runs as root."""
    real: Callable[..., Any] = getattr(Inside, what)

    def refuse(self: Inside, path: Path) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return real(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Inside, what, refuse)
        yield
