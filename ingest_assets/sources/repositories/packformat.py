"""How git packs objects: the headers of entries, zlib streams, and deltas, each within a limit.

What belongs here: single entries of a pack that may be hostile or damaged; every fault is a FormatError. What
does not: a whole pack from a server (packfile), and objects by their ids (packs).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, NamedTuple

from ingest_assets.model import ContentError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
ID = 20  # bytes of an object's id
HEADER, TRAILER = 12, 20  # bytes of a pack before its first entry, and after its last
MAX_CHAIN = 4_095  # deltas of deltas: git itself cannot write more
STEP = 1 << 16
# What to do about something that is too large.
ADVICE = (
    "if you trust it, raise MAX_REPO_SIZE_GB and, for objects that need more memory, "
    "INGEST_PARSER_MEMORY_MIB; for a stream, INGEST_REPOSITORY_MAX_MIB."
)
_MAX_VARINT = 10  # bytes: no size has more than 64 bits
_ENTRY_HEADER = _MAX_VARINT + ID
_DELTA_START = 2 * _MAX_VARINT


class FormatError(Exception):
    """Bytes that are not what git writes: a hostile server, or a damaged disk."""


class EntryHeader(NamedTuple):
    """The beginning of an entry of a pack."""

    kind: int
    size: int  # bytes that its zlib stream holds
    base: int | bytes | None  # of a delta: the offset of its base, or its base's id
    data: int  # where its zlib stream begins


class PackBytes:
    """The bytes of an open file, read by position through a small window.

    Not mapped into memory: a mapped file counts as memory, and one that is cut short kills the process.
    """

    def __init__(self, file: IO[bytes], window: int) -> None:
        self._file = file
        self._window = window
        self._start, self._kept = 0, b""

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes, fewer at the end of the file."""
        if not self._start <= at or at + size > self._start + len(self._kept):
            self._file.seek(at)
            self._start, self._kept = at, self._file.read(max(size, self._window))
        return self._kept[at - self._start : at - self._start + size]


def entry_header(source: PackBytes, at: int) -> EntryHeader:
    """The header of the entry that begins at `at`. Raises FormatError."""
    start = source.read(at, _ENTRY_HEADER)
    try:
        byte = start[0]
        kind, size, shift, used = (byte >> 4) & 7, byte & 15, 4, 1
        while byte & 0x80:
            byte = start[used]
            size |= (byte & 0x7F) << shift
            shift += 7
            used += 1
            if used > _MAX_VARINT:
                raise FormatError("a size with too many digits")
        base: int | bytes | None = None
        if kind == OFS_DELTA:
            distance, used = _distance(start, used)
            if not 0 < distance <= at - HEADER:
                raise FormatError("a delta whose base is outside the pack")
            base = at - distance
        elif kind == REF_DELTA:
            base, used = start[used : used + ID], used + ID
            if len(base) != ID:
                raise FormatError("an entry that is cut short")
        elif kind not in NAMES:
            raise FormatError("an unknown kind of object")
    except IndexError:
        raise FormatError("an entry that is cut short") from None
    return EntryHeader(kind, size, base, at + used)


def _distance(start: bytes, used: int) -> tuple[int, int]:
    """How far back a base begins: high bits first, and each further byte adds one."""
    distance = -1
    for _ in range(_MAX_VARINT):
        byte = start[used]
        used += 1
        distance = ((distance + 1) << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return distance, used
    raise FormatError("a distance with too many digits")


def inflate(
    source: PackBytes,
    at: int,
    size: int,
    take: Callable[[bytes], object],
    check: Callable[[], None] = lambda: None,
    crc: int = 0,
) -> tuple[int, int]:
    """Give `take` the content of a zlib stream of exactly `size` bytes, in pieces of at most 64 KiB.

    Returns where the stream ends, and the CRC-32 of its bytes in the file, after bytes whose CRC is `crc`.
    Raises FormatError when it is damaged, or longer or shorter than `size`. `check` is called after each
    piece of a long one.
    """
    stream, seen = zlib.decompressobj(), 0
    piece = source.read(at, min(STEP, size + 64))  # so that what comes after a short stream is not copied
    try:
        while True:
            out = stream.decompress(piece, STEP)  # of an empty piece: what is left inside zlib
            if not piece and not out and not stream.eof:
                raise FormatError("a zlib stream that is cut short")
            used = len(piece) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)
            crc = zlib.crc32(piece[:used], crc)
            at, seen = at + used, seen + len(out)
            if seen > size:
                break
            take(out)
            if stream.eof:
                break
            check()
            piece = source.read(at, STEP)
    except zlib.error as error:
        raise FormatError("a damaged zlib stream") from error
    if seen != size:
        raise FormatError("an object that is not as large as it says")
    return at, crc


def content_of(source: PackBytes, header: EntryHeader, check: Callable[[], None] = lambda: None) -> bytes:
    """What an entry's zlib stream holds. Takes up to twice its size of memory for a moment."""
    pieces: list[bytes] = []
    inflate(source, header.data, header.size, pieces.append, check)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def result_size(source: PackBytes, header: EntryHeader) -> int:
    """Bytes of the object that an entry stands for; of a delta, only its beginning is inflated."""
    if header.base is None:
        return header.size
    try:
        start = zlib.decompressobj().decompress(source.read(header.data, 256), _DELTA_START)
    except zlib.error as error:
        raise FormatError("a damaged zlib stream") from error
    return delta_sizes(start)[1]


def delta_sizes(delta: bytes) -> tuple[int, int]:
    """Bytes of a delta's base and of its result, as its first bytes declare them. Raises FormatError."""
    sizes, size, shift = [], 0, 0
    for byte in delta[:_DELTA_START]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            sizes.append(size)
            if len(sizes) == 2:  # noqa: PLR2004 - the base's and the result's
                return sizes[0], sizes[1]
            size, shift = 0, 0
    raise FormatError("a delta without sizes")


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """The object that a delta makes of its base. Raises FormatError.

    The caller has compared the size that the delta declares with its limit: as much memory is reserved.
    """
    from dulwich.errors import ApplyDeltaError
    from dulwich.pack import apply_delta as applied

    try:
        pieces = applied(base, delta)
    except (ApplyDeltaError, MemoryError) as error:
        raise FormatError("a delta that does not fit its base") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def id_digest(kind: int, size: int) -> Hash:
    """What becomes an object's id when it is updated with the content."""
    return hashlib.sha1(b"%s %d\0" % (NAMES[kind], size), usedforsecurity=False)


def id_of(kind: int, content: bytes) -> bytes:
    """The 20 bytes of an object's id."""
    digest = id_digest(kind, len(content))
    digest.update(content)
    return digest.digest()


def too_large(what: str, needed: int, allowed: int) -> ContentError:
    """The refusal of something that a larger limit would allow."""
    return ContentError(f"The repository {what} {needed:,} bytes, and {allowed:,} are allowed: {ADVICE}")
