"""The workspace: files are whole or as before, names stay inside, and one process at a time has the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError, ItemError, UnavailableError
from ingest_assets.sources.papers.workspace import Draft, Workspace
from ingest_assets_tests.sources.papers.making import full_disk

# What the old scripts do: wait for the lock, and keep it. It says when it has it.
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file.fileno(), fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "ingest_workspace")
    workspace.create()
    return workspace


def test_it_has_exactly_the_folders_that_the_old_tools_read(made: Workspace) -> None:
    made.create()  # again
    assert sorted(each.name for each in made.root.iterdir()) == [
        "medlit_bundle",
        "medlit_merged",
        "pass1_bundles",
    ]


def test_bundles_are_listed_by_paper_and_others_are_named(made: Workspace) -> None:
    for name in ("paper_PMC2.json", "paper_PMC10.json", "paper_.json", "paper_a b.json", "notes.txt"):
        (made.bundles / name).write_text("{}")
    assert [each.paper_id for each in made.bundle_files()] == ["PMC10", "PMC2"]
    assert made.misnamed_files() == ["paper_.json", "paper_a b.json"]
    assert Workspace(made.root / "none").bundle_files() == []


@pytest.mark.parametrize("paper_id", ["", "..", "../PMC1", "a/b", "a\x00", "a" * 121, ".hidden", "PMC1\n"])
def test_a_papers_name_stays_in_its_folder(made: Workspace, paper_id: str) -> None:
    with pytest.raises(ItemError, match="cannot be a paper's id"):
        made.bundle_path(paper_id)


def test_a_folder_that_leads_out_is_refused(made: Workspace, tmp_path: Path) -> None:
    made.bundles.rmdir()
    (tmp_path / "elsewhere").mkdir()
    made.bundles.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="leads out of the workspace"):
        made.create()


def test_a_root_that_cannot_be_made_is_a_setting_to_correct(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="INGEST_WORKSPACE_ROOT"):
        Workspace(tmp_path / "file" / "workspace").create()


def test_a_file_is_replaced_whole_and_only_if_it_changes(made: Workspace) -> None:
    path = made.merged / "entities.json"
    assert made.write(path, b"one")
    os.utime(path, (1_000, 1_000))
    before = path.stat()
    assert not made.write(path, b"one")
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert made.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert [each.name for each in made.merged.iterdir()] == ["entities.json"]


def test_a_link_is_replaced_and_not_followed(made: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"same")
    path = made.bundle_path("PMC1")
    path.symlink_to(target)
    assert made.write(path, b"same")
    assert not path.is_symlink()
    assert target.read_bytes() == b"same"


def test_a_full_disk_leaves_the_old_file(made: Workspace) -> None:
    path = made.bundle_path("PMC1")
    made.write(path, b"old")
    with full_disk(1_000_000), pytest.raises(UnavailableError, match="cannot be written"):
        made.write(path, b"x" * 2_000_000)
    assert path.read_bytes() == b"old"
    assert [each.name for each in made.bundles.iterdir()] == [path.name]


def test_what_a_crash_left_is_removed_and_what_is_being_written_is_not(made: Workspace) -> None:
    path = made.bundle_path("PMC1")
    child = os.fork()
    if child == 0:
        for each in (path, made.graph / "manifest.json"):
            Draft(each).write(b"half")
        os._exit(9)
    os.waitpid(child, 0)
    assert len(list(made.root.rglob(".*.new"))) == 2
    new = Draft(path)
    new.write(b"{}")
    assert made.clean() == 2
    new.finish()
    assert made.clean() == 0
    assert new.commit()
    assert [each.name for each in made.bundles.iterdir()] == [path.name]


def test_removing_a_bundle_says_whether_there_was_one(made: Workspace) -> None:
    made.write(made.bundle_path("PMC1"), b"{}")
    assert made.remove_bundle("PMC1")
    assert not made.remove_bundle("PMC1")


def test_the_old_scripts_are_kept_out_and_a_killed_one_lets_go(made: Workspace) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(made.lock_file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UnavailableError, match="Another process"), made.lock(wait_s=0.1):
            pass
        holder.kill()
        holder.wait()
        with made.lock(wait_s=5):
            second = Workspace(made.root)  # also within one process
            with pytest.raises(UnavailableError), second.lock(wait_s=0):
                pass
        with made.lock(wait_s=0):
            pass
    finally:
        holder.kill()
        holder.communicate()


def test_a_forked_process_does_not_keep_the_lock(made: Workspace) -> None:
    with made.lock():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with made.lock(wait_s=0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_who_waits_can_give_up(made: Workspace) -> None:
    class CancelledError(Exception):
        pass

    def cancel() -> None:
        raise CancelledError

    started = time.monotonic()
    with made.lock(), pytest.raises(CancelledError), made.lock(wait_s=60, check=cancel):
        pass
    assert time.monotonic() - started < 5


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
