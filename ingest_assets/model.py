"""The data types that all rooms share, and the typed errors.

What belongs here: plain, frozen data and errors. What does not: anything that reads the environment, opens a
file or imports another of our modules, except for `redaction`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

from ingest_assets.redaction import redact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32Array = NDArray[np.float32]
else:  # numpy takes longer to import than all else that a confined process needs
    Float32Array = "NDArray[np.float32]"
IdentityKind = Literal["person", "organisation"]
# A payload's fields and their values. A source adds fields of its own: a language, a symbol, a line.
Scalar = str | int | float | bool
Attributes = Mapping[str, Scalar | Sequence[str]]


class Markdown(str):
    """Text that a user interface renders; other strings are shown as they are."""

    __slots__ = ()


class IngestError(Exception):
    """Any failure we understand. Its message is for the person who has to act on it, and shows no secrets.

    They are removed when the message is read: an error may be older than the settings that name them.
    """

    def __str__(self) -> str:
        return redact(super().__str__())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class RequestError(IngestError):
    """What a caller asked for is wrong. The message speaks of the request only, and any caller may see it."""


class ConfigurationError(IngestError):
    """A setting, a mapping or a model is wrong: nothing of this kind will work until it is changed."""


class ContentError(RequestError, ConfigurationError):
    """What a source holds exceeds a limit, or is not what it should be. Any caller may see the message."""


class UnavailableError(IngestError):
    """A system we depend on did not answer in time. Transient: the same call may work later."""


class ItemError(IngestError):
    """One item cannot be processed as it is. Permanent for its content: it is parked, the rest goes on."""


class NotFoundError(RequestError):
    """There is nothing of the name or id that a caller gave."""


class StateError(RequestError):
    """What a caller asked for is not possible in the present state of what it is about."""


class NotPublishedError(RequestError):
    """Nothing has been published yet under the name of the collection."""


class SourceUnavailableError(UnavailableError):
    """A source could not be read completely. It must never be mistaken for an empty one."""


class DamagedError(SourceUnavailableError):
    """What is kept here of a source is not what it was. Fetching it again helps."""


def digest_of(*parts: str | bytes | None) -> str:
    """A 128-bit BLAKE2b digest (32 hex characters) of the parts, each framed by its length.

    None and the empty string are different parts, so NULL and '' give different digests.
    """
    framed: list[bytes] = []  # and digested at once: a call for each costs more than the digest
    for part in parts:
        if part is None:
            framed.append(b"-;")
            continue
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        framed.append(b"%d:" % len(raw))
        framed.append(raw)
    return hashlib.blake2b(b"".join(framed), digest_size=16).hexdigest()


@lru_cache(maxsize=256)  # all records of a batch have one time
def when(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, for people and clients."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a person's or an organisation's record says about who it is, as the source has it."""

    kind: IdentityKind
    name: str  # in full
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()  # web sites or mail domains, for organisations
    identifiers: tuple[str, ...] = ()  # unique to the holder: national number, VAT number, customer number
    given_name: str = ""  # where the source keeps the parts of a name apart
    family_name: str = ""
    birth_date: str = ""  # in any form
    title: str = ""  # a person's job title
    organisation: str = ""  # a person's employer, by name
    address: str = ""  # street and number
    place: str = ""  # town
    postcode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What a document, each of its chunks, each of their points and each hit have in common.

    A field that is added here, with a default, needs a migration of the tables `document` and `chunk`, and
    another VERSION of `stages.records` and SCHEMA_VERSION of `collection.base`, so that existing rows and
    points get it. Rows, payloads and hits are made from this definition. `filter` says how the field can be
    filtered, and `about` describes that.
    """

    title: str
    uri: str  # where people can open it
    kind: str = field(
        metadata={"filter": "keyword", "about": "Only documents of these kinds."}
    )  # "person", "email", "meeting", ...
    time: str | None = field(metadata={"filter": "time"})  # ISO 8601, when it happened


COMMON = tuple(each.name for each in fields(Common))
_common = attrgetter(*COMMON)


# What the points of every source carry. Everything else is an attribute of the source.
COMMON_PAYLOAD = frozenset(
    {*COMMON, "source", "document_id", "entity_ids", "text", "position", "start", "end", "digest"}
)


def common_of(holder: object) -> dict[str, Any]:
    """The common fields of a document, a chunk's row, or whatever else has them as attributes."""
    return dict(zip(COMMON, _common(holder), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Common):
    """One record of a source, rendered: the unit that is chunked, added, changed and removed as a whole."""

    id: str  # unique within its source and stable there, for example "people/42"
    context: tuple[tuple[str, str], ...]  # (label, value): the header lines that every chunk repeats
    body: str
    refs: tuple[str, ...] = ()  # ids of the documents (people, organisations) that it is about
    identity: Identity | None = None
    attributes: Attributes = field(default_factory=dict)  # points carry those that the source declares


class SourceItem(NamedTuple):  # one per record: creating a tuple takes a third of the time
    """What a source says should exist: an id, a digest of all it is rendered from, and how to render it.

    `render` is only called for items whose digest differs from the recorded one. It raises ItemError when
    the item cannot be rendered.
    """

    id: str
    digest: str
    render: Callable[[], Document]
    size: int = 0  # characters that are held in memory until it is rendered, or no longer needed; about


class SkippedItem(NamedTuple):
    """Something that a source leaves out of the index on purpose."""

    id: str  # the one that its document would have
    reason: str  # one word, chosen by the source, such as "binary"
    size: int | None = None  # bytes; None if there is nothing to measure
    detail: str = ""


class Source(Protocol):
    """A system, or a part of one, that documents come from."""

    @property
    def name(self) -> str: ...

    @property
    def repaired(self) -> int:
        """How many documents rendered since the last read began contained text that had to be cleaned."""
        ...

    @property
    def skipped(self) -> Sequence[SkippedItem]:
        """What the last read left out; complete once that read has finished."""
        ...

    def signature(self) -> str | None:
        """A cheap token that changes whenever the content may have changed; None if there is no cheap one."""
        ...

    def read(self) -> AbstractContextManager[Iterator[SourceItem]]:
        """Stream every item of one consistent snapshot, once, in any order.

        Raises SourceUnavailableError, possibly midway, when the source cannot be read completely, and
        ConfigurationError when it lacks a required table or column.
        """
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that is embedded and found as a unit."""

    id: str  # UUIDv5 of (source, document, content anchor)
    document_id: str
    position: int  # 0-based within its document
    start: int  # offsets into the document's body, in characters, end exclusive
    end: int
    text: str  # what is embedded and shown: the header lines, then the piece of the body
    attributes: Attributes = field(default_factory=dict)  # what its point also carries, not embedded


class Chunker(Protocol):
    """Cuts the documents of one source into chunks."""

    @property
    def source(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints mean equal chunks for equal documents."""
        ...

    def chunks(self, document: Document) -> list[Chunk]:
        """The chunks of a document, in order. Their ids are derived from content."""
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
    """Text to dense vectors. May be created before a batch and kept for the life of a process."""

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
    repaired: int = 0  # of those added or changed: text that had invalid characters and was cleaned
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
