"""The nouns that every room shares, and the failures they may end in.

What belongs here: plain, frozen data and the typed errors. What does not: anything that reads the
environment, opens a file or imports another module of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
IdentityKind = Literal["person", "organisation"]
# Field: value, of a payload. A source of its own has fields of its own: a language, a symbol, a line.
Attributes = Mapping[str, str | int]


class IngestError(Exception):
    """Any failure we understand. Its message is for the person who has to act on it."""


class ConfigurationError(IngestError):
    """A setting, a mapping or a model is wrong: nothing of this kind will work until it is changed."""


class UnavailableError(IngestError):
    """A system we depend on did not answer in time. Transient: the same call may work later."""


class ItemError(IngestError):
    """One item cannot be processed as it is. Permanent for its content: it is parked, the rest goes on."""


class NotPublishedError(IngestError):
    """A collection was asked for that nothing has been published under yet."""


class SourceUnavailableError(UnavailableError):
    """A source could not be read to its end. It must never be taken for an empty one."""


def digest_of(*parts: str | bytes | None) -> str:
    """A 128-bit BLAKE2b digest (32 hex characters) of the parts, each framed by its length.

    None and the empty string are different parts, so NULL and '' give different digests.
    """
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        if part is None:
            h.update(b"-;")
            continue
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        h.update(b"%d:" % len(raw))
        h.update(raw)
    return h.hexdigest()


def when(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, as people and clients read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a person's or an organisation's record says about who it is, as the source has it."""

    kind: IdentityKind
    name: str  # in full
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()  # web sites or mail domains, for organisations
    identifiers: tuple[
        str, ...
    ] = ()  # numbers that are one's own: national number, VAT number, customer number
    given_name: str = ""  # where the source keeps the parts of a name apart
    family_name: str = ""
    birth_date: str = ""  # in whatever form
    title: str = ""  # what a person does
    organisation: str = ""  # a person's employer, by name
    address: str = ""  # street and number
    place: str = ""  # town
    postcode: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One record of a source, rendered: the unit that is chunked, and comes, changes and goes as a whole."""

    id: str  # unique within its source and stable there, for example "people/42"
    kind: str  # what a user filters by: "person", "email", "meeting", ...
    title: str
    uri: str  # where a person can look at it
    time: str | None  # ISO 8601, when it happened
    context: tuple[tuple[str, str], ...]  # (label, value): the header lines that every chunk repeats
    body: str
    refs: tuple[str, ...] = ()  # ids of the documents (people, organisations) that it is about
    identity: Identity | None = None
    attributes: Attributes = field(default_factory=dict)  # what its chunks' points carry besides


class SourceItem(NamedTuple):  # of which there are as many as records: a tuple is made in a third of the time
    """What a source says should exist: an id, a digest of all it is rendered from, and how to render it.

    `render` is only called for items whose digest is not the recorded one. It raises ItemError when
    the item cannot be rendered.
    """

    id: str
    digest: str
    render: Callable[[], Document]


class Source(Protocol):
    """A system that documents come from."""

    @property
    def name(self) -> str: ...

    @property
    def repaired(self) -> int:
        """How many documents rendered since the last read began held text that had to be cleaned."""
        ...

    def signature(self) -> str | None:
        """A cheap token that differs whenever the content may have; None when it cannot be told cheaply."""
        ...

    def read(self) -> AbstractContextManager[Iterator[SourceItem]]:
        """Every item, once, of one consistent snapshot; in any order, streamed.

        Raises SourceUnavailableError (also in the middle) when it cannot be read to its end, and
        ConfigurationError when it lacks a table or column that it should have.
        """
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that is embedded and found as one."""

    id: str  # UUIDv5 of (source, document, content anchor)
    document_id: str
    position: int  # 0-based within its document
    start: int  # offsets into the document's body, in characters, end exclusive
    end: int
    text: str  # what is embedded and shown: the header lines, then the piece of the body
    attributes: Attributes = field(default_factory=dict)  # what its point carries besides, not embedded


class Chunker(Protocol):
    """Cuts documents of one source."""

    @property
    def source(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints, equal chunks for equal documents."""
        ...

    def chunks(self, document: Document) -> list[Chunk]:
        """In order; their ids are derived from content."""
        ...


@dataclass(frozen=True, slots=True)
class SparseVectors:
    """A batch of n sparse vectors; row i is indices[offsets[i]:offsets[i + 1]], ascending."""

    offsets: NDArray[np.int64]  # (n + 1,)
    indices: NDArray[np.uint32]
    values: Float32Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, i: int) -> tuple[NDArray[np.uint32], Float32Array]:
        lo, hi = self.offsets[i], self.offsets[i + 1]
        return self.indices[lo:hi], self.values[lo:hi]


class DenseModel(Protocol):
    """Text to dense vectors. Safe to create before a batch and to keep for a process."""

    @property
    def identity(self) -> str:
        """Name, revision, dimension and preprocessing: equal identity means equal vectors for equal text."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """(len(texts), dimension), unit length, in order.

        Raises ItemError when some text of the batch cannot be embedded (the caller bisects),
        UnavailableError when the model does not answer, ConfigurationError when it is the wrong model.
        """
        ...

    def embed_query(self, text: str) -> Float32Array:
        """(dimension,), unit length."""
        ...


class SparseModel(Protocol):
    """Text to sparse term weights; the collection's IDF modifier does the rest of BM25."""

    @property
    def identity(self) -> str: ...

    def embed_stream(self, batches: Iterable[Sequence[str]]) -> Iterator[SparseVectors]:
        """One SparseVectors per batch, in order. Uses every core when there is enough to do."""
        ...

    def embed_query(self, text: str) -> SparseVectors:
        """One row."""
        ...


@dataclass(slots=True)
class Outcomes:
    """What became of every item of one stage in one run. The counts add up."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    parked: int = 0
    repaired: int = 0  # of those added or changed: text that held invalid characters and was cleaned
    sample: list[str] = field(default_factory=list)  # some of the items that moved, for people to look at

    @property
    def moved(self) -> int:
        return self.added + self.changed + self.removed

    def __iadd__(self, other: Outcomes) -> Self:
        self.added += other.added
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.removed += other.removed
        self.parked += other.parked
        self.repaired += other.repaired
        self.sample = (self.sample + other.sample)[:SAMPLE_SIZE]
        return self


SAMPLE_SIZE = 5
