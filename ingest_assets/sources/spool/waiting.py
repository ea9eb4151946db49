"""What lies in `incoming`, and what of it is whole: by names and times alone.

What belongs here: a look that is cheap enough for a sensor. What does not: taking files (`intake`).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.spool.places import SUFFIX, Spool

# Renaming a file changes the time of its inode, and not that of its content. A writer changes both to the
# same; file systems that round the two may do so differently.
_RENAMED_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in `incoming`."""

    files: int  # batches, by their names
    bytes: int
    oldest_age_s: float  # since it was put there; 0 if there is none
    whole: int  # of the files: those that can be taken now
    ignored: int  # other things, which are left alone


@dataclass(frozen=True, slots=True)
class Found:
    """One batch in `incoming`, by its name."""

    name: str
    bytes: int
    mtime_ns: int
    age_s: float  # since it was put there, or last written
    is_whole: bool


def waiting(spool: Spool) -> Waiting:
    """What waits. Raises ConfigurationError if the folder cannot be read; nothing waits if there is none."""
    files = size = whole = ignored = 0
    oldest = 0.0
    for found in look(spool):
        if found is None:
            ignored += 1
            continue
        files += 1
        size += found.bytes
        whole += found.is_whole
        oldest = max(oldest, found.age_s)
    return Waiting(files, size, oldest, whole, ignored)


def look(spool: Spool) -> Iterator[Found | None]:
    """Each thing in `incoming`; None for one that is left alone. Raises as `waiting`."""
    now = time.time()
    device = _device(spool.processing)
    try:
        with os.scandir(spool.incoming) as entries:
            for entry in entries:
                if not is_batch(entry.name):
                    yield None
                    continue
                with suppress(FileNotFoundError):  # its producer took it away
                    yield _found(entry, now, spool.quiet_s, device)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{spool.incoming} cannot be read: {error.strerror}.") from error


def is_batch(name: str) -> bool:
    """Whether a file of this name is a batch; those that begin with one dot are being written."""
    return name.endswith(SUFFIX) and (not name.startswith(".") or name.startswith(".."))


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _found(entry: os.DirEntry[str], now: float, quiet_s: float, device: int | None) -> Found | None:
    """None for what is no file, and cannot be moved to another file system. Raises FileNotFoundError."""
    about = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(about.st_mode) and about.st_dev != device:
        return None
    whole = not stat.S_ISREG(about.st_mode) or is_whole(about, now, quiet_s)
    age = abs(now - about.st_ctime)
    return Found(entry.name, about.st_size, about.st_mtime_ns, age, whole)


def is_whole(about: os.stat_result, now: float, quiet_s: float) -> bool:
    """Whether a file was renamed after it was last written, or has been quiet for long enough.

    A time in the future is that of a clock that was wrong, and as good as one in the past.
    """
    return about.st_ctime_ns - about.st_mtime_ns > _RENAMED_NS or abs(now - about.st_mtime) >= quiet_s
