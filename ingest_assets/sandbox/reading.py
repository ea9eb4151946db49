"""A source that is read in a confined process: items come in batches, documents when they are wanted.

What belongs here: the side that asks. What does not: the process (`reader`), what goes between (`answers`),
and any particular source, which says by `inside` and `grants` what the process gets.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from typing import Any, Protocol

from ingest_assets.model import (
    DamagedError,
    Document,
    IngestError,
    ItemError,
    SkippedItem,
    Source,
    SourceItem,
    SourceUnavailableError,
    digest_of,
)
from ingest_assets.sandbox.answers import (
    OTHER_FORM,
    OTHER_FORM_READ,
    REFUSED,
    Found,
    checked_batch,
    checked_document,
    split,
)
from ingest_assets.sandbox.folder import Child, Sandbox
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sandbox.process import Confined, ConfinedError
from ingest_assets.sandbox.reader import Readable, Reading

BATCH = 1_000  # items in one answer, at most
RENDERED_AHEAD = 64  # documents that are rendered together
MAX_DEATHS = 20  # in one read: more than a few items that kill a process are an attack, or a fault of ours
_STARTS = 3  # files may come and go between the grant and the opening


class Confinable(Source, Protocol):
    """A source that can be read in a process of its own."""

    @property
    def noun(self) -> str:
        """What reading it is called, in messages: "the reader of letters"."""
        ...

    def inside(self) -> Readable:
        """The same source with nothing that the process must not have; it is pickled."""
        ...

    def grants(self) -> Grants:
        """The files that have to be opened to read it, as they are now."""
        ...

    def bounds(self, given: Limits) -> Limits:
        """The limits for reading it, made from those of the settings."""
        ...

    def damaged(self) -> None:
        """The process found that what is kept of the source is damaged."""
        ...

    def note(self, facts: Mapping[str, Any]) -> None:
        """Take over what the process has found so far: the `facts` of the readable one. Do not trust it."""
        ...


class ConfinedSource:
    """A source that is read and rendered in a confined process. It is what `origin` is, but for that."""

    def __init__(self, origin: Confinable, sandbox: Sandbox, batch: int = BATCH) -> None:
        """`batch` is how many items come in one answer, at most."""
        self.origin = origin
        self._batch = batch
        self.repaired = 0
        self.skipped: list[SkippedItem] = []
        self._sandbox = sandbox

    @property
    def name(self) -> str:
        return self.origin.name

    @property
    def prefix(self) -> str:
        """What the ids of its items begin with: a process may give no others."""
        return ""

    def signature(self) -> str | None:
        return self.origin.signature()

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """As the origin's.

        If the process dies, or exceeds a bound, while it renders an item, that is an ItemError; while it
        reads, a SourceUnavailableError.
        """
        self.repaired, self.skipped = 0, []
        try:
            with closing(_Items(self)) as items:
                items.begin()
                yield items.run()
        except DamagedError:
            self.origin.damaged()
            raise

    def begun(self) -> Child:
        """A process that has opened the source."""
        for attempt in range(1, _STARTS + 1):
            grants = self.origin.grants()
            limits = self.origin.bounds(self._sandbox.limits)
            child = self._sandbox.start(
                Reading(self.origin.inside(), self._batch), self.origin.noun, grants, limits
            )
            try:
                child.process.ask("begin")
            except BaseException as error:
                child.close()
                # A file that has appeared since is not granted, and looks unreadable: grant it.
                late = isinstance(error, SourceUnavailableError) and self.origin.grants() != grants
                if late and attempt < _STARTS:
                    continue
                raise
            return child
        raise AssertionError("the last attempt returns or raises")


def _other_form() -> SourceUnavailableError:
    return SourceUnavailableError(OTHER_FORM_READ)


class _Batch:
    """The items of one answer. While one of them is in use, the process keeps what they are rendered from."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Items:
    """Reads the batches of one process, one ahead of the items that are in use.

    If it dies while it renders an item, another process reads the same batches again and goes on. If they are
    no longer the same, because the source has changed, the read fails, and the next one begins anew.
    """

    def __init__(self, source: ConfinedSource) -> None:
        self._source = source
        self._child: Child | None = None
        self._kept: deque[weakref.ref[_Batch]] = deque()
        self._read: list[str] = []  # digests of the batches that were received
        self._ahead: bytes | IngestError | None = None  # an answer that came before it was needed
        self._waiting = False  # whether a batch was asked for, and has not been received
        self._deaths = 0
        # Documents by batch and place that were rendered ahead, as they came; the last one that was used; and
        # how many are asked for at a time.
        self._rendered: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self._last: tuple[int, int] | None = None
        self._run = 1

    def begin(self) -> None:
        try:
            self._child = self._source.begun()
        except ConfinedError as error:
            raise SourceUnavailableError(str(error)) from error

    def close(self) -> None:
        if self._child is not None:
            self._child.close()

    def run(self) -> Iterator[SourceItem]:
        """Every item once."""
        number = 0
        while True:
            found = self._next(number)
            batch = _Batch(number)
            self._kept.append(weakref.ref(batch))
            if not found.done:
                self._ask()
            yield from self._items(batch, found)
            if found.done:
                return
            del batch
            number += 1

    @property
    def _process(self) -> Confined:
        assert self._child is not None
        return self._child.process

    def _needed(self) -> int:
        """The first batch that is still in use."""
        while self._kept and self._kept[0]() is None:
            self._kept.popleft()
        first = self._kept[0]() if self._kept else None
        return first.number if first else len(self._read)

    def _ask(self) -> None:
        self._process.send("batch", self._needed())
        self._waiting = True

    def _next(self, number: int) -> Found:
        """The batch of that number."""
        if self._ahead is None and not self._waiting:
            self._ask()
        if self._ahead is None:
            self._receive()
        answer, self._ahead = self._ahead, None
        if isinstance(answer, ConfinedError):
            raise SourceUnavailableError(str(answer)) from answer
        if isinstance(answer, IngestError):
            raise answer
        assert answer is not None
        found = checked_batch(answer)
        self._read[number:] = [digest_of(answer)]
        return found

    def _receive(self) -> None:
        self._waiting = False
        try:
            self._ahead = self._process.receive()
        except IngestError as error:
            self._ahead = error

    def _items(self, batch: _Batch, found: Found) -> Iterator[SourceItem]:
        try:
            self._source.origin.note(found.facts)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise _other_form() from error
        prefix = self._source.prefix
        if not all(item_id.startswith(prefix) for item_id in found.ids):  # another part's
            raise _other_form()
        seen = 0
        for at, (item_id, digest) in enumerate(zip(found.ids, found.digests, strict=True)):
            if found.skipped:
                self._source.skipped += found.skipped[seen : found.skipped_before[at]]
                seen = found.skipped_before[at]
            yield SourceItem(item_id, digest, partial(self._render, batch, at, item_id), found.size)
        self._source.skipped += found.skipped[seen:]

    def _render(self, batch: _Batch, at: int, item_id: str) -> Document:
        """Items that are rendered one after another are asked for several at a time."""
        if (batch.number, at) not in self._rendered:
            follows = self._last == (batch.number, at - 1)
            self._run = min(2 * self._run, RENDERED_AHEAD) if follows else 1
            self._rendered = self._asked_to_render(batch.number, at, self._run)
        self._last = (batch.number, at)
        document, repaired = checked_document(*self._rendered.pop((batch.number, at)))
        if document.id != item_id:
            raise ItemError(f"{self._source.origin.noun} gave another document than {item_id}.")
        self._source.repaired += repaired
        return document

    def _asked_to_render(
        self, number: int, at: int, count: int
    ) -> dict[tuple[int, int], tuple[bytes, bytes]]:
        if self._waiting:  # its answer comes first
            self._receive()
        try:
            answer = self._process.ask("render", number, at, count)
        except ConfinedError as error:
            self._resume()
            if count == 1:
                raise ItemError(str(error)) from error
            self._run = 1  # one of several: find out whether it is this one
            return self._asked_to_render(number, at, 1)
        parts = {(number, at + i): each for i, each in enumerate(islice(split(answer), count))}
        return parts or {(number, at): (REFUSED, OTHER_FORM)}

    def _resume(self) -> None:
        """Have another process read what the one that died had read."""
        self._deaths += 1
        self.close()
        if self._deaths > MAX_DEATHS:
            raise SourceUnavailableError(f"{self._source.origin.noun} died {self._deaths} times in one read.")
        self.begin()
        needed = self._needed()
        ahead = self._ahead is not None
        for before in [*self._read, *([""] if ahead else [])]:
            self._process.send("batch", needed)
            self._receive()
            if before and (not isinstance(self._ahead, bytes) or digest_of(self._ahead) != before):
                raise SourceUnavailableError(
                    f"{self._source.origin.noun} died, and the source has changed since. Run it again."
                )
            if before and isinstance(self._ahead, bytes):  # opening the source again reset what was noted
                self._source.origin.note(checked_batch(self._ahead).facts)
        if not ahead:
            self._ahead = None
