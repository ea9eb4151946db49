"""The deltas of a pack: applied from each base down, holding no more at once than a limit allows.

git keeps most versions of a file as deltas of others, in trees of any shape. They are walked depth first.
What is held is the base of the delta that is being applied, and of the bases above it as many as there is
room for; one that had to go is made again when it is needed, and that work counts against a limit too.

What belongs here: which delta belongs to which base, and the ids of the results. What does not: bytes of an
entry (packformat), the checks and the index of a pack (packfile).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ingest_assets.model import ContentError, DamagedError
from ingest_assets.sources.repositories.packformat import (
    ID,
    MAX_CHAIN,
    NAMES,
    EntryHeader,
    FormatError,
    PackBytes,
    apply_delta,
    content_of,
    delta_sizes,
    entry_header,
    id_of,
    too_large,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Known = Callable[[bytes], tuple[int, bytes]]


class MissingBaseError(DamagedError):
    """A pack builds on objects that are not here: the server is mistaken, or the mirror is damaged."""


class Entries:
    """What is known of the entries of a pack, in its order: about 50 bytes each."""

    def __init__(self, count: int, checksum: bytes) -> None:
        self.checksum = checksum
        self.kinds = bytearray(count)
        self.ids = bytearray(ID * count)
        self.offsets = array("Q", bytes(8 * count))
        self.crcs = array("I", bytes(4 * count))
        self.ofs_deltas, self.ofs_bases = array("I"), array("Q")  # entries, and the offsets of their bases
        self.ref_deltas, self.ref_bases = array("I"), bytearray()  # entries, and the ids of their bases

    def note(self, i: int, offset: int, header: EntryHeader, crc: int) -> None:
        self.kinds[i], self.offsets[i], self.crcs[i] = header.kind, offset, crc
        if isinstance(header.base, int):
            self.ofs_deltas.append(i)
            self.ofs_bases.append(header.base)
        elif header.base is not None:
            self.ref_deltas.append(i)
            self.ref_bases += header.base

    def add(self, raw: bytes, offset: int, crc: int) -> None:
        """One more, at the end."""
        self.ids += raw
        self.offsets.append(offset)
        self.crcs.append(crc)

    def id(self, i: int) -> bytes:
        return bytes(self.ids[ID * i : ID * i + ID])

    def set_id(self, i: int, raw: bytes) -> None:
        self.ids[ID * i : ID * i + ID] = raw


def resolve(
    source: PackBytes,
    entries: Entries,
    known: Known | None,
    max_bytes: int,
    max_work: int,
    check: Callable[[], None],
) -> set[bytes]:
    """Find the ids of all deltas. Returns the ids of the bases that are known, and not in the pack.

    Raises FormatError for a damaged pack, MissingBaseError when a base is missing, ConfigurationError when a
    base, a delta and its result have more than `max_bytes` together, or all that is made has over `max_work`.
    """
    return _Resolver(source, entries, max_bytes, max_work, check).run(known)


def sorted_ids(ids: bytearray) -> NDArray[Any]:
    """The order of ids of 20 bytes, as positions."""
    import numpy as np

    table = np.frombuffer(ids, np.dtype([("a", ">u8"), ("b", ">u8"), ("c", ">u4")]))
    return np.lexsort(
        (table["c"].astype(np.uint32), table["b"].astype(np.uint64), table["a"].astype(np.uint64))
    )


class _Children:
    """The deltas of each base, by its position in the pack and by its id."""

    def __init__(self, entries: Entries) -> None:
        import numpy as np

        offsets = np.frombuffer(entries.offsets, np.uint64)
        wanted = np.frombuffer(entries.ofs_bases, np.uint64)
        bases = np.searchsorted(offsets, wanted)
        if len(wanted) and not np.array_equal(offsets[bases], wanted):  # a base always precedes its delta
            raise FormatError("a delta whose base is no entry")
        order = np.argsort(bases, kind="stable")
        self.bases = array("I", bases[order].astype(np.uint32).tobytes())
        self._of = array("I", np.frombuffer(entries.ofs_deltas, np.uint32)[order].tobytes())
        order = sorted_ids(entries.ref_bases)
        self.wanted = np.frombuffer(entries.ref_bases, np.uint8).reshape(-1, ID)[order].tobytes()
        self._of_id = array("I", np.frombuffer(entries.ref_deltas, np.uint32)[order].tobytes())
        self._taken = bytearray(len(order))

    def take(self, i: int, raw: bytes) -> Sequence[int]:
        """Those of the entry `i`, whose id is `raw`, that were not taken before."""
        by_offset = self._of[bisect_left(self.bases, i) : bisect_right(self.bases, i)] if self.bases else ()
        return [*by_offset, *self.take_by_id(raw)] if self._taken else by_offset

    def take_by_id(self, raw: bytes) -> Sequence[int]:
        positions = range(len(self._taken))
        first = bisect_left(positions, raw, key=self.wanted_at)
        if first == len(positions) or self.wanted_at(first) != raw or self._taken[first]:
            return ()
        self._taken[first] = 1
        return self._of_id[first : bisect_right(positions, raw, key=self.wanted_at)]

    def wanted_at(self, position: int) -> bytes:
        return self.wanted[ID * position : ID * position + ID]


@dataclass(slots=True)
class _Base:
    """A base on the way down to the delta that is being applied."""

    entry: int | None  # None: the first one, which is not in the pack
    deltas: Sequence[int]
    content: bytes | None
    next: int = 0


class _Resolver:
    def __init__(
        self, source: PackBytes, entries: Entries, max_bytes: int, max_work: int, check: Callable[[], None]
    ) -> None:
        self._source, self._entries, self._check = source, entries, check
        self._max_bytes, self._work_left, self._max_work = max_bytes, max_work, max_work
        self._children = _Children(entries)
        self._left = len(entries.ofs_deltas) + len(entries.ref_deltas)
        self._known: Known | None = None
        self._outside = b""  # the id of the first base, if it is not in the pack
        self._way: list[_Base] = []
        self._held = 0  # bytes of the contents on the way

    def run(self, known: Known | None) -> set[bytes]:
        for i in self._whole_bases():
            if deltas := self._children.take(i, self._entries.id(i)):
                self._below(_Base(i, deltas, None), self._entries.kinds[i])
        return self._from_outside(known) if self._left else set()

    def _whole_bases(self) -> Iterator[int]:
        """The entries that are objects as they are, and may be bases."""
        kinds, by_offset = self._entries.kinds, self._children.bases
        positions = range(len(kinds)) if self._children.wanted else (i for i, _ in groupby(by_offset))
        return (i for i in positions if kinds[i] in NAMES)

    def _from_outside(self, known: Known | None) -> set[bytes]:
        self._known = known
        used: set[bytes] = set()
        for position in range(len(self._entries.ref_deltas)):
            self._check()
            raw = self._children.wanted_at(position)
            if known is None or not (kind := self._kind_outside(raw)):
                continue
            if deltas := self._children.take_by_id(raw):
                used.add(raw)
                self._outside = raw
                self._below(_Base(None, deltas, None), kind)
        if self._left:
            raise MissingBaseError("The server sent a pack whose deltas lack their bases.")
        return used

    def _kind_outside(self, raw: bytes) -> int:
        assert self._known is not None
        try:
            return self._known(raw)[0]
        except KeyError:
            return 0

    def _below(self, base: _Base, kind: int) -> None:
        """Everything that builds on one base, directly or not."""
        self._way = [base]
        while self._way:
            above = self._way[-1]
            if above.next == len(above.deltas):
                self._drop(self._way.pop())
                continue
            entry = above.deltas[above.next]
            above.next += 1
            self._check()
            result = self._made(len(self._way) - 1, entry)
            self._left -= 1
            raw = id_of(kind, result)
            self._entries.set_id(entry, raw)
            if above.next == len(above.deltas):
                self._drop(above)  # before what is below it needs the room
            if deltas := self._children.take(entry, raw):
                if len(self._way) > MAX_CHAIN:
                    raise ContentError(
                        f"The repository has chains of more than {MAX_CHAIN:,} deltas: refused."
                    )
                self._held += len(result)
                self._way.append(_Base(entry, deltas, result))

    def _drop(self, base: _Base) -> None:
        if base.content is not None:
            self._held -= len(base.content)
            base.content = None

    def _made(self, position: int, entry: int) -> bytes:
        """The result of a delta whose base is at a position of the way."""
        base = self._content(position)
        header = entry_header(self._source, self._entries.offsets[entry])
        self._reserve(2 * header.size, position)
        delta = content_of(self._source, header, self._check)
        size, result = delta_sizes(delta)
        if size != len(base):
            raise FormatError("a delta that does not fit its base")
        self._reserve(len(delta) + result, position)
        self._work(len(delta) + result)
        return apply_delta(base, delta)

    def _content(self, position: int) -> bytes:
        """A base on the way; made again, from the nearest one above that is still held, if it had to go."""
        first = position
        while self._way[first].content is None and first > 0:
            first -= 1
        if self._way[first].content is None:
            self._keep(0, self._first())
        for i in range(first + 1, position + 1):
            entry = self._way[i].entry
            assert entry is not None
            self._keep(i, self._made(i - 1, entry))
            if self._way[i - 1].next == len(self._way[i - 1].deltas):
                self._drop(self._way[i - 1])
        content = self._way[position].content
        assert content is not None
        return content

    def _first(self) -> bytes:
        entry = self._way[0].entry
        if entry is None:
            assert self._known is not None
            content = self._known(self._outside)[1]
            self._reserve(len(content), 0)
        else:
            header = entry_header(self._source, self._entries.offsets[entry])
            self._reserve(2 * header.size, 0)  # its pieces, and all of it
            content = content_of(self._source, header, self._check)
        self._work(len(content))
        return content

    def _keep(self, position: int, content: bytes) -> None:
        self._way[position].content = content
        self._held += len(content)

    def _reserve(self, size: int, position: int) -> None:
        """Make room for more bytes, dropping the contents furthest above the one at `position`."""
        for base in self._way[:position]:
            if self._held + size <= self._max_bytes:
                return
            self._drop(base)
        if self._held + size > self._max_bytes:
            raise too_large("keeps changes of large files, which need", self._held + size, self._max_bytes)

    def _work(self, size: int) -> None:
        self._work_left -= size
        if self._work_left < 0:
            raise too_large("keeps changes of changes, which inflate to over", self._max_work, self._max_work)
