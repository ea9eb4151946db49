"""Values of a batch as they are used: texts, times, metadata and vectors.

What belongs here: one value. What does not: which fields there are (`envelope`).
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.stream import Pairs, kind_of, value_of

MAX_DIMENSION = 65_536
MAX_SOURCE = 200  # characters
MAX_METADATA = 1 << 20  # bytes
MAX_DEPTH = 16  # of metadata
_MAX_VECTOR = 9 * MAX_DIMENSION + 5  # bytes: a list of numbers of eight bytes and one that says so
_HEADS = {0xDC: 3, 0xDD: 5}  # bytes before the elements of a list, by its first byte; else one
_FLOATS = {0xCA: 5, 0xCB: 9}  # bytes of a number in four or eight bytes, by its first
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Anything but space, and characters that are not seen.
_VISIBLE = re.compile(r"[^\s\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_LATEST_S = 1e11  # the year 5138; what is more are milliseconds, microseconds or nanoseconds
_PARTS_OF_SECONDS = 3  # these; what is larger still is no time
_LONGEST_NO = 64  # bytes
_NOT_PERSONAL = frozenset(("", "0", "false", "no", "none"))


@dataclass(slots=True)
class Counts:
    """What was left out or changed, in a batch."""

    metadata_dropped: int = 0  # values that JSON cannot have
    repaired: int = 0  # records whose text held control characters
    vectors: Counter[int] = field(default_factory=Counter)  # how many came along, by their length; 0: no list


def text_of(raw: bytes, what: str) -> str:
    """A text; "" for nothing. Raises BatchError for another value."""
    kind = kind_of(raw[0])
    if kind == "nothing":
        return ""
    if kind != "text":
        raise BatchError(f"{what} is {kind}, and not text.")
    return str(value_of(raw))


def source_of(raw: bytes | None, what: str) -> str:
    """Where something comes from, without control characters; "" for nothing. Raises BatchError."""
    if raw is None:
        return ""
    if len(raw) > 4 * MAX_SOURCE + 5:
        raise BatchError(f"{what} has more than {MAX_SOURCE} characters.")
    text = clean(text_of(raw, what))[0].strip()
    if len(text) > MAX_SOURCE:
        raise BatchError(f"{what} has more than {MAX_SOURCE} characters.")
    return text


def clean(text: str) -> tuple[str, bool]:
    r"""The text with \n line ends and without other control characters, except \t; whether it had any."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROLS.search(text):
        return _CONTROLS.sub("", text), True
    return text, False


def is_blank(text: str) -> bool:
    """Whether there is nothing to read."""
    return _VISIBLE.search(text) is None


def is_personal(raw: bytes) -> bool:
    """What a `pii` says: yes, unless it says clearly no."""
    if len(raw) > _LONGEST_NO:
        return True
    value = value_of(raw)
    if isinstance(value, str):
        return value.strip().lower() not in _NOT_PERSONAL
    return value is not None and value is not False and value != 0


def seconds_of(raw: bytes) -> float | None:
    """A time as seconds since 1970; None for nothing. Raises BatchError for what is none.

    ISO 8601 (in UTC if it names no zone), Unix time in seconds or parts of seconds, or MessagePack's own.
    """
    from msgpack import Timestamp

    value = value_of(raw)
    if value is None:
        return None
    if isinstance(value, Timestamp):
        return float(value.to_unix())
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        for _ in range(_PARTS_OF_SECONDS):
            if abs(value) >= _LATEST_S:
                value /= 1_000
        return float(value)
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (AttributeError, ValueError, OverflowError):
        raise BatchError(
            "Its created_at is not a time. Write ISO 8601, such as 2026-01-31T09:00:00Z, or Unix time."
        ) from None


def metadata_of(raw: bytes, counts: Counts) -> dict[str, Any]:
    """Metadata as JSON can have it; what it cannot have is left out, and counted. Raises BatchError."""
    kind = kind_of(raw[0])
    if kind == "nothing":
        return {}
    if kind != "a map":
        raise BatchError(f"Its metadata is {kind}, and not a map.")
    if len(raw) > MAX_METADATA:
        raise BatchError(f"Its metadata has more than {MAX_METADATA >> 20} MiB.")
    return _json_map(value_of(raw), counts, 1)


def _json_map(pairs: Pairs, counts: Counts, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise BatchError(f"Its metadata is nested more than {MAX_DEPTH} deep.")
    plain: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            counts.metadata_dropped += 1
            continue
        made = _json_value(value, counts, depth)
        if made is not None or value is None:
            plain[clean(key)[0]] = made
    return plain


def _json_value(value: Any, counts: Counts, depth: int) -> Any:
    """The value as JSON has it; None for one that it cannot have, which is counted."""
    if isinstance(value, str):
        return clean(value)[0]
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Pairs):
        return _json_map(value, counts, depth + 1)
    if isinstance(value, list):
        if depth >= MAX_DEPTH:
            raise BatchError(f"Its metadata is nested more than {MAX_DEPTH} deep.")
        return [_json_value(each, counts, depth + 1) for each in value]
    made = _iso(value)
    counts.metadata_dropped += made is None
    return made


def _iso(value: Any) -> str | None:
    """MessagePack's own time as ISO 8601; None for anything else."""
    from msgpack import Timestamp

    if not isinstance(value, Timestamp):
        return None
    try:
        return str(value.to_datetime().isoformat())
    except (OverflowError, ValueError):
        return None


def length_of(raw: bytes) -> int | None:
    """How many elements a list says that it has; None for what is no list, or one that is too long."""
    if kind_of(raw[0]) != "a list" or len(raw) > _MAX_VECTOR:
        return None
    head = _HEADS.get(raw[0])
    return raw[0] & 0x0F if head is None else int.from_bytes(raw[1:head], "big")


def vector_of(raw: bytes) -> bytes | None:
    """A vector as float32, little endian; None for what cannot be one: not numbers, not finite, all zero."""
    length = length_of(raw)
    if not length or length > MAX_DIMENSION:
        return None
    try:
        numbers = _numbers(raw, length)
        # A sum is finite only if all are; what is too large for float32 is an error.
        if math.isfinite(sum(numbers)) and any(numbers):
            return struct.pack(f"<{length}f", *numbers)
    except (BatchError, TypeError, OverflowError, struct.error):
        pass
    return None


def _numbers(raw: bytes, length: int) -> Sequence[float]:
    """The elements of a list. Those that are all floats, as they should be, are read at once."""
    begin = _HEADS.get(raw[0], 1)
    for mark, size in _FLOATS.items():
        if len(raw) == begin + size * length and raw[begin::size] == bytes([mark]) * length:
            return _floats(mark, length).unpack_from(raw, begin)
    return value_of(raw)  # type: ignore[no-any-return]  # whether they are numbers, who adds them up finds out


@lru_cache(maxsize=4)
def _floats(mark: int, length: int) -> struct.Struct:
    return struct.Struct(">" + {0xCA: "xf", 0xCB: "xd"}[mark] * length)
