"""Opening the files of a repository: of our own anywhere, of others' only in the allowed folders.

Whoever may write to a repository can put links into it, at any moment. So a path is resolved, what it leads
to must be in an allowed folder, and is then opened step by step from that folder without following links: a
link that appears in between leads nowhere. What is outside is refused in the same words whether it exists or
not.

What belongs here: opening and listing. What does not: which files a repository has (local, objects).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from ingest_assets.sources.addresses import NotAllowedError

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_READ = os.O_RDONLY | _BINARY | getattr(os, "O_CLOEXEC", 0)
# Not blocking: opening a pipe could wait forever.
_STEP = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# Through a folder: where the system can, also one that may be entered and not listed.
_THROUGH = getattr(os, "O_PATH", _READ) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_CLOSED = -1  # is no handle: the number of one that was closed may soon be that of another
_BY_STEPS = os.open in os.supports_dir_fd and bool(getattr(os, "O_NOFOLLOW", 0))


class Files(Protocol):
    """How the files of a repository are reached. All raise OSError for what is not there."""

    def open(self, path: Path) -> IO[bytes]:
        """A regular file, for reading, unbuffered."""
        ...

    def names(self, path: Path) -> list[str]:
        """What is in a folder."""
        ...

    def folder(self, path: Path) -> Path:
        """An existing folder, with links resolved."""
        ...

    def is_file(self, path: Path) -> bool: ...


class Machine:
    """The files of our own mirrors: any path."""

    def open(self, path: Path) -> IO[bytes]:
        return path.open("rb", buffering=0)

    def names(self, path: Path) -> list[str]:
        return os.listdir(path)  # noqa: PTH208 - as `Inside` does

    def folder(self, path: Path) -> Path:
        return path.resolve(strict=True)

    def is_file(self, path: Path) -> bool:
        return path.is_file()


MACHINE = Machine()


class Inside:
    """Files in the allowed folders. What leads out of them is a NotAllowedError."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self._roots = tuple(Path(os.path.realpath(root)) for root in roots)
        self._held: int | None = None

    @classmethod
    @contextmanager
    def held(cls, folder: Path) -> Iterator[Inside]:
        """Files in one folder, given with links resolved, which is opened once: all are reached from there.

        So a link that takes the place of the folder, or of one above it, leads nowhere either.
        Raises OSError, and NotAllowedError if there is a link now.
        """
        inside = cls((folder,))
        if inside._roots != (folder,):
            raise outside()
        inside._held = _opened_by_steps(Path(folder.anchor), folder, _THROUGH) if _BY_STEPS else None
        try:
            yield inside
        finally:
            if inside._held is not None:
                os.close(inside._held)
                inside._held = _CLOSED

    def resolve(self, path: Path) -> Path:
        """The path with links resolved, whether or not there is anything."""
        return self._resolve(path)[1]

    def open(self, path: Path) -> IO[bytes]:
        handle = self._handle(path)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(handle, "rb", buffering=0)

    def names(self, path: Path) -> list[str]:
        if not _BY_STEPS:
            return os.listdir(self.resolve(path))  # noqa: PTH208
        handle = self._handle(path)
        try:
            return os.listdir(handle)  # noqa: PTH208 - a handle
        finally:
            os.close(handle)

    @contextmanager
    def scan(self, path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        """What is in a folder, entry by entry."""
        handle = self._handle(path) if _BY_STEPS else None
        try:
            with os.scandir(self.resolve(path) if handle is None else handle) as entries:
                yield entries
        finally:
            if handle is not None:
                os.close(handle)

    def folder(self, path: Path) -> Path:
        real = self.resolve(path)
        if not stat.S_ISDIR(os.lstat(real).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return real

    def is_file(self, path: Path) -> bool:
        return self._is(path, stat.S_ISREG)

    def is_folder(self, path: Path) -> bool:
        return self._is(path, stat.S_ISDIR)

    def _is(self, path: Path, kind: object) -> bool:
        real = self.resolve(path)
        try:
            return bool(kind(os.lstat(real).st_mode))  # type: ignore[operator]
        except (OSError, ValueError):
            return False

    def _resolve(self, path: Path) -> tuple[Path, Path]:
        """The allowed folder, and the path in it."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):  # such as a name with "\0"
            raise outside() from None
        for root in self._roots:
            if real.is_relative_to(root):
                return root, real
        raise outside()

    def _handle(self, path: Path) -> int:
        """Of a file or a folder; opened from the allowed folder down, without following links."""
        root, real = self._resolve(path)
        if not _BY_STEPS:
            # Windows: links can only be made there with a privilege, and no handle of a folder can be opened.
            handle = os.open(real, _READ)
            if Path(os.path.realpath(real)) != real:
                os.close(handle)
                raise outside()
            return handle
        return _opened_by_steps(root, real, _READ, self._held)


def _opened_by_steps(root: Path, path: Path, how: int, held: int | None = None) -> int:
    """A handle of `path`, from the folder `root` down, or from the handle that is held of it."""
    parts = path.relative_to(root).parts
    if not parts:
        return os.open(root, how) if held is None else os.open(".", how, dir_fd=held)
    above = os.open(root, _THROUGH) if held is None else os.dup(held)
    for i, part in enumerate(parts, 1):
        try:
            handle = os.open(part, (_THROUGH if i < len(parts) else how) | _STEP, dir_fd=above)
        except OSError as error:
            if error.errno == errno.ELOOP:  # it became a link after it was resolved
                raise outside() from None
            raise
        finally:
            os.close(above)
        above = handle
    return above


def outside() -> NotAllowedError:
    """The same for what exists and what does not: nobody learns from it what is there."""
    return NotAllowedError(
        "The local repository is outside the folders that are allowed, or a link in it leads out of them."
    )
