"""The task of the process that parses batches, and the form of its answers: written there, checked here.

What belongs here: what goes between the two processes. What does not: who asks (`reading`), and the format
(`envelope`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from ingest_assets.sources.spool.intake.envelope import Bounds, Envelope, Record, walk
from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.stream import Reading, Stream

FACTS, RECORDS, TRUNCATED = b"f", b"r", b"t"
OTHER_FORM = "The parser of batches gave an answer of another form."
# Whether a vector was refused; the number of a record; bytes of its source, text, metadata and vector.
_HEAD = struct.Struct(">?5I")
_MAX_FACTS = 65_536  # bytes


class Facts(NamedTuple):
    """What a batch says of itself, and how much there is of what."""

    batch_tag: str
    source: str
    created_at: float | None  # seconds since 1970
    pii: bool
    records: int
    skipped: int
    dimension: int | None
    vectors: int
    vectors_ignored: int
    metadata_dropped: int
    repaired: int


class Parsing:
    """The task: batches, one after the other, each in pieces."""

    def __init__(self) -> None:
        self._walk: Reading[None] = iter(())  # type: ignore[assignment]  # of no batch
        self._has_ended = True

    def feed(self, begin: Bounds | None, piece: bytes, last: bool) -> bytes:  # noqa: FBT001
        """Read on. `begin` is given with the first piece of a batch, and begins it.

        The answer is the records that were found, if they are wanted; else, at the end, the facts. Raises
        BatchError.
        """
        if begin is not None:
            self._bounds, self._envelope = begin, Envelope()
            self._stream = Stream(begin.record_bytes)
            self._walk = walk(self._stream, self._envelope, begin)
            self._has_ended = False
        self._stream.feed(piece)
        self._go_on()
        if last and not self._has_ended:
            return TRUNCATED
        if last and not self._bounds.wanted:
            return FACTS + json.dumps(self._envelope.facts(self._bounds)).encode()
        found, self._envelope.found = self._envelope.found, []
        return RECORDS + b"".join(_packed(each) for each in found)

    def _go_on(self) -> None:
        if not self._has_ended:
            self._has_ended = next(self._walk, _END) is _END
        if self._has_ended and self._stream.left:
            raise BatchError("Something follows the batch in its file.")


_END = object()


def _packed(record: Record) -> bytes:
    parts = (record.source.encode(), record.text.encode(), record.metadata.encode(), record.vector or b"")
    return b"".join((_HEAD.pack(record.is_refused, record.number, *map(len, parts)), *parts))


def facts_in(answer: bytes) -> Facts:
    """The facts that a process answered. Raises BatchError for what is none."""
    from pydantic import ValidationError

    if answer[:1] != FACTS or len(answer) > _MAX_FACTS:
        raise BatchError(OTHER_FORM)
    try:
        facts: Facts = _facts().validate_json(answer[1:], strict=True)
    except ValidationError:
        raise BatchError(OTHER_FORM) from None
    counts = facts[4:6] + facts[7:]
    if any(count < 0 for count in counts) or facts.skipped > facts.records:
        raise BatchError(OTHER_FORM)
    return facts


@cache
def _facts() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Facts)


def records_in(answer: bytes) -> Iterator[Record]:
    """The records that a process answered; nothing is said of their content. Raises BatchError."""
    if answer[:1] != RECORDS:
        raise BatchError(OTHER_FORM)
    view = memoryview(answer)
    at = 1
    while at < len(answer):
        if at + _HEAD.size > len(answer):
            raise BatchError(OTHER_FORM)
        is_refused, number, *lengths = _HEAD.unpack_from(answer, at)
        at += _HEAD.size
        parts = []
        for length in lengths:
            parts.append(view[at : at + length])
            at += length
        if at > len(answer):
            raise BatchError(OTHER_FORM)
        try:
            source, text, metadata = (str(part, "utf-8") for part in parts[:3])
        except UnicodeDecodeError:
            raise BatchError(OTHER_FORM) from None
        yield Record(number, source, text, metadata, bytes(parts[3]) or None, is_refused)
