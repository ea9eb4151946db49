"""What is known of a batch, and its records.

What belongs here: what reading gives. What does not: reading (`reading`), and what is recorded (`recording`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic_core import from_json

from ingest_assets.sources.spool.intake.errors import BatchError

# What is wrong with a vector, as a batch's `extra` counts it.
OTHER_DIMENSION, NOT_FINITE = "vectors_of_another_dimension", "vectors_not_finite"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a batch says of itself, and how much there is of what."""

    batch_tag: str  # as the envelope has it; "" if it has none
    source: str  # "" if the envelope has none
    created_at: float  # seconds since 1970; the file's time if the envelope has none
    pii: bool  # by its envelope, a record, or a source that is personal by the settings
    records: int  # all of them
    skipped: int  # of the records: those without text
    dimension: int | None  # of vectors that come along, as the envelope says; 0 if that is nonsense
    vectors: int  # that came along and have the right length; 0 if the settings do not have them used
    vectors_ignored: int  # the others
    metadata_dropped: int  # values that JSON cannot have
    repaired: int  # records whose text held control characters


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file is. Either `facts` or `error` is there."""

    digest: str  # of its bytes, 32 hex characters; of its inode, size and time if they are not read
    bytes: int
    mtime: float
    facts: Facts | None
    error: BatchError | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a batch since it was scanned. Reading its records again must agree with it."""

    digest: str
    source: str
    dimension: int | None
    records: int  # with text

    @classmethod
    def of_row(cls, row: Any) -> Known:
        """By its row of the manifest."""
        dimension = from_json(row.extra).get("dimension")
        return cls(row.digest, row.source, dimension, row.total_records - row.skipped)


@dataclass(frozen=True, slots=True)
class Record:
    """One record with text."""

    number: int  # its place in the batch, from 0; those without text count
    source: str  # its own, else the envelope's
    text: str
    metadata: Mapping[str, Any]  # as JSON can have it
    vector: bytes | None  # float32, little endian, finite; of the envelope's dimension if it says one
    wrong: str  # with a vector that would be used, and cannot be: OTHER_DIMENSION or NOT_FINITE; else ""


def with_finite_vectors(page: list[Record]) -> list[Record]:
    """The records, without vectors that are not finite."""
    if _is_finite(b"".join(each.vector for each in page if each.vector is not None)):
        return page
    return [
        each
        if each.vector is None or _is_finite(each.vector)
        else replace(each, vector=None, wrong=NOT_FINITE)
        for each in page
    ]


def _is_finite(vectors: bytes) -> bool:
    return bool(np.isfinite(np.frombuffer(vectors, "<f4")).all())
