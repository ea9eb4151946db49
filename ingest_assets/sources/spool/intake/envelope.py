"""The format of a batch: an envelope of fields in any order, one of them a list of records.

    {version: 1, created_at, source, batch_tag, embedding_dim, count, pii,
     records: [{source, text, metadata, embedding, pii}, ...]}

Also what older producers write: records under `examples`, text under `instruction`, `chunk` or `source_text`.
Fields of other names mean nothing. Read as a stream: one record is in memory at a time.

What belongs here: which fields there are, and what a batch must be. What does not: single values (`values`),
where they begin and end (`stream`).
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.stream import (
    Reading,
    Stream,
    fields_of,
    kind_of,
    name_of,
    names_by_bytes,
    value_of,
)
from ingest_assets.sources.spool.intake.values import (
    MAX_DIMENSION,
    MAX_SOURCE,
    Counts,
    clean,
    is_blank,
    is_personal,
    length_of,
    metadata_of,
    seconds_of,
    source_of,
    text_of,
    vector_of,
)
from ingest_assets.sources.spool.personal import source_key

VERSION = 1
MAX_FIELDS = 256  # of an envelope, or of a record
MAX_FIELD = 65_536  # bytes of a field of the envelope
_LISTS = ("records", "examples")
_ENVELOPE = frozenset(("version", "created_at", "source", "batch_tag", "embedding_dim", "count", "pii"))
_TEXT = "text"
_OLD_TEXTS = ("instruction", "chunk", "source_text")  # the first that is there counts
_RECORD = names_by_bytes((_TEXT, *_OLD_TEXTS, "source", "metadata", "embedding", "pii"))
BYTES_A_CHARACTER = 4
_NOTHING = b"\xc0"
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_REST = 4 << 20  # bytes of a record besides its text: metadata, a vector, names


class Bounds(NamedTuple):
    """What a batch may have, and what is wanted of it."""

    max_records: int
    max_text_chars: int
    personal_sources: frozenset[str]  # by `source_key`
    vectors: bool  # whether those that come along are used
    wanted: bool  # whether the records are, or only what is known of the batch

    @property
    def record_bytes(self) -> int:
        """Of one record, at most."""
        return BYTES_A_CHARACTER * self.max_text_chars + _REST


class Record(NamedTuple):
    """One record with text, as a batch has it."""

    number: int
    source: str  # its own; "" if it has none
    text: str
    metadata: str  # a JSON object
    vector: bytes | None  # float32, little endian
    is_refused: bool  # whether a vector came along that cannot be one


@dataclass(slots=True)
class Envelope:
    """What is known of a batch so far; all of it at the end."""

    fields: dict[str, bytes] = field(default_factory=dict)
    records: int | None = None  # None before there was a list of them
    skipped: int = 0
    pii: bool = False
    counts: Counts = field(default_factory=Counts)
    found: list[Record] = field(default_factory=list)  # those that nobody took yet

    def facts(self, bounds: Bounds) -> dict[str, Any]:
        """What the batch says of itself, as JSON has it. Raises BatchError if it is not a batch."""
        self._require_version()
        self._require_count()
        source = source_of(self.fields.get("source"), "Its source")
        dimension = self._dimension()
        given, usable = self.counts.vectors, bounds.vectors
        used = sum(n for length, n in given.items() if usable and length and dimension in (None, length))
        pii = "pii" in self.fields and is_personal(self.fields["pii"])
        return {
            "batch_tag": self._tag(),
            "source": source,
            "created_at": seconds_of(self.fields["created_at"]) if "created_at" in self.fields else None,
            "pii": pii or self.pii or source_key(source) in bounds.personal_sources,
            "records": self.records or 0,
            "skipped": self.skipped,
            "dimension": dimension,
            "vectors": used,
            "vectors_ignored": given.total() - used,
            "metadata_dropped": self.counts.metadata_dropped,
            "repaired": self.counts.repaired,
        }

    def _require_version(self) -> None:
        version = value_of(self.fields["version"]) if "version" in self.fields else VERSION
        if type(version) is not int:
            raise BatchError("Its version is not a whole number.")
        if version != VERSION:
            raise BatchError(f"Its version is {version}; version {VERSION} can be read.")

    def _require_count(self) -> None:
        if self.records is None:
            raise BatchError("It has no records: there is no list of that name.")
        count = value_of(self.fields["count"]) if "count" in self.fields else None
        if count is not None and (type(count) is not int or count != self.records):
            says = f"{count:,}" if type(count) is int else "something that is not a whole number"
            raise BatchError(f"Its count is {says}, and it has {self.records:,} records.")

    def _dimension(self) -> int | None:
        """The length of its vectors; 0 for one that none can have."""
        dimension = value_of(self.fields["embedding_dim"]) if "embedding_dim" in self.fields else None
        if dimension is None:
            return None
        return dimension if type(dimension) is int and 0 < dimension <= MAX_DIMENSION else 0

    def _tag(self) -> str:
        tag = value_of(self.fields["batch_tag"]) if "batch_tag" in self.fields else None
        if tag is None or isinstance(tag, bool) or not isinstance(tag, str | int):
            return ""
        return clean(str(tag))[0][:MAX_SOURCE]


def walk(stream: Stream, envelope: Envelope, bounds: Bounds) -> Reading[None]:
    """Read a batch to its end. Yields where more bytes are needed; what was read is in `envelope`.

    Raises BatchError for what is not a batch. Whether something follows it, who feeds the stream knows.
    """
    kind = yield from stream.kind()
    if kind != "a map":
        raise BatchError(f"It is {kind}, and not a map with records.")
    size = yield from stream.map_header()
    if size > MAX_FIELDS:
        raise BatchError(f"It has {size:,} fields; {MAX_FIELDS} are the most.")
    for _ in range(size):
        name = name_of((yield from stream.raw(MAX_FIELD)))
        if name in _LISTS:
            yield from _records(stream, envelope, bounds, name)
        elif name in _ENVELOPE:
            if name in envelope.fields:
                raise BatchError(f"It has the field {name} twice.")
            envelope.fields[name] = yield from stream.raw(MAX_FIELD)
        else:
            yield from stream.skip()


def _records(stream: Stream, envelope: Envelope, bounds: Bounds, name: str) -> Reading[None]:
    kind = yield from stream.kind()
    if kind == "nothing":
        return (yield from stream.skip())
    if kind != "a list":
        raise BatchError(f"Its {name} are {kind}, and not a list.")
    if envelope.records is not None:
        raise BatchError("It has more than one list of records.")
    size = yield from stream.list_header()
    if size > bounds.max_records:
        raise BatchError(
            f"It says that it has {size:,} records; {bounds.max_records:,} are the most (SPOOL_MAX_RECORDS)."
        )
    for number in range(size):
        kind = yield from stream.kind()
        if kind != "a map":
            raise _of_record(number, BatchError(f"It is {kind}, and not a map."))
        raw = yield from _raw_record(stream, number, bounds)
        try:
            _record(raw, number, envelope, bounds)
        except BatchError as error:
            raise _of_record(number, error) from None
    envelope.records = size
    return None


def _raw_record(stream: Stream, number: int, bounds: Bounds) -> Generator[None, None, bytes]:
    try:
        return (yield from stream.raw(bounds.record_bytes))
    except BatchError as error:
        raise _of_record(number, error) from None


def _of_record(number: int, error: BatchError) -> BatchError:
    return BatchError(f"Record {number}: {error}")


def _record(raw: bytes, number: int, envelope: Envelope, bounds: Bounds) -> None:
    """Read one record into the envelope."""
    fields = fields_of(raw, _RECORD, MAX_FIELDS)
    counts = envelope.counts
    source = source_of(fields.get("source"), "Its source")
    if source_key(source) in bounds.personal_sources or ("pii" in fields and is_personal(fields["pii"])):
        envelope.pii = True
    metadata = metadata_of(fields["metadata"], counts) if "metadata" in fields else {}
    given = fields.get("embedding", _NOTHING)
    if given[0] != _NOTHING[0]:
        counts.vectors[length_of(given) or 0] += 1
    text, was_repaired = clean(_text(fields, bounds))
    if is_blank(text):
        envelope.skipped += 1
        return
    counts.repaired += was_repaired
    if bounds.wanted:
        made = _JSON.encode(metadata) if metadata else "{}"
        is_used = bounds.vectors and given[0] != _NOTHING[0]
        vector = vector_of(given) if is_used else None
        envelope.found.append(Record(number, source, text, made, vector, is_used and vector is None))


def _text(fields: dict[str, bytes], bounds: Bounds) -> str:
    text = text_of(fields[_TEXT], "Its text") if _TEXT in fields else ""
    for name in _OLD_TEXTS:
        if text and not is_blank(text):
            break
        # Others use these names for other things, such as the number of a chunk.
        if name in fields and kind_of(fields[name][0]) == "text":
            text = text_of(fields[name], f"Its {name}")
    if len(text) > bounds.max_text_chars:
        raise BatchError(
            f"Its text has {len(text):,} characters; {bounds.max_text_chars:,} are the most "
            "(SPOOL_MAX_TEXT_CHARS)."
        )
    return text
