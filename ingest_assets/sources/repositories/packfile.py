"""Packs from a server that may be hostile: scanned in bounded memory, then indexed.

A pack of 100 MiB can inflate to 100 GB, and one object of 2 GB can be 2 MB of it. So every entry is inflated
once in small pieces, against limits, before anything else touches the pack; only then are its objects
resolved.

What belongs here: bytes of a pack. What does not: where it comes from (transport) and goes (mirror).
"""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest_assets.model import ConfigurationError, UnavailableError

_OFS_DELTA, _REF_DELTA = 6, 7
_KINDS = frozenset({1, 2, 3, 4, _OFS_DELTA, _REF_DELTA})
_STEP = 1 << 16
_HEADER, _TRAILER = 12, 20
_MAX_VARINT = 10  # bytes: no size has more than 64 bits
_DELTA_START = 2 * _MAX_VARINT
# All objects together, as a multiple of the limit for the pack: histories of text reach about 70 to 1.
_MAX_EXPANSION = 100
_MIN_ENTRY = 9  # bytes: a header and an empty zlib stream


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One entry of a pack, by its header."""

    offset: int
    kind: int
    base: int | bytes | None  # of a delta: how far back its base begins, or its base's id
    size: int  # bytes of the object


def declared_size(pack: mmap.mmap, offset: int) -> int:
    """Bytes of the object whose entry begins at `offset`, by its header or the first bytes of its delta."""
    kind, size, at = _header(pack, offset)
    if kind not in (_OFS_DELTA, _REF_DELTA):
        return size
    _, at = _base(pack, kind, at)
    start = zlib.decompressobj().decompress(pack[at : at + 256], _DELTA_START)
    return _result_size(start)


def scan(pack: mmap.mmap, max_bytes: int, check: Callable[[], None]) -> Iterator[PackEntry]:
    """Every entry, inflated against the limits. `check` is called often, and raises when the time is up.

    Raises ConfigurationError when an object, or all together, exceed the limits, UnavailableError when it is
    not a complete and valid pack.
    """
    if len(pack) < _HEADER + _TRAILER or pack[:4] != b"PACK" or pack[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
        raise UnavailableError("The server sent something that is not a pack of git objects.")
    if len(pack) > max_bytes:
        raise ConfigurationError(
            f"The repository's objects have {len(pack):,} bytes, and {max_bytes:,} are allowed for it."
        )
    count, total, at = int.from_bytes(pack[8:12]), 0, _HEADER
    if count * _MIN_ENTRY > len(pack):
        raise UnavailableError("The server sent a pack that is cut short.")
    for _ in range(count):
        check()
        entry, at = _entry(pack, at, max_bytes, check)
        total += entry.size
        if total > max_bytes * _MAX_EXPANSION:
            raise ConfigurationError(
                f"The repository's objects inflate to over {max_bytes * _MAX_EXPANSION:,} bytes: refused."
            )
        yield entry
    if at != len(pack) - _TRAILER or hashlib.sha1(pack[:at], usedforsecurity=False).digest() != pack[at:]:
        raise UnavailableError("The server sent a damaged pack: its checksum does not agree.")


def index_pack(
    path: Path,
    max_bytes: int,
    check: Callable[[], None],
    known: Callable[[bytes], tuple[int, bytes]] | None = None,
) -> Path | None:
    """Check the pack at `path`, write its index, and move both to their names beside it. None when empty.

    `known` gives the kind and content of objects that are here already, by their 20-byte ids, and raises
    KeyError for others: a server sends deltas of those. The bases that were used become part of the pack.
    `check` is called between objects and raises when the time is up. Both files are on disk before the index,
    which makes them visible, has its name.
    """
    from dulwich.errors import ApplyDeltaError
    from dulwich.object_format import SHA1
    from dulwich.pack import UnresolvedDeltas, extend_pack, write_pack_index

    try:
        entries, borrowed = _resolve(path, max_bytes, check, known)
        if not entries:
            path.unlink()
            return None
        with path.open("r+b") as file:
            checksum, extra = extend_pack(file, borrowed, known or _unknown, SHA1)
            file.flush()
            os.fsync(file.fileno())
    except (
        AssertionError, ApplyDeltaError, UnresolvedDeltas, IndexError, KeyError, ValueError, zlib.error,
    ) as error:  # fmt: skip
        raise UnavailableError("The server sent a damaged pack of git objects.") from error
    entries = sorted([*entries, *extra])
    name = hashlib.sha1(b"".join(sha for sha, _, _ in entries), usedforsecurity=False).hexdigest()
    target, index = path.with_name(f"pack-{name}.pack"), path.with_suffix(".idx")
    with index.open("wb") as out:
        write_pack_index(out, entries, checksum)
        out.flush()
        os.fsync(out.fileno())
    with suppress(PermissionError):  # Windows: the same pack exists already and is being read
        path.replace(target)
        index.replace(target.with_suffix(".idx"))
    return target


def _resolve(
    path: Path, max_bytes: int, check: Callable[[], None], known: Callable[[bytes], tuple[int, bytes]] | None
) -> tuple[list[Any], set[Any]]:
    """(id, offset, CRC) of every object of the pack, and the ids of the bases that it lacks."""
    from dulwich.object_format import SHA1
    from dulwich.pack import PackData, PackIndexer, UnpackedObject

    with PackData(path, SHA1) as data, path.open("rb") as file:
        indexer = PackIndexer(None, hashlib.sha1, resolve_ext_ref=known or _unknown, object_format=SHA1)
        indexer.set_pack_data(data)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pack:
            for entry in scan(pack, max_bytes, check):
                indexer.record(UnpackedObject(entry.kind, delta_base=entry.base, offset=entry.offset))
        entries = []
        for found in indexer:
            check()
            entries.append(found)
        if len(entries) != len(data):
            raise UnavailableError("The server sent a pack whose deltas lack their bases.")
    return entries, set(indexer.ext_refs())


def _unknown(oid: bytes) -> tuple[int, bytes]:
    raise KeyError(oid)


def _entry(pack: mmap.mmap, offset: int, max_bytes: int, check: Callable[[], None]) -> tuple[PackEntry, int]:
    kind, size, at = _header(pack, offset)
    if kind not in _KINDS:
        raise UnavailableError("The server sent a pack with an unknown kind of object.")
    base: int | bytes | None = None
    if kind in (_OFS_DELTA, _REF_DELTA):
        base, at = _base(pack, kind, at)
    _require_size(size, max_bytes)
    start, end = _inflate(pack, at, size, check)
    result = _result_size(start) if base is not None else size
    _require_size(result, max_bytes)
    return PackEntry(offset, kind, base, result), end


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ConfigurationError(
            f"The repository holds a file of {size:,} bytes, and {max_bytes:,} are allowed for all of it."
        )


def _inflate(pack: mmap.mmap, at: int, size: int, check: Callable[[], None]) -> tuple[bytes, int]:
    """The first inflated bytes, and where the zlib stream ends."""
    stream = zlib.decompressobj()
    start, seen = b"", 0
    try:
        while not stream.eof:
            piece = pack[at : at + _STEP]
            if not piece:
                raise UnavailableError("The server sent a pack that is cut short.")
            out = stream.decompress(piece, _STEP)
            at += len(piece) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)
            start = start or out[:_DELTA_START]
            seen += len(out)
            if seen > size:
                break
            if seen > _STEP:
                check()
    except zlib.error as error:
        raise UnavailableError("The server sent a damaged pack of git objects.") from error
    if seen != size:
        raise UnavailableError("The server sent a pack with an object that is not as large as it says.")
    return start, at


def _header(pack: mmap.mmap, at: int) -> tuple[int, int, int]:
    """(kind, size, where it ends): three bits of kind, then the size, low bits first, seven per byte."""
    byte = pack[at]
    kind, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        at += 1
        byte = pack[at]
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > 7 * _MAX_VARINT:
            raise UnavailableError("The server sent a damaged pack of git objects.")
    return kind, size, at + 1


def _base(pack: mmap.mmap, kind: int, at: int) -> tuple[int | bytes, int]:
    if kind == _REF_DELTA:
        return pack[at : at + 20], at + 20
    distance = -1
    for _ in range(_MAX_VARINT):  # high bits first, and each further byte adds one
        byte = pack[at]
        at += 1
        distance = ((distance + 1) << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return distance, at
    raise UnavailableError("The server sent a damaged pack of git objects.")


def _result_size(delta: bytes) -> int:
    """The second number of a delta; the first is the size of its base."""
    base_is_read, size, shift = False, 0, 0
    for byte in delta:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            if base_is_read:
                return size
            base_is_read, size, shift = True, 0, 0
    raise UnavailableError("The server sent a damaged pack of git objects.")
