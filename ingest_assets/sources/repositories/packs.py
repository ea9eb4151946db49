"""One pack on this machine, by its index: where an object is, its size and its content.

What belongs here: reading within limits a pack that may be damaged; every fault is a FormatError. What does
not: which pack holds an object, and whether the content is what its id says (objects).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ingest_assets.sources.repositories.packformat import (
    HEADER,
    ID,
    MAX_CHAIN,
    TRAILER,
    EntryHeader,
    FormatError,
    PackBytes,
    apply_delta,
    content_of,
    delta_sizes,
    entry_header,
    id_digest,
    inflate,
    result_size,
    too_large,
)

_MAGIC = b"\xfftOc\0\0\0\2"  # of an index of version 2; version 1 has none
_FAN = 256 * 4
_AT_ONCE = 256  # ids of an index that are read at once
_LARGE_OFFSET = 1 << 31
_MAX_CHAIN_WORK = 32  # of what is made on the way to one object, as a multiple of the limit of memory


class Contents:
    """What was read last, by pack and offset: bases of what is read next, within a limit of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._kept: OrderedDict[tuple[Path, int], tuple[int, bytes]] = OrderedDict()
        self._max_bytes, self._bytes = max_bytes, 0

    def get(self, key: tuple[Path, int]) -> tuple[int, bytes] | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: tuple[Path, int], kind: int, content: bytes) -> None:
        if len(content) > self._max_bytes // 4 or key in self._kept:
            return
        self._kept[key] = kind, content
        self._bytes += len(content)
        while self._bytes > self._max_bytes:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= len(oldest)


class Pack:
    """A pack and its index, both open until `close`. To be used by one thread.

    `open_file` opens a path for reading, unbuffered. Raises FormatError when the files are not a pack and its
    index, OSError when they cannot be read.
    """

    def __init__(self, index: Path, open_file: Callable[[Path], IO[bytes]], max_bytes: int) -> None:
        self.path = index.with_suffix(".pack")
        self._max_bytes = max_bytes
        self._files = [open_file(index)]
        try:
            self._files.append(open_file(self.path))
            self._index, self._entries = (PackBytes(file, 1 << 12) for file in self._files)
            self._read_layout(*(file.seek(0, 2) for file in self._files))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _read_layout(self, index_size: int, pack_size: int) -> None:
        start = len(_MAGIC) if self._index.read(0, len(_MAGIC)) == _MAGIC else 0
        fan = self._index.read(start, _FAN)
        self._fan = [int.from_bytes(fan[i : i + 4]) for i in range(0, _FAN, 4)]
        self.count = self._fan[-1]
        stride, least = (ID, 28) if start else (ID + 4, 24)
        self._ids, self._stride = start + _FAN + (0 if start else 4), stride
        self._offsets = start + _FAN + 24 * self.count if start else _FAN
        if self._fan != sorted(self._fan) or index_size < start + _FAN + least * self.count + 2 * ID:
            raise FormatError("an index that is damaged")
        header = self._entries.read(0, HEADER)
        if header[:4] != b"PACK" or int.from_bytes(header[8:12]) != self.count:
            raise FormatError("a pack that is damaged, or not that of its index")
        self._end = pack_size - TRAILER

    def find(self, raw: bytes) -> int | None:
        """The position of an object in the index, by the 20 bytes of its id."""
        low, high = self._fan[raw[0] - 1] if raw[0] else 0, self._fan[raw[0]]
        while high - low > _AT_ONCE:
            middle = (low + high) // 2
            if self._id(middle) <= raw:
                low = middle
            else:
                high = middle
        stride = self._stride
        table = self._index.read(self._ids + low * stride, (high - low) * stride)
        found = bisect_left(range(high - low), raw, key=lambda i: table[i * stride : i * stride + ID])
        return low + found if table[found * stride : found * stride + ID] == raw else None

    def _id(self, position: int) -> bytes:
        return self._index.read(self._ids + position * self._stride, ID)

    def offset(self, position: int) -> int:
        """Where the entry of the object at a position of the index begins in the pack."""
        width = 4 if self._stride == ID else self._stride
        offset = int.from_bytes(self._index.read(self._offsets + position * width, 4))
        if self._stride == ID and offset >= _LARGE_OFFSET:
            at = self._offsets + 4 * self.count + 8 * (offset - _LARGE_OFFSET)
            offset = int.from_bytes(self._index.read(at, 8))
        if not HEADER <= offset < self._end:
            raise FormatError("an index that is damaged")
        return offset

    def size(self, offset: int) -> int:
        """Bytes of an object; only a few bytes of it are inflated."""
        return result_size(self._entries, entry_header(self._entries, offset))

    def id_at(self, offset: int) -> bytes | None:
        """The id of an object by all its bytes, of which none are kept; None of a delta.

        A damaged entry, also its size, is a FormatError.
        """
        header = entry_header(self._entries, offset)
        if header.base is not None:
            inflate(self._entries, header.data, header.size, len)
            return None
        digest = id_digest(header.kind, header.size)
        inflate(self._entries, header.data, header.size, digest.update)
        return digest.digest()

    def read(self, offset: int, contents: Contents) -> tuple[int, bytes]:
        """Kind and content of an object.

        Raises ConfigurationError when that would take more memory than `max_bytes`, or too much work.
        """
        deltas: list[tuple[int, EntryHeader]] = []
        at = offset
        while (found := contents.get((self.path, at))) is None:
            header = entry_header(self._entries, at)
            if header.base is None:
                self._require_room(2 * header.size, at)
                found = header.kind, content_of(self._entries, header)
                contents.put((self.path, at), *found)
                break
            deltas.append((at, header))
            if len(deltas) > MAX_CHAIN:
                raise FormatError("a chain of more deltas than git can write")
            at = header.base if isinstance(header.base, int) else self._place_of(header.base)
        return self._applied(*found, deltas, contents)

    def _applied(
        self, kind: int, content: bytes, deltas: list[tuple[int, EntryHeader]], contents: Contents
    ) -> tuple[int, bytes]:
        work = 0
        for at, header in reversed(deltas):
            self._require_room(len(content) + 2 * header.size, at)
            delta = content_of(self._entries, header)
            size, result = delta_sizes(delta)
            if size != len(content):
                raise FormatError("a delta that does not fit its base")
            self._require_room(len(content) + len(delta) + result, at)
            work += len(delta) + result
            if work > _MAX_CHAIN_WORK * self._max_bytes:
                raise too_large("keeps a file in changes that inflate to over", work, self._max_bytes)
            content = apply_delta(content, delta)
            contents.put((self.path, at), kind, content)
        return kind, content

    def _place_of(self, raw: bytes) -> int:
        position = self.find(raw)
        if position is None:
            raise FormatError("a delta whose base is not in its pack")
        return self.offset(position)

    def _require_room(self, size: int, offset: int) -> None:
        if size > self._max_bytes:
            self.id_at(offset)  # raises when the size is not what was packed
            raise too_large("holds an object that needs", size, self._max_bytes)
