"""Where batches are on disk: the folders of the spool, who may write them, their lock, and moving files.

    incoming/     producers write here, beside the final name, and rename; whoever may, may
    processing/   claimed by us, and on the way into the index, or waiting at a gate
    archive/      in the index
    failed/       not in the index, each with a note beside it
    .spool.lock   locked while files are claimed and moved

What belongs here: folders and moves. What does not: what is in files (`intake`), or what becomes of a batch.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.spool.settings import SpoolSettings

SUFFIX = ".msgpack"
LOCK_WAIT_S = 600.0
DRAFT = ".tmp"
# What is refused because of the file: its owner, that it is no file and would have to be copied, or its size,
# where there is room for a smaller one.
_OF_THE_FILE = {
    *(errno.EPERM, errno.EACCES, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EBUSY),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
}
PIECE = 1 << 20  # bytes that are read together
_RETRY_S = 0.05
_HAS_MODES = os.name != "nt"
# What flock says where there is none: NFS without a lock server, some network and user-space file systems.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class NotMovableError(UnavailableError):
    """One file cannot be moved; others may be."""


class BeingWrittenError(UnavailableError):
    """A file was written to while it was copied."""


@dataclass(frozen=True, slots=True)
class Spool:
    """The folders below one root, absolute. `quiet_s` is how long a file has to be quiet to be whole."""

    root: Path
    quiet_s: float = 5.0

    @classmethod
    def of(cls, settings: SpoolSettings) -> Spool:
        """That of the settings; not created. Raises ConfigurationError if they name none."""
        if settings.spool_dir is None:
            raise ConfigurationError(
                "SPOOL_DIR is not set. Set it to the folder that producers write their batches to."
            )
        return cls(settings.spool_dir.expanduser().absolute(), settings.spool_quiet_s)

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def processing(self) -> Path:
        return self.root / "processing"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def failed(self) -> Path:
        return self.root / "failed"

    @property
    def ours(self) -> tuple[Path, ...]:
        """The folders that nobody else writes."""
        return self.processing, self.archive, self.failed

    def prepare(self) -> None:
        """Create what is missing, for this user alone. Cheap when all is there.

        Raises ConfigurationError for a folder that others can write, that leads elsewhere, or that cannot be
        used.
        """
        for folder in (self.root, self.incoming, *self.ours):
            try:
                folder.mkdir(mode=0o700, parents=folder == self.root, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(
                    f"The folder {folder} of the spool cannot be created: {error.strerror}. Set SPOOL_DIR to "
                    "a folder that can be written."
                ) from error
            fault = self._fault(folder)
            if fault:
                raise ConfigurationError(fault)

    def faults(self) -> Iterator[str]:
        """What is wrong with the folders that there are, a sentence each."""
        for folder in (self.root, self.incoming, *self.ours):
            if os.path.lexists(folder) and (fault := self._fault(folder)):
                yield fault

    def _fault(self, folder: Path) -> str:
        try:
            about = folder.lstat() if folder in self.ours else folder.stat()
        except OSError as error:
            return f"The folder {folder} of the spool cannot be read: {error.strerror}."
        if not stat.S_ISDIR(about.st_mode):
            return f"{folder} is not a folder, or a link to one. Put a folder in its place."
        if _HAS_MODES and (fault := self._open_to_others(folder, about)):
            return fault
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return f"{folder} cannot be written by this user. Change its mode, or its owner."
        return ""

    def _open_to_others(self, folder: Path, about: os.stat_result) -> str:
        """Who else can write a folder. `incoming` may be that of a group of producers."""
        others = stat.S_IWOTH if folder == self.incoming else stat.S_IWOTH | stat.S_IWGRP
        if about.st_mode & others:
            who = "Everybody" if about.st_mode & stat.S_IWOTH else "Its group"
            right = "o-w" if folder == self.incoming else "go-w"
            if folder == self.root and about.st_mode & stat.S_ISVTX:  # such as /tmp, which is as it should be
                return f"{folder} is everybody's. Set SPOOL_DIR to one of its own, such as {folder}/spool."
            return f"{who} can write {folder}, and put in or take out batches. Run: chmod {right} '{folder}'"
        if about.st_mode & stat.S_ISVTX and os.geteuid() not in {about.st_uid, 0}:
            return f"{folder} is another user's, and lets only owners move files. Run: chmod -t '{folder}'"
        if folder in self.ours and about.st_uid not in {os.geteuid(), 0}:
            return f"{folder} belongs to another user, who can change what is in it. Make it this user's."
        return ""

    @contextmanager
    def lock(self, wait_s: float = LOCK_WAIT_S, check: Callable[[], None] | None = None) -> Iterator[None]:
        """Be the only one that claims and moves files. The system lets go of it when a process dies.

        `check` is called now and then while another one has it, and may raise to give up. Raises
        UnavailableError if it cannot be had in `wait_s` seconds, ConfigurationError where there are no locks.
        """
        fcntl = _fcntl()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.root / ".spool.lock", flags, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"The lock of {self.root} cannot be opened: {error.strerror}."
            ) from error
        try:
            self._acquire(descriptor, time.monotonic() + wait_s, check)
            yield
        finally:
            # Closing alone would leave the lock with a process that was forked meanwhile.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _acquire(self, descriptor: int, deadline: float, check: Callable[[], None] | None) -> None:
        fcntl = _fcntl()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                raise ConfigurationError(
                    f"The file system of {self.root} has no locks ({error.strerror}). Put SPOOL_DIR on a "
                    "local disk, or on a network file system with flock."
                ) from error
            else:
                return
            if check is not None:
                check()
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"Another process is moving files in {self.root} and holds its lock. Try again later."
                )
            time.sleep(_RETRY_S)

    def move(self, name: str, source: Path, target: Path, as_name: str | None = None) -> str:
        """Move a file into a folder of ours, and return its name there: another one if that is taken.

        It is in one of the two folders at any moment, also after a crash; in both, with the same content, if
        they are on different file systems. The caller holds the lock, so that nobody else writes the target.
        Raises FileNotFoundError; UnavailableError for anything else, which changes nothing.
        """
        free = free_name(as_name or name, target)
        self.place(name, source, target, free)
        with moving(target / free):
            sync_folder(target)
            sync_folder(source)
        return free

    def place(self, name: str, source: Path, target: Path, free: str) -> None:
        """Move a file to a name that is free. Only when the folders are synced the move outlasts a power cut.

        Raises as `move`: NotMovableError if it is about this file, BeingWrittenError if it is not whole.
        """
        with moving(source / name):
            if not _renamed(source / name, target / free):
                _copy(source / name, target / free)

    def remove_drafts(self) -> None:
        """Remove copies that a crash left incomplete."""
        for folder in self.ours:
            for draft in folder.glob(f".*{DRAFT}"):
                draft.unlink(missing_ok=True)


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError as error:
        raise ConfigurationError(
            "This system has no flock, which keeps two processes out of one spool. Use Linux or macOS."
        ) from error
    return fcntl


@contextmanager
def moving(what: Path) -> Iterator[None]:
    """Turns what a file system refuses into a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        kind = NotMovableError if error.errno in _OF_THE_FILE else UnavailableError
        raise kind(
            f"{what.name!a} cannot be moved in the spool: {error.strerror}. It is where it was. Make room or "
            "set the permissions, and run it again."
        ) from error


def remove_thing(path: Path) -> None:
    """Delete a file, or what a producer put in its place; no link is followed. Raises UnavailableError."""
    with moving(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def free_name(name: str, *folders: Path) -> str:
    """The name, or the name with eight hex digits if it is taken in one of the folders."""
    free = name
    while any(os.path.lexists(folder / free) for folder in folders):
        free = another_name(name)
    return free


def another_name(name: str) -> str:
    """The name with eight hex digits."""
    stem = name.removesuffix(SUFFIX)
    return f"{stem}.{secrets.token_hex(4)}{name[len(stem) :]}"


def open_regular(path: Path) -> IO[bytes]:
    """A file for reading. Raises OSError: ELOOP for a link, EINVAL for what is no file; waits for nobody."""
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode):
        _require_regular(mode, path)  # before it is opened: some devices act on that
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=0)


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))


def is_regular(path: Path) -> bool:
    """Whether it is a file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _renamed(source: Path, target: Path) -> bool:
    """Whether it could be renamed; not if the two are on different file systems."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    """Copy a file beside its new place, put it there, and remove the old one, unless it changed meanwhile."""
    draft = target.with_name(f".{secrets.token_hex(8)}{DRAFT}")
    try:
        with open_regular(source) as old:
            before = os.fstat(old.fileno())
            # Asked first, so that many large files which find no room cost no time.
            if shutil.disk_usage(target.parent).free < before.st_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with draft.open("xb") as new:
                while piece := old.read(PIECE):
                    new.write(piece)
                new.flush()
                os.fsync(new.fileno())
            after = os.fstat(old.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise BeingWrittenError(f"{source.name!a} was written to while it was copied.")
        os.utime(draft, ns=(after.st_atime_ns, after.st_mtime_ns))
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(target.parent)
    source.unlink()
