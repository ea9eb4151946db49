"""The confined processes of one workbench, and the temporary folders that they get.

Each process has a folder of its own below INGEST_HOME, which is removed when the process ends. A run that was
killed leaves its folders; the next start finds that nobody holds their locks any more, and removes them. So
no copy of anyone's data stays behind, and none lies in a folder that others can list.

What belongs here: temporary folders and who holds them. What does not: the processes themselves.
"""

from __future__ import annotations

import secrets
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.model import UnavailableError
from ingest_assets.private import make_private_folder
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sandbox.process import Confined

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = ".lock"


class Sandbox:
    """Starts confined processes, with `limits` if nothing else is said. Safe to share between threads."""

    def __init__(self, home: Path, limits: Limits | None = None) -> None:
        """`home` is the folder for temporary folders; it is created when first needed."""
        self.limits = limits or Limits()
        self._home = home
        self._cleaned = False
        self._open: weakref.WeakSet[Child] = weakref.WeakSet()

    @contextmanager
    def child(
        self, task: object, what: str, grants: Grants | None = None, limits: Limits | None = None
    ) -> Iterator[Confined]:
        """A process for the duration of the block."""
        held = self.start(task, what, grants, limits)
        try:
            yield held.process
        finally:
            held.close()

    def start(
        self, task: object, what: str, grants: Grants | None = None, limits: Limits | None = None
    ) -> Child:
        """A process that ends when it is closed, at the latest together with this sandbox."""
        held = Child(self._folder(), task, what, grants or Grants(), limits or self.limits)
        self._open.add(held)
        return held

    def close(self) -> None:
        """End every process that is still there."""
        for held in list(self._open):
            held.close()

    def _folder(self) -> Path:
        """The name of a folder that does not exist yet."""
        try:
            make_private_folder(self._home)
        except OSError as error:
            raise _unusable(self._home, error) from error
        if not self._cleaned:
            self._cleaned = True
            remove_left_over(self._home)
        return self._home / f"parser-{secrets.token_hex(8)}"


class Child:
    """A process, its temporary folder, and the lock that says that somebody still uses the folder."""

    def __init__(self, folder: Path, task: object, what: str, grants: Grants, limits: Limits) -> None:
        from filelock import FileLock

        # Beside the folder: the process may write into the folder, and must not be able to end the lock. Held
        # before the folder is there, so that nobody takes the folder for one that was left over.
        self._lock: BaseFileLock = FileLock(f"{folder}{_LOCK}", mode=0o600)
        try:
            self._lock.acquire(timeout=0)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _unusable(folder.parent, error) from error
        self._end: weakref.finalize[..., Child] = weakref.finalize(self, _remove, folder, self._lock)
        try:
            self.process = Confined(task, what, folder, grants, limits)
        except BaseException:
            self._end()
            raise
        self._end.detach()
        self._end = weakref.finalize(self, _end, self.process, folder, self._lock)

    def close(self) -> None:
        """End the process, and remove its folder."""
        self._end()


def remove_left_over(home: Path) -> None:
    """Remove the folders of processes whose parent is gone."""
    from filelock import FileLock, Timeout

    for held in home.glob(f"parser-*{_LOCK}"):
        lock = FileLock(held, mode=0o600)
        # A lock that is held, or that its owner removes at this moment, is in use.
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
            _remove(held.with_suffix(""), lock)


def _unusable(home: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"No temporary folder can be created in {home}: {error.strerror}. Check INGEST_HOME."
    )


def _end(process: Confined, folder: Path, lock: BaseFileLock) -> None:
    process.close()
    _remove(folder, lock)


def _remove(folder: Path, lock: BaseFileLock) -> None:
    """Remove the folder, then its lock; what cannot be removed keeps its lock, for a later start."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        with suppress(OSError):
            _remove_by_level(folder)
    lock.release()
    if not folder.exists():
        Path(f"{folder}{_LOCK}").unlink(missing_ok=True)


def _remove_by_level(folder: Path) -> None:
    """Remove folders that are nested thousands deep, or may not be entered: each moves up first."""
    while inner := [each for each in folder.iterdir() if _is_folder(each)]:
        for each in inner:
            each.chmod(0o700)
            for below in list(each.iterdir()):
                if _is_folder(below):
                    below.chmod(0o700)
                    below.rename(folder / secrets.token_hex(8))
                else:
                    below.unlink()
            each.rmdir()
    shutil.rmtree(folder)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
