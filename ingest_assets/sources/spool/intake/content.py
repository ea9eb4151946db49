"""The bytes of a file: read once, bounded, and the digest of them; and what stands for what is not read.

What belongs here: bytes. What does not: what they mean (`reading`).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from typing import IO

from ingest_assets.model import digest_of
from ingest_assets.sandbox.limits import MIB
from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.stream import PIECE


class Content:
    """The bytes of an open file, `most` of them, read once, and their digest."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most
        self._hash = hashlib.blake2b(digest_size=16)
        self._size = 0
        self.is_read = False  # to its end

    def require_size(self, size: int) -> None:
        """Raises BatchError if there are, or would be, more bytes than may be."""
        if size > self._most:
            raise BatchError(
                f"It has {size / MIB:,.1f} MiB; {self._most // MIB:,} are the most (SPOOL_MAX_FILE_MIB)."
            )

    def pieces(self) -> Iterator[tuple[bytes, bool]]:
        """Each piece, and whether it is the last."""
        piece = self._read()
        while piece:
            self.require_size(self._size)
            following = self._read()
            yield piece, not following
            piece = following

    def finish(self) -> None:
        """Read what is left, for the digest, unless there is too much."""
        while os.fstat(self._file.fileno()).st_size <= self._most and self._read():
            pass

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def has_changed(self, before: os.stat_result) -> bool:
        """Whether the file is another one than before."""
        now = os.fstat(self._file.fileno())
        return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)

    def _read(self) -> bytes:
        piece = self._file.read(PIECE)
        self._hash.update(piece)
        self._size += len(piece)
        self.is_read = not piece
        return piece


def stand_in(about: os.stat_result) -> str:
    """Stands for the digest of what is not read."""
    return digest_of(repr((about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns)))


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, as a sentence."""
    if error.errno == errno.ELOOP:
        return "It is a link. Put the file itself into the spool."
    if error.errno in {errno.EINVAL, errno.ENXIO}:
        return "It is not a file."
    return f"It cannot be read: {error.strerror}."
