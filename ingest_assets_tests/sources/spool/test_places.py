"""The folders of the spool: who may write them, one at a time, and moves that lose and overwrite nothing."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.spool import places
from ingest_assets.sources.spool.places import BeingWrittenError, NotMovableError, Spool, open_regular
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.sources.spool.waiting import Waiting, waiting


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool", quiet_s=5)
    made.prepare()
    return made


def test_folders_are_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        spool = Spool(tmp_path / "a" / "spool")
        spool.prepare()
    finally:
        os.umask(before)
    for folder in (spool.root, spool.incoming, spool.processing, spool.archive, spool.failed):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    spool.prepare()
    assert list(spool.faults()) == []


@pytest.mark.parametrize(
    ("folder", "mode", "refused"),
    [("incoming", 0o770, False), ("incoming", 0o2770, False), ("incoming", 0o777, True),
     ("incoming", 0o1777, True), ("incoming", 0o772, True), ("processing", 0o750, False),
     ("processing", 0o770, True), ("archive", 0o720, True), ("failed", 0o702, True), (".", 0o755, False),
     (".", 0o775, True), (".", 0o1777, True)],
)  # fmt: skip
def test_folders_that_others_can_write_are_refused(
    spool: Spool, folder: str, mode: int, refused: bool
) -> None:
    (spool.root / folder).chmod(mode)
    if not refused:
        spool.prepare()
        return
    # Nobody should take rights away from a folder such as /tmp.
    mend = "one of its own" if (folder, mode) == (".", 0o1777) else "Run: chmod"
    with pytest.raises(ConfigurationError, match=mend):
        spool.prepare()
    assert len(list(spool.faults())) == 1


def test_links_and_files_in_the_place_of_folders_are_refused(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    spool.archive.rmdir()
    spool.archive.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="not a folder, or a link"):
        spool.prepare()
    spool.archive.unlink()
    spool.archive.write_text("")
    with pytest.raises(ConfigurationError, match="archive"):
        spool.prepare()
    spool.archive.unlink()
    spool.incoming.rmdir()
    spool.incoming.symlink_to(tmp_path / "elsewhere")
    spool.prepare()  # producers may write on another disk


def test_settings_without_a_folder() -> None:
    with pytest.raises(ConfigurationError, match="SPOOL_DIR is not set"):
        Spool.of(SpoolSettings(_env_file=None))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="Set SPOOL_DIR"):
        Spool(tmp_path / "file" / "spool").prepare()


def test_one_at_a_time(spool: Spool) -> None:
    order: list[str] = []
    held = threading.Event()

    def first() -> None:
        with spool.lock():
            held.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(5)
    calls: list[int] = []
    with spool.lock(check=lambda: calls.append(1)):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert calls
    with spool.lock(), pytest.raises(UnavailableError, match="holds its lock"), spool.lock(wait_s=0):
        pass


def test_a_lock_that_is_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    (spool.root / ".spool.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigurationError, match="lock"), spool.lock():
        pass
    assert not (tmp_path / "victim").exists()


# --- Moves --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["same", "other"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether folders are on one file system, or a rename between them is refused as between two."""
    if request.param == "other":
        monkeypatch.setattr(Path, "rename", _rename_within)
    return str(request.param)


_rename = Path.rename


def _rename_within(self: Path, target: Path) -> Path:
    if self.parent != target.parent:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return _rename(self, target)


@pytest.mark.usefixtures("file_system")
def test_a_move_keeps_content_and_time_and_overwrites_nothing(spool: Spool) -> None:
    (spool.archive / "a.msgpack").write_bytes(b"there")
    (spool.processing / "a.msgpack").write_bytes(b"moved" * 500_000)
    os.utime(spool.processing / "a.msgpack", ns=(1, 1_234_567_890))
    name = spool.move("a.msgpack", spool.processing, spool.archive)
    assert name != "a.msgpack"
    assert name.startswith("a.")
    assert name.endswith(".msgpack")
    assert (spool.archive / name).read_bytes() == b"moved" * 500_000
    assert (spool.archive / name).stat().st_mtime_ns == 1_234_567_890
    assert (spool.archive / "a.msgpack").read_bytes() == b"there"
    assert not any(spool.processing.iterdir())
    assert spool.move(name, spool.archive, spool.failed, "b.msgpack") == "b.msgpack"
    with pytest.raises(FileNotFoundError):
        spool.move("none", spool.processing, spool.archive)


def test_a_name_is_taken_also_by_a_link_that_leads_nowhere(spool: Spool) -> None:
    (spool.archive / "a.msgpack").symlink_to("nowhere")
    (spool.processing / "a.msgpack").write_bytes(b"x")
    assert spool.move("a.msgpack", spool.processing, spool.archive) != "a.msgpack"
    assert (spool.archive / "a.msgpack").is_symlink()


def test_what_is_written_while_it_is_copied_stays(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", _rename_within)
    path = spool.incoming / "a.msgpack"
    path.write_bytes(b"x" * 100)

    class File:
        def __init__(self, found: Path) -> None:
            self._file = open_regular(found)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def fileno(self) -> int:
            return self._file.fileno()

        def read(self, size: int) -> bytes:
            with path.open("ab") as more:
                more.write(b"y" if path.stat().st_size < 200 else b"")
            return self._file.read(size)

    monkeypatch.setattr(places, "open_regular", File)
    with pytest.raises(BeingWrittenError):
        spool.move("a.msgpack", spool.incoming, spool.processing)
    assert path.exists()
    assert not any(spool.processing.iterdir())


def test_no_room_on_the_other_file_system(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", _rename_within)
    (spool.incoming / "a.msgpack").write_bytes(b"x")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left on device") as error:
        spool.move("a.msgpack", spool.incoming, spool.processing)
    assert isinstance(error.value, NotMovableError), "there may be room for a smaller one"
    assert (spool.incoming / "a.msgpack").read_bytes() == b"x"
    assert not any(spool.processing.iterdir())


def test_what_is_no_file_cannot_be_copied(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", _rename_within)
    os.mkfifo(spool.incoming / "pipe.msgpack")
    (spool.incoming / "link.msgpack").symlink_to("/etc/passwd")
    for name in ("pipe.msgpack", "link.msgpack"):
        with pytest.raises(NotMovableError):
            spool.move(name, spool.incoming, spool.processing)
        assert os.path.lexists(spool.incoming / name)


def test_copies_that_a_crash_left_are_removed(spool: Spool) -> None:
    for folder in spool.ours:
        (folder / ".0123.tmp").write_bytes(b"half")
        (folder / "a.msgpack").write_bytes(b"x")
    spool.remove_drafts()
    assert [path.name for folder in spool.ours for path in folder.iterdir()] == ["a.msgpack"] * 3


# --- What waits ---------------------------------------------------------------------------------------------


def test_what_waits(spool: Spool, tmp_path: Path) -> None:
    assert waiting(Spool(tmp_path / "nowhere")) == Waiting(0, 0, 0.0, 0, 0)
    assert waiting(spool) == Waiting(0, 0, 0.0, 0, 0)
    now = time.time()
    for name, age, size in (("new", 0, 10), ("quiet", 6, 20), ("future", -99, 40)):
        path = spool.incoming / f"{name}.msgpack"
        path.write_bytes(b"x" * size)
        if age:
            os.utime(path, (now - age, now - age))
    (spool.incoming / ".hidden.msgpack").write_bytes(b"")
    found = waiting(spool)
    assert (found.files, found.bytes, found.whole, found.ignored) == (3, 70, 2, 1)
    assert 0 <= found.oldest_age_s < 60


def test_what_cannot_be_moved_is_left_alone(spool: Spool) -> None:
    """In `incoming` on another file system, which only files can be copied from."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == spool.root.stat().st_dev:
        other = Path("/tmp")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        spool.incoming.rmdir()
        spool.incoming.symlink_to(folder)
        os.mkfifo(spool.incoming / "pipe.msgpack")
        (spool.incoming / "a.msgpack").write_bytes(b"x")
        same = other.stat().st_dev == spool.root.stat().st_dev
        found = waiting(spool)
        assert (found.files, found.ignored) == ((2, 0) if same else (1, 1))
        spool.move("a.msgpack", spool.incoming, spool.processing)


def test_a_renamed_file_is_whole_at_once(spool: Spool) -> None:
    draft = spool.incoming / ".a.tmp"
    draft.write_bytes(b"x")
    time.sleep(0.02)
    draft.rename(spool.incoming / "a.msgpack")
    assert waiting(spool).whole == 1
    (spool.incoming / "a.msgpack").write_bytes(b"xy")
    assert waiting(spool).whole == 0
