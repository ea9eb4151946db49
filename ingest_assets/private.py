"""Files that only the user who runs this may read: state holds the texts of a company's systems.

What belongs here: creating and narrowing our own files and folders. What does not: which ones are ours, which
those who open them say. A folder that is shared with others, or is somebody's home or a checkout, is never
passed to `keep_private`. On Windows, where a profile's folders are private by themselves, nothing is changed.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MINE = 0o700
_HAS_MODES = os.name != "nt"


def create_private_by_default() -> None:
    """What this process and its children write from now on, only its user may read. For entry points."""
    if _HAS_MODES:
        os.umask(_OTHERS)


def make_private_folder(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for this user alone; narrow one that is there.

    Raises OSError.
    """
    missing = [each for each in folder.parents if not each.exists()]
    for each in (*reversed(missing), folder):
        each.mkdir(mode=_MINE, exist_ok=True)
    keep_private(folder)


def make_private_file(file: Path) -> None:
    """Create an empty file for this user alone; narrow one that is there. Raises OSError."""
    if not _HAS_MODES:
        return
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    keep_private(file)


def keep_private(path: Path) -> None:
    """Take everybody else's rights away from a file, or from a folder and all that is in it.

    One look, if there is nothing to take. Warns, once, where that is impossible: the owner is somebody else,
    or the file system is read-only. Links are not followed, except `path` itself. Does nothing if there is
    no such path.
    """
    if not (_HAS_MODES and _is_wide(path)):
        return
    refused = [(each, why) for each in (*_within(path), path) if (why := _narrow(each))]
    if refused:
        first, why = refused[0]
        more = f" and {len(refused) - 1:,} more" if len(refused) > 1 else ""
        warnings.warn(f"Others may read {first}{more}, and {why}.", stacklevel=2)


def is_ours_alone(folder: Path) -> bool:
    """Whether no other user, except the superuser, may enter a folder, as far as its file system says."""
    if not _HAS_MODES:
        return True
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), 0}:
        return False
    return not found.st_mode & _OTHERS or not _keeps_modes(folder)


def _keeps_modes(folder: Path) -> bool:
    """Whether a folder of ours has the mode that it is given: one on FAT or a share of Windows has not."""
    folder.chmod(_MINE)
    return not folder.stat().st_mode & _OTHERS


def _is_wide(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _within(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if not (Path(place) / name).is_symlink():
                yield Path(place) / name


def _narrow(path: Path) -> str:
    """Why others' rights cannot be taken away; "" if there are none any more."""
    try:
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
            if path.stat().st_mode & _OTHERS:
                return "its file system keeps no modes: whoever can mount it decides"
    except FileNotFoundError:
        return ""  # deleted meanwhile
    except PermissionError:
        return "it belongs to another user, who decides that"
    except OSError as error:
        return f"its mode cannot be changed ({error.strerror})"
    return ""


def keep_home_private(home: Path) -> None:
    """Narrow the folder of all state, unless it is one that others need: a user's home, a checkout, /tmp.

    What is in such a folder is narrowed by those who open it.
    """
    if home.is_dir() and not _is_shared(home.resolve()):
        keep_private(home)


def _is_shared(folder: Path) -> bool:
    return (
        any(place.is_relative_to(folder) for place in _in_use())
        or bool(folder.stat().st_mode & stat.S_ISVTX)
        or any((folder / mark).exists() for mark in (".git", ".hg", "pyproject.toml"))
    )


def _in_use() -> Iterator[Path]:
    with suppress(OSError):  # it was deleted
        yield Path.cwd()
    with suppress(RuntimeError):  # a container's user may have none
        yield Path.home()
    yield Path(tempfile.gettempdir()).resolve()
