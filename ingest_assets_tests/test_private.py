"""State is for its user alone: what is written, what was written before, and what must not be touched."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.files import lock_folder
from ingest_assets.model import ConfigurationError
from ingest_assets.private import keep_home_private, keep_private, make_private_folder
from ingest_assets_tests.support.built_index import Home, ingest, run_command
from ingest_assets_tests.support.fixtures import IngestHere
from ingest_assets_tests.support.processes import running_product

pytest_plugins = ["ingest_assets_tests.support.fixtures"]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes: nothing is changed there")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become another user")


def wide(*folders: Path) -> list[str]:
    """What others may read, write or enter."""
    found = []
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & 0o077:
                found.append(f"{path} {stat.S_IMODE(mode):o}")
    return found


def widen(folder: Path) -> None:
    """As an earlier version left it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.fixture(autouse=True)
def usual_umask() -> None:
    os.umask(0o022)


def test_all_that_commands_write_is_private(empty: Home, ingest_here: IngestHere) -> None:
    os.umask(0o022)
    home = empty.with_settings(dagster_home=None)
    assert ingest(home, "build").status == 0
    for command in ("status", "refresh", "audit", "doctor"):
        assert ingest_here(home, command).status in {0, 1}, command
    state = home.path / "ingest"
    assert {"ledger.sqlite", "ledger.sqlite.locks", "collections", "dagster"} <= {
        path.name for path in state.iterdir()
    }
    assert list((state / "ledger.sqlite.locks").glob("*.lock"))
    assert (state / "dagster" / "history").is_dir()
    assert wide(state) == []


def test_files_that_sqlite_makes_later_are_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "ledger.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    with ledger.transaction() as connection:
        connection.exec_driver_sql("create table more (x)")
        names = {path.name for path in file.parent.iterdir()}
        assert {"ledger.sqlite-wal", "ledger.sqlite-shm"} <= names
        assert wide(file.parent) == []
    ledger.close()


def test_what_an_earlier_version_left_is_narrowed(built: Home) -> None:
    home = built.with_settings(dagster_home=None)
    state = home.path / "ingest"
    shutil.copytree(home.dagster, state / "dagster")
    widen(state)
    assert len(wide(state)) > 20
    assert ingest(home, "search", "renewal").status == 0
    assert ingest(home, "refresh").status == 0
    assert wide(state) == []


def test_a_folder_is_narrowed_once_and_links_are_not_followed(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours / "in", other):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
        widen(folder.parent if folder.name == "in" else folder)
    (ours / "link").symlink_to(other)
    (ours / "file_link").symlink_to(other / "file")
    keep_private(ours)
    assert wide(ours) == []
    assert len(wide(other)) == 2
    keep_private(tmp_path / "nothing")


@pytest.mark.parametrize("mark", [".git", "pyproject.toml", "sticky", "inside"])
def test_a_folder_that_others_need_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    shared = tmp_path / "shared"
    (shared / "mine").mkdir(parents=True)
    widen(shared)
    if mark == "sticky":
        shared.chmod(0o1777)
    elif mark == "inside":
        monkeypatch.chdir(shared / "mine")
    else:
        (shared / mark).touch()
    before = wide(shared)
    keep_home_private(shared)
    assert wide(shared) == before
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir(mode=0o755)
    keep_home_private(tmp_path / "user")
    assert wide(tmp_path / "user") != []


def test_a_checkout_with_state_in_it_stays_as_it_is(empty: Home) -> None:
    """As `make dev`: the checkout is Dagster's home, and the state is in `.ingest` there."""
    checkout = empty.path / "checkout"
    checkout.mkdir(mode=0o755)
    (checkout / "pyproject.toml").write_text("")
    shutil.copy(empty.dagster / "dagster.yaml", checkout)
    widen(checkout)
    home = empty.with_settings(dagster_home=checkout, ingest_home=checkout / ".ingest")
    said = run_command([sys.executable, "-m", "ingest_assets", "build"], home, cwd=checkout)
    assert said.status == 0, said.everything
    assert stat.S_IMODE(checkout.stat().st_mode) == 0o755
    assert stat.S_IMODE((checkout / "dagster.yaml").stat().st_mode) == 0o644
    made = [path for path in checkout.iterdir() if path.name not in {"pyproject.toml", "dagster.yaml"}]
    assert {"history", "storage", ".ingest"} <= {path.name for path in made}
    assert wide(*made) == []


def test_a_ledger_in_a_shared_folder_has_locks_of_its_own(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    file = shared / "x.sqlite"
    file.touch(0o644)
    ledger = Ledger(f"sqlite:///{file}")
    with ledger.lock("crm", 1):
        pass
    ledger.close()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert wide(*shared.iterdir()) == []
    locks = list(shared.rglob("*.lock"))
    assert {path.parent for path in locks} == {shared / "x.sqlite.locks"}


def test_a_lock_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "elsewhere")
    (tmp_path / "x.sqlite.locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="belongs to another user, or others can enter it"):
        Ledger(f"sqlite:///{tmp_path}/x.sqlite")


AS_NOBODY = """
import os, sys, sqlite3
from filelock import FileLock
os.chdir("/")
from ingest_assets.ledger import Ledger
from ingest_assets.ledger.files import lock_folder
from ingest_assets.private import keep_private
from pathlib import Path
os.setgid(65534); os.setuid(65534)
what, path = sys.argv[1:]
if what == "hold":
    FileLock(path).acquire(timeout=0)
elif what == "keep":
    keep_private(Path(path))
else:
    Ledger(f"sqlite:///{path}").close()
"""


def as_nobody(what: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, what, str(path)], check=False, capture_output=True, text=True
    )


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A folder that every user can enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest", "popen", "test_")):
            folder.chmod(0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    return shared


@as_root
def test_another_user_cannot_hold_a_lock(reachable: Path) -> None:
    ledger = Ledger(f"sqlite:///{reachable}/x.sqlite")
    (lock,) = [path for path in (reachable / "x.sqlite.locks").glob("*.lock") if "migration" in path.name]
    held = as_nobody("hold", lock)
    assert held.returncode != 0
    assert "PermissionError" in held.stderr
    with ledger.lock("migration", 0):
        pass
    ledger.close()


@as_root
def test_what_belongs_to_another_user_is_said(reachable: Path) -> None:
    (reachable / "theirs").write_text("x")
    (reachable / "theirs").chmod(0o644)
    said = as_nobody("keep", reachable / "theirs")
    assert said.returncode == 0, said.stderr
    assert "it belongs to another user, who decides that" in said.stderr
    # A lock folder that somebody else has put there is refused.
    (reachable / "y.sqlite.locks").mkdir(mode=0o777)
    refused = as_nobody("open", reachable / "y.sqlite")
    assert refused.returncode != 0
    assert "ConfigurationError" in refused.stderr
    assert "cannot be used" in refused.stderr or "belongs to another user" in refused.stderr


def test_narrowing_is_silent_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_private_folder(folder)
        keep_private(folder)
    assert wide(tmp_path / "a") == []
    with sqlite3.connect(folder / "x.sqlite") as file:
        file.execute("create table x (y)")


def test_a_read_only_file_system_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _mode: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    home = tmp_path / "home"
    (home / "collections").mkdir(parents=True, mode=0o755)
    home.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.warns(UserWarning, match="and 1 more, and its mode cannot be changed") as warned:
        keep_home_private(home)
    assert len(warned) == 1


@pytest.mark.thorough
def test_what_a_running_product_writes_is_private(built: Home) -> None:
    """Dagster's daemon is another program; the code that it runs, and the server, are ours."""
    widen(built.path / "ingest")
    built.edit(changes=2)
    with running_product(built) as product:
        product.start()
        product.wait(lambda: [run.is_finished for run in _runs(built)] == [True, True])
        assert product.ask("POST", "/search", query="renewal")["hits"]
        assert wide(built.path / "ingest") == []


def _runs(home: Home) -> list[dg.DagsterRun]:
    """The build, and the refresh that the sensor starts."""
    with home.instance() as instance:
        return list(instance.get_runs())


def test_a_user_without_a_home_in_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> Path:
        raise error

    (home := tmp_path / "home").mkdir()
    home.chmod(0o755)
    monkeypatch.setattr(Path, "home", lambda: fail(RuntimeError("Could not determine home directory.")))
    monkeypatch.setattr(Path, "cwd", lambda: fail(FileNotFoundError()))
    keep_home_private(home)
    assert wide(home) == []


def test_a_file_system_without_modes_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As FAT, and shares of Windows: the ledger opens, and its locks can be held."""
    monkeypatch.setattr(Path, "chmod", lambda _path, _mode: None)
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    locks = home / "ledger.sqlite.locks"
    locks.mkdir()
    os.chmod(locks, 0o777)  # noqa: PTH101 - past the file system's own
    with pytest.warns(UserWarning, match="keeps no modes"):
        assert lock_folder(home / "ledger.sqlite") == locks
