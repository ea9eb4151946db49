"""MessagePack piece by piece: the bytes of one value after another, however the pieces are cut.

Functions that read are generators: they yield where more bytes are needed, and return what they read. The
end of the bytes is never taken for the end of the data: who feeds knows that a generator still waits.

What belongs here: where values begin and end, and how large they may be. What does not: what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from ingest_assets.sources.spool.intake.errors import BatchError

T = TypeVar("T")
Reading = Generator[None, None, T]

PIECE = 1 << 20  # bytes that are fed at once, at most
MAX_NAME = 1_024  # bytes of the name of a field
_MIB = 1 << 20
_SHORT = range(0xA0, 0xC0)  # first bytes of texts of fewer than 32 bytes, by how many there are


@cache
def _library() -> Any:
    """Looked up once: importing a name takes as long as reading a value."""
    import msgpack

    return msgpack


class Pairs(list[tuple[Any, Any]]):
    """A map as it was written: its keys may be anything, and may come twice."""


class Stream:
    """What is left of a batch. A single value may have `largest` bytes."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._unpacker: Any = _library().Unpacker(max_buffer_size=largest + PIECE)
        # The bytes from `_base` on: those of the value that is being read, and what follows.
        self._window, self._base = b"", 0
        self._mark: int | None = None  # where that value begins, if its bytes are wanted
        self._fed = 0

    @property
    def left(self) -> int:
        """Bytes that were fed and not read."""
        return self._fed - int(self._unpacker.tell())

    def feed(self, piece: bytes) -> None:
        """Add bytes. Raises BatchError when a value is larger than any may be."""
        try:
            self._unpacker.feed(piece)
        except _library().BufferFull:
            raise self._too_large(self._largest) from None
        kept = self._unpacker.tell() if self._mark is None else self._mark
        self._window = self._window[kept - self._base :] + piece
        self._base = kept
        self._fed += len(piece)

    def kind(self) -> Reading[str]:
        """What comes next, in words."""
        while not self.left:
            yield
        return kind_of(self._window[self._unpacker.tell() - self._base])

    def map_header(self) -> Reading[int]:
        """How many pairs the map that comes next says it has."""
        return int((yield from _waited(self._unpacker.read_map_header)))

    def list_header(self) -> Reading[int]:
        """How many elements the list that comes next says it has."""
        return int((yield from _waited(self._unpacker.read_array_header)))

    def raw(self, limit: int) -> Reading[bytes]:
        """The bytes of the value that comes next. Raises BatchError if there are more than `limit`."""
        self._mark = begin = self._unpacker.tell()
        for _ in self._skipped():
            if self._fed - begin > limit:
                raise self._too_large(limit)
            yield
        self._mark = None
        end = self._unpacker.tell()
        if end - begin > limit:
            raise self._too_large(limit)
        return self._window[begin - self._base : end - self._base]

    def skip(self) -> Reading[None]:
        """Leave out the value that comes next, of any size."""
        yield from self._skipped()

    def _skipped(self) -> Iterator[None]:
        try:
            yield from _waited(self._unpacker.skip)
        except ValueError:
            raise BatchError("It is not MessagePack, or is nested too deep.") from None

    def _too_large(self, limit: int) -> BatchError:
        size = f"{limit // _MIB:,} MiB" if limit >= _MIB else f"{limit:,} bytes"
        return BatchError(f"A value of it is larger than the {size} that it may have.")


def _waited(read: Callable[[], T]) -> Reading[T]:
    """What `read` returns as soon as there are enough bytes."""
    out_of_data: type[Exception] = _library().OutOfData
    while True:
        try:
            return read()
        except out_of_data:
            pass
        yield


def fields_of(raw: bytes, names: Mapping[bytes, str], most: int) -> dict[str, bytes]:
    """Those fields of a map that have one of the names (see `names_by_bytes`), as bytes.

    Raises BatchError for more than `most` fields in all, and for one of these names that comes twice.
    """
    unpacker: Any = _library().Unpacker(max_buffer_size=len(raw))
    unpacker.feed(raw)
    count = unpacker.read_map_header()
    if count > most:
        raise BatchError(f"It has {count:,} fields; {most:,} are the most.")
    fields: dict[str, bytes] = {}
    for _ in range(count):
        begin = unpacker.tell()
        unpacker.skip()
        middle = unpacker.tell()
        unpacker.skip()
        key = raw[begin:middle]
        name = names.get(key) or (None if key[0] in _SHORT else names.get(_short(key)))
        if name is None:
            continue
        if name in fields:
            raise BatchError(f"It has the field {name} twice.")
        fields[name] = raw[middle : unpacker.tell()]
    return fields


def names_by_bytes(names: Iterable[str]) -> Mapping[bytes, str]:
    """Names by how MessagePack writes them. Each has fewer than 32 bytes."""
    return {_packed(name): name for name in names}


def _packed(name: str) -> bytes:
    return bytes([_SHORT[len(name.encode())]]) + name.encode()


def _short(key: bytes) -> bytes:
    """A name that was written in more bytes than are needed, as it is written in the fewest."""
    name = name_of(key)
    return _packed(name) if len(name.encode()) < len(_SHORT) else b""


def name_of(raw: bytes) -> str:
    """The name of a field; "" for what is none that anybody asks for."""
    if len(raw) > MAX_NAME or kind_of(raw[0]) != "text":
        return ""
    try:
        return str(value_of(raw))
    except BatchError:
        return ""


def value_of(raw: bytes) -> Any:
    """A value. Maps come as pairs. Raises BatchError; the message holds nothing of the value."""
    try:
        return _library().unpackb(raw, strict_map_key=False, object_pairs_hook=Pairs)
    except UnicodeDecodeError:
        problem = "It holds text that is not UTF-8."
    except (ValueError, TypeError):
        problem = "It holds a value that is not MessagePack."
    raise BatchError(problem)


# First bytes up to these, in order, begin a value of the kind.
_KINDS = (
    (0x7F, "a number"), (0x8F, "a map"), (0x9F, "a list"), (0xBF, "text"), (0xC0, "nothing"),
    (0xC1, "no value"), (0xC3, "true or false"), (0xC6, "bytes"), (0xC9, "an extension"), (0xD3, "a number"),
    (0xD8, "an extension"), (0xDB, "text"), (0xDD, "a list"), (0xDF, "a map"), (0xFF, "a number"),
)  # fmt: skip
_KIND_OF = [next(kind for last, kind in _KINDS if first <= last) for first in range(256)]


def kind_of(first: int) -> str:
    """What a value is that begins with a byte, in words."""
    return _KIND_OF[first]
