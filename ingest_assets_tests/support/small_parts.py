"""Small real parts for tests: a source in memory, a dense model that costs nothing, and a bench of them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from ingest_assets.collection.base import Store
from ingest_assets.embedding import sparse_model
from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import (
    Document,
    Float32Array,
    Identity,
    ItemError,
    Outcomes,
    SkippedItem,
    Source,
    SourceItem,
    SourceUnavailableError,
    SparseModel,
    UnavailableError,
    digest_of,
)
from ingest_assets.reconcile import reconcile
from ingest_assets.settings import Settings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.workbench import Workbench

DIMENSION = 16
COLLECTION = "crm_chunks"


def document(
    key: str,
    body: str = "",
    *,
    title: str = "",
    kind: str = "note",
    time: str | None = None,
    context: Sequence[tuple[str, str]] = (),
    refs: Sequence[str] = (),
    identity: Identity | None = None,
) -> Document:
    return Document(
        id=key,
        kind=kind,
        title=title or key,
        uri=f"crm://{key}",
        time=time,
        context=tuple(context),
        body=body,
        refs=tuple(refs),
        identity=identity,
    )


class ToySource:
    """Documents in a dict. It can refuse single items, and break while it is read."""

    name = "crm"

    def __init__(self, documents: Sequence[Document] = ()) -> None:
        self.documents = {d.id: d for d in documents}
        self.refused: dict[str, str] = {}  # id: why
        self.fails_after: int | None = None  # fails after this many items
        self.signed = True
        self.repaired = 0
        self.skipped: list[SkippedItem] = []
        self.rendered: list[str] = []
        self.twice: str | None = None  # an id that is given twice
        self.before: Callable[[], None] = lambda: None  # called before each item

    def put(self, *documents: Document) -> None:
        self.documents |= {d.id: d for d in documents}

    def signature(self) -> str | None:
        items = sorted((d.id, self._digest(d)) for d in self.documents.values())
        return digest_of(repr(items)) if self.signed else None

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        self.repaired = 0
        yield self._items()

    def _items(self) -> Iterator[SourceItem]:
        given = [*self.documents.values()]
        given += [self.documents[self.twice]] if self.twice else []
        for number, each in enumerate(given):
            self.before()
            if number == self.fails_after:
                raise SourceUnavailableError("the toy source broke while it was read")
            yield SourceItem(each.id, self._digest(each), partial(self._render, each))
        if self.fails_after is not None and self.fails_after >= len(given):
            raise SourceUnavailableError("the toy source broke at its end")

    def _digest(self, each: Document) -> str:
        return digest_of(repr(each), self.refused.get(each.id))

    def _render(self, each: Document) -> Document:
        self.rendered.append(each.id)
        if each.id in self.refused:
            raise ItemError(self.refused[each.id])
        return each


class ToyModel:
    """A hashed bag of words: real vectors, the same for the same text, at no cost. Counts what it embeds."""

    dimension = DIMENSION

    def __init__(self, revision: str = "1") -> None:
        self.revision = revision
        self.embedded: list[str] = []
        self.calls = 0
        self.refuses: Callable[[str], bool] = lambda _text: False
        self.available = True
        self.before: Callable[[], None] = lambda: None  # called before each batch

    @property
    def identity(self) -> str:
        return f"toy:{self.revision}:{DIMENSION}"

    def embed(self, texts: Sequence[str]) -> Float32Array:
        self.calls += 1
        self.before()
        if not self.available:
            raise UnavailableError("the toy model is down")
        if any(self.refuses(text) for text in texts):
            raise ItemError("the toy model refuses a text")
        self.embedded += texts
        return np.stack([self._vector(text) for text in texts])

    def embed_query(self, text: str) -> Float32Array:
        return self._vector(text)

    def _vector(self, text: str) -> Float32Array:
        vector = np.zeros(DIMENSION, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            hashed = zlib.crc32(f"{self.revision}{word}".encode())
            vector[hashed % DIMENSION] += 1 if hashed & 0x100 else -1
        if not vector.any():
            vector[0] = 1
        unit: Float32Array = vector / np.linalg.norm(vector)
        return unit.astype(np.float32)


class ToyBench(Workbench):
    """A workbench of the two above, with any ledger and store."""

    def __init__(
        self,
        home: Path,
        *,
        source: ToySource | None = None,
        model: ToyModel | None = None,
        ledger_url: str | None = None,
        ledger: Ledger | None = None,
        store: Store | None = None,
        **settings: Any,
    ) -> None:
        values = {"ingest_chunk_size": 100, "ingest_lock_timeout_s": 5, "qdrant_url": None} | settings
        super().__init__(_settings(ingest_home=home, ingest_ledger_url=ledger_url, **values))
        self.toy = source or ToySource()
        self.model = model or ToyModel()
        self.__dict__["dense_model"] = self.model
        self.__dict__["sparse_model"] = _sparse_model()
        given = {"ledger": ledger, "engine": store}
        self._given = {name: part for name, part in given.items() if part is not None}
        self.__dict__.update(self._given)

    def source(self, name: str, part: str = "") -> Source:
        assert (name, part) == (self.toy.name, "")
        return self.toy

    def close(self) -> None:
        """Close its own ledger and store, not those that were given to it."""
        for name in self._given:
            self.__dict__.pop(name, None)
        super().close()
        self.__dict__.update(self._given)

    def do(self, stage: str, *, rebuild: bool = False, retry_parked: bool = False) -> Outcomes:
        run = self.run(rebuild=rebuild, retry_parked=retry_parked)
        return reconcile(self.stage("crm", stage), self.ledger, run)

    def refresh(self, *, rebuild: bool = False, retry_parked: bool = False) -> dict[str, Outcomes]:
        return {name: self.do(name, rebuild=rebuild, retry_parked=retry_parked) for name in CRM.stage_names}


@cache
def _settings(**values: Any) -> Settings:
    """Cached, because they are frozen, and reading them takes as long as a small stage."""
    return Settings(_env_file=None, **values)


@cache
def _sparse_model() -> SparseModel:
    """The real one, made once per process: that takes a quarter of a second."""
    return sparse_model()


Row = tuple[Any, ...]


def dump(ledger: Ledger, *, but: tuple[str, ...] = ("last_success",)) -> dict[str, list[Row]]:
    """Every row of every table, sorted, without the columns named."""
    with ledger.reading() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(query)), key=repr)
            for name, query in _all_tables(but).items()
        }


@cache
def _all_tables(but: tuple[str, ...]) -> dict[str, sa.Select[Any]]:
    """Made once: making them takes as long as the database takes to answer."""
    return {
        table.name: sa.select(*(c for c in table.c if c.name not in but))
        for table in tables.metadata.sorted_tables
    }


Stored = dict[str, tuple[dict[str, Any], list[float], dict[int, float]]]


def contents(store: Store, collection: str = COLLECTION, generation: int | None = None) -> Stored:
    """All that a generation holds: id to payload, dense vector and sparse vector (term to weight)."""
    with store.reader(collection, generation) as reader:
        ids = [key for key, _ in reader.scan()]
        records = _retrieve(reader, ids) if ids else []
    held: Stored = {}
    for record in records:
        vector: Any = record.vector or {}
        sparse = vector.get("bm25")
        # Both engines hold 32 bits; over HTTP they are the shortest decimals of those, not the same 64.
        weights = [float(np.float32(value)) for value in sparse.values] if sparse is not None else []
        terms = dict(zip(sparse.indices, weights, strict=True)) if sparse is not None else {}
        held[str(record.id)] = (record.payload or {}, list(vector.get("dense", [])), terms)
    assert len(held) == len(ids)
    return held


def _retrieve(reader: Any, ids: list[str]) -> Any:
    """Points with their vectors, which the interface of readers does not give."""
    if hasattr(reader, "_shard"):
        return reader._shard.retrieve(ids, with_payload=True, with_vector=True)
    return reader._connection._client(0, "admin").retrieve(
        reader._name, ids, with_payload=True, with_vectors=True
    )
