"""The task of the process that reads a source: items in batches, and their documents when they are wanted.

What belongs here: the side inside the process. What does not: the other side (`reading`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, runtime_checkable

from ingest_assets.model import IngestError, ItemError, SkippedItem, SourceItem
from ingest_assets.sandbox.answers import PART, REFUSED, RENDERED, REPAIRED, batch_of, documents

BATCH_WEIGHT = 8 << 20  # characters that the items of a batch hold until they are rendered, about


class Readable(Protocol):
    """A source inside the process."""

    @property
    def repaired(self) -> int: ...

    @property
    def skipped(self) -> Sequence[SkippedItem]: ...

    def facts(self) -> Mapping[str, Any]:
        """What has been found so far, as JSON."""
        ...

    def read(self) -> AbstractContextManager[Iterator[SourceItem]]: ...


@runtime_checkable
class Remote(Protocol):
    """A source that may be on a server."""

    def connect(self) -> None:
        """Make the only connection that it will have."""
        ...


class Reading:
    """The task of the process."""

    def __init__(self, source: Readable, most: int) -> None:
        self._source, self._most = source, most
        self._stack = ExitStack()
        self._items: Iterator[SourceItem] = iter(())
        self._batches: deque[tuple[int, list[SourceItem]]] = deque()
        self._number = 0
        self._skipped = 0
        self._failed: IngestError | None = None

    def before_confinement(self) -> None:
        """Have a source that is on a server connect to it, while that is still allowed."""
        try:
            if isinstance(self._source, Remote):
                self._source.connect()
        except IngestError as error:
            self._failed = error  # which the first answer says

    def begin(self) -> bytes:
        if self._failed is not None:
            raise self._failed
        self._items = self._stack.enter_context(self._source.read())
        return b""

    def batch(self, needed: int) -> bytes:
        """The next items. Those of batches before `needed` are no longer rendered."""
        while self._batches and self._batches[0][0] < needed:
            self._batches.popleft()
        items: list[SourceItem] = []
        before: list[int] = []
        weight, done = 0, True
        for item in self._items:
            items.append(item)
            before.append(len(self._source.skipped) - self._skipped)
            weight += item.size
            if len(items) == self._most or weight >= BATCH_WEIGHT:
                done = False
                break
        self._batches.append((self._number, items))
        self._number += 1
        skipped = self._source.skipped[self._skipped :]
        self._skipped += len(skipped)
        size = weight // max(1, len(items))
        return batch_of(items, size, skipped, before, self._source.facts(), done=done)

    def render(self, number: int, at: int, count: int) -> bytes:
        """The documents of some items that follow each other; fewer if the batch ends, or they are large."""
        items = next(items for kept, items in self._batches if kept == number)
        parts: list[bytes] = []
        weight = 0
        for item in items[at : at + count]:
            kind, text = self._rendered(item)
            parts += (PART.pack(kind, len(text)), text)
            weight += len(text)
            if weight >= BATCH_WEIGHT:
                break
        return b"".join(parts)

    def _rendered(self, item: SourceItem) -> tuple[bytes, bytes]:
        before = self._source.repaired
        try:
            text: bytes = documents().dump_json(item.render())
        except ItemError as error:
            return REFUSED, str(error).encode("utf-8", "backslashreplace")
        except ValueError:  # a lone surrogate
            return REFUSED, b"It holds characters that are not text."
        return (REPAIRED if self._source.repaired > before else RENDERED), text
