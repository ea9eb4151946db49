"""Files of JSON lines that several processes append to, for their user alone.

What belongs here: one line into one file. What does not: which file, and what is in the line.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest_assets.private import keep_private, make_private_folder

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


LOCK_S = 1.0  # that another process may hold a file; a line takes microseconds
_POLL_S = 0.01


def append_line(file: Path, record: Mapping[str, Any], *, sync: bool) -> None:
    """Append a record as one line, in one write, so that lines of several processes do not mix.

    A line that a full disk or a crash cut off is ended first. With `sync`, the record is on the disk when
    this returns. Raises OSError, also for a link or what is no file.
    """
    line = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    with opened(file) as descriptor:
        is_new = os.fstat(descriptor).st_size == 0
        # Another's line that is being written would look as if it were cut off.
        if _locked(descriptor) and not _ends_a_line(descriptor):
            line = b"\n" + line
        if (written := os.write(descriptor, line)) < len(line):
            raise OSError(f"Only {written:,} of {len(line):,} bytes could be written.")
        if sync:
            os.fsync(descriptor)
            if is_new:
                _sync_folder(file.parent)


@contextmanager
def opened(file: Path) -> Iterator[int]:
    """A file to append to, created for its user alone. Raises OSError for a link or what is no file."""
    if not file.parent.is_dir():
        make_private_folder(file.parent)
    descriptor = os.open(file, _FLAGS, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{file} is no file.")
        keep_private(file)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock an open file until it is closed; False if another process holds it for too long."""
    try:
        import fcntl
    except ImportError:  # Windows, where a line that was cut off stays with the next one
        return False
    ends = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                return False
            time.sleep(_POLL_S)  # a blocking call could not be bounded
        else:
            return True


def _ends_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on the disk, too."""
    if hasattr(os, "O_DIRECTORY"):  # not on Windows, which has no such call
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
