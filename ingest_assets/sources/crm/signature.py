"""A cheap token that changes with every commit to an SQLite file, whoever makes it, read without a lock.

It is made of what every commit must change, and costs a few system calls however large the file is:

- Rollback journal: each commit raises the change counter in the first 100 bytes of the main file, so two
  commits of the same size within one tick of the clock differ.
- WAL: each commit appends frames. That moves mxFrame and the checksum in the wal-index header (-shm), or,
  when the log restarts, the salts in it and in the header of the log. A reader changes none of these;
  a log of 0 bytes is as good as none, and so is its index.
- A server that opens, commits and closes leaves neither log nor index, and its checkpoint need not touch
  the first 100 bytes. Then the modification time decides, and it is only trusted once the clock has moved
  past its tick (git treats its index the same way): until then we wait, 20 ms at most.

A checkpoint may change the token though nothing was committed: one read too many, never one too few. A file
whose times are coarser than 20 ms, on some network shares, is covered by the first two points only.

What belongs here: the token, and reading bytes of a database file without harming its locks.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

from ingest_assets.model import digest_of

_MAIN_HEADER = 100
_WAL_HEADER = 32
_INDEX_STATE = slice(16, 40)  # of the wal-index header: mxFrame, nPage, aFrameCksum, aSalt
_INDEX_HEADER = 48
_TICK_NS = 20_000_000  # kernels stamp files with a clock of 1 to 10 ms
_ATTEMPTS = 3

# Closing any descriptor of a file drops every POSIX lock that this process holds on it, including those of
# open SQLite connections (sqlite.org/howtocorrupt.html, 2.2). So ours stay open until the file is deleted.
_descriptors: dict[tuple[int, int], int] = {}  # by device and inode
_descriptors_lock = threading.Lock()


def file_signature(path: Path) -> str | None:
    """Equal tokens, equal content. Take it before reading, never after. None when the file cannot be read.

    Waits up to about 60 ms when the file was changed just now.
    """
    try:
        # SQLite keeps the log beside the file itself, not beside a link to it.
        real = Path(os.path.realpath(path, strict=True))
        for _ in range(_ATTEMPTS):
            state, changed_at = _state(real)
            age = time.time_ns() - changed_at
            if not 0 <= age < _TICK_NS:
                return digest_of(*state)
            time.sleep((_TICK_NS - age) / 1e9)  # a change after this look then has a later time
        return digest_of(*state, str(time.time_ns()))  # it keeps changing: a token that equals no other
    except OSError:
        return None


def read_start(path: Path, size: int) -> bytes:
    """The first bytes of a regular file, without disturbing locks on it. Raises OSError."""
    return _read_at(_descriptor(path), size, 0)


def copy_file(path: Path, target: Path) -> None:
    """The bytes of a file as they are, without disturbing locks on it. Raises OSError."""
    descriptor = _descriptor(path)
    offset = 0
    with target.open("wb") as out:
        while block := _read_at(descriptor, 1 << 20, offset):
            out.write(block)
            offset += len(block)


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _descriptors_lock:  # Windows: the file position belongs to the descriptor, which threads share
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


def beside(path: Path, suffix: str) -> Path:
    """A file that SQLite keeps next to the main one: "-wal", "-shm" or "-journal"."""
    return path.with_name(path.name + suffix)


def size_of(path: Path) -> int:
    """Bytes; 0 when there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _state(real: Path) -> tuple[list[str | bytes], int]:
    """What a commit changes, and when the latest change was written (ns)."""
    main = real.stat()
    # The change time too: a copy that preserves the modification time (cp -p) cannot set it.
    times = f"{main.st_mtime_ns} {main.st_ctime_ns}"
    state: list[str | bytes] = [f"{main.st_ino} {main.st_size} {times}", read_start(real, _MAIN_HEADER)]
    changed_at = max(main.st_mtime_ns, main.st_ctime_ns)
    log, index = beside(real, "-wal"), beside(real, "-shm")
    try:
        wal = log.stat()
        if wal.st_size:
            with log.open("rb", buffering=0) as file:  # may be closed: SQLite puts no locks on the log
                state += [f"{wal.st_size} {wal.st_mtime_ns}", file.read(_WAL_HEADER)]
            changed_at = max(changed_at, wal.st_mtime_ns)
            state.append(read_start(index, _INDEX_HEADER)[_INDEX_STATE])
    except FileNotFoundError:
        state.append("no log")  # or no index, as after a crash
    return state, changed_at


def _descriptor(path: Path) -> int:
    """A descriptor of the file that is at `path` now, opened once and kept."""
    with _descriptors_lock:
        for key, descriptor in list(_descriptors.items()):
            if os.fstat(descriptor).st_nlink == 0:  # deleted: it can no longer be opened, or locked
                os.close(_descriptors.pop(key))
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a regular file")
        key = (found.st_dev, found.st_ino)
        if key not in _descriptors:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
            opened = os.fstat(descriptor)
            key = (opened.st_dev, opened.st_ino)  # it may have been replaced between the two calls
            if key in _descriptors:
                return _descriptors[key]  # ours stays open too: closing it would drop the locks
            _descriptors[key] = descriptor
        return _descriptors[key]
