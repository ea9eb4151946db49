"""Packs from a server that may be hostile: checked and indexed in bounded memory and work.

A pack of 100 MiB can inflate to 100 GB, and a chain of small deltas can make thousands of large objects. So
every entry is first inflated once in small pieces, against limits; only then are deltas applied, from each
base down, and no more is held at once than the limit allows for the whole repository.

What belongs here: a whole pack, and its index. What does not: single entries (packformat), applying deltas
(deltas), where a pack comes from (transport) and goes (mirror).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ingest_assets.model import ContentError, UnavailableError
from ingest_assets.sources.repositories import packformat as form
from ingest_assets.sources.repositories.deltas import Entries, resolve, sorted_ids
from ingest_assets.sources.repositories.packformat import ADVICE, FormatError, PackBytes, too_large

if TYPE_CHECKING:
    from numpy.typing import NDArray

# All objects together, as a multiple of the limit for the pack: histories of text reach about 70 to 1.
_MAX_EXPANSION = 100
# Bytes of a pack for each of its objects, at least: histories have 100 and more. What is known of an object
# takes about as much memory.
_PER_OBJECT = 64
_MIN_ENTRY = 9  # bytes: a header and an empty zlib stream
_LARGE_OFFSET = 1 << 31


def index_pack(
    path: Path,
    max_bytes: int,
    check: Callable[[], None],
    known: Callable[[bytes], tuple[int, bytes]] | None = None,
    held_bytes: int | None = None,
) -> Path | None:
    """Check the pack at `path`, write its index, and move both to their names beside it. None when empty.

    `known` gives the kind and content of objects that are here already, by their 20-byte ids, and raises
    KeyError for others: a server sends deltas of those. The bases that were used become part of the pack.
    `check` is called between objects and raises when the time is up. Both files are on disk before the index,
    which makes them visible, has its name.

    Holds up to `held_bytes` of the contents of objects at once, by default as many as the pack may have, and
    takes less than twice as much memory. Raises ConfigurationError when the pack, an object that has to be
    held, or all objects exceed the limits, MissingBaseError if a delta's base is neither there nor known,
    UnavailableError when it is not a complete and valid pack.
    """
    held = held_bytes or max_bytes
    try:
        with path.open("rb", buffering=0) as file:
            entries = _scan(file, max_bytes, held, check)
            if entries is not None:
                work = 2 * max_bytes * _MAX_EXPANSION  # bytes: what is made again, too, counts
                borrowed = resolve(PackBytes(file, 1 << 12), entries, known, held, work, check)
    except FormatError as error:
        raise UnavailableError(f"The server sent a damaged pack of git objects: {error}.") from error
    if entries is None:
        path.unlink()
        return None
    checksum = _complete(path, entries, borrowed, known)
    order = sorted_ids(entries.ids)
    name = hashlib.sha1(usedforsecurity=False)
    for part in _ids_in(order, entries.ids):
        name.update(part)
    target, index = path.with_name(f"pack-{name.hexdigest()}.pack"), path.with_suffix(".idx")
    with index.open("wb") as out:
        _write_index(out, entries, order, checksum)
        out.flush()
        os.fsync(out.fileno())
    with suppress(PermissionError):  # Windows: the same pack exists already and is being read
        path.replace(target)
        index.replace(target.with_suffix(".idx"))
    return target


def _scan(file: IO[bytes], max_bytes: int, held: int, check: Callable[[], None]) -> Entries | None:
    """Every entry, inflated against the limits; of whole objects also their ids. None when there are none."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(form.HEADER)
    if size < form.HEADER + form.TRAILER or start[:4] != b"PACK" or start[4:8] not in (
        b"\0\0\0\2", b"\0\0\0\3",
    ):  # fmt: skip
        raise UnavailableError("The server sent something that is not a pack of git objects.")
    if size > max_bytes:
        raise too_large("has objects of", size, max_bytes)
    count, end = int.from_bytes(start[8:12]), size - form.TRAILER
    if count * _MIN_ENTRY > size:
        raise FormatError("it is cut short")
    if count > held // _PER_OBJECT:
        raise ContentError(
            f"The repository has {count:,} objects, and {held // _PER_OBJECT:,} are allowed: {ADVICE}"
        )
    entries = Entries(count, _checksum(file, end, check))
    source, at, total = PackBytes(file, form.STEP), form.HEADER, 0
    for i in range(count):
        check()
        at, inflated = _entry(source, entries, i, at, max_bytes, held, check)
        total += inflated
        if total > max_bytes * _MAX_EXPANSION:
            raise too_large("has objects that inflate to over", total, max_bytes * _MAX_EXPANSION)
    if at != end:
        raise FormatError("it is longer than its entries")
    return entries if count else None


def _checksum(file: IO[bytes], end: int, check: Callable[[], None]) -> bytes:
    """The pack's checksum, which must be that of its bytes: what was damaged on its way is found here."""
    digest = hashlib.sha1(usedforsecurity=False)
    file.seek(0)
    left = end
    while left and (piece := file.read(min(form.STEP, left))):
        digest.update(piece)
        left -= len(piece)
        check()
    trailer = file.read(form.TRAILER)
    if digest.digest() != trailer:
        raise FormatError("its checksum does not agree")
    return trailer


def _entry(
    source: PackBytes,
    entries: Entries,
    i: int,
    at: int,
    max_bytes: int,
    held: int,
    check: Callable[[], None],
) -> tuple[int, int]:
    """Check one entry and note it. Returns where it ends, and the bytes of its object."""
    header = form.entry_header(source, at)
    # A file that is packed as it is need not be held: one that is larger than what is read is left out.
    _require_size(header.size, max_bytes if header.kind == form.BLOB else held)
    crc, result = zlib.crc32(source.read(at, header.data - at)), header.size
    if header.base is None:
        digest = form.id_digest(header.kind, header.size)
        end, crc = form.inflate(source, header.data, header.size, digest.update, check, crc)
        entries.set_id(i, digest.digest())
    else:
        result = form.result_size(source, header)
        _require_size(result, held)
        end, crc = form.inflate(source, header.data, header.size, len, check, crc)
    entries.note(i, at, header, crc)
    return end, result


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise too_large("holds a file of", size, max_bytes)


def _complete(
    path: Path,
    entries: Entries,
    borrowed: set[bytes],
    known: Callable[[bytes], tuple[int, bytes]] | None,
) -> bytes:
    """Add the borrowed bases to the pack, and bring it to the disk. Returns its checksum."""
    from dulwich.object_format import SHA1
    from dulwich.pack import extend_pack

    checksum = entries.checksum
    with path.open("r+b") as file:
        if borrowed:
            assert known is not None
            checksum, added = extend_pack(file, borrowed, known, SHA1)  # type: ignore[arg-type]
            for raw, offset, crc in added:
                entries.add(bytes(raw), offset, crc)
        file.flush()
        os.fsync(file.fileno())
    return checksum


def _write_index(out: IO[bytes], entries: Entries, order: NDArray[Any], checksum: bytes) -> None:
    """Version 2 of git's format. dulwich's own writer makes a list of tuples, 200 bytes for each object."""
    import numpy as np

    digest = hashlib.sha1(usedforsecurity=False)

    def write(part: bytes) -> None:
        digest.update(part)
        out.write(part)

    firsts = np.frombuffer(entries.ids, np.uint8)[:: form.ID]
    offsets = np.frombuffer(entries.offsets, np.uint64)[order]
    large = offsets[offsets >= _LARGE_OFFSET]
    short = offsets.astype(np.uint32)
    short[offsets >= _LARGE_OFFSET] = _LARGE_OFFSET + np.arange(len(large), dtype=np.uint32)
    write(b"\xfftOc\0\0\0\2" + np.cumsum(np.bincount(firsts, minlength=256)).astype(">u4").tobytes())
    for part in _ids_in(order, entries.ids):
        write(part)
    write(np.frombuffer(entries.crcs, np.uint32)[order].astype(">u4").tobytes())
    write(short.astype(">u4").tobytes() + large.astype(">u8").tobytes() + checksum)
    out.write(digest.digest())


def _ids_in(order: NDArray[Any], ids: bytearray) -> Iterator[bytes]:
    """The ids in an order, in pieces."""
    import numpy as np

    table = np.frombuffer(ids, np.uint8).reshape(-1, form.ID)
    for at in range(0, len(order), form.STEP):
        yield table[order[at : at + form.STEP]].tobytes()
