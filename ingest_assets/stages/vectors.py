"""Chunk texts to vectors in the ledger, one row per distinct text and model.

Vectors are memoised: a text that the same model has embedded for any source is not embedded again, unless a
run asks for it (`Run.again`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.plans import not_searched
from ingest_assets.ledger.store import delete_keys, pages, upsert
from ingest_assets.model import (
    ConfigurationError,
    DenseModel,
    Float32Array,
    ItemError,
    SparseModel,
    SparseVectors,
    digest_of,
)
from ingest_assets.quoting import quoted
from ingest_assets.reconcile import Delta, Refusal, Run, Step, content_sum, count_parked, is_parked, isolate
from ingest_assets.stopping import followed_by

BATCH = 1_000
REMOVAL_BATCH = 5_000
READ_AGAIN = 50  # documents whose texts are read at a time
# This many refusals without a success may not be the texts' fault. A model that refuses the probe as well
# refuses everything, and then nothing is parked.
SUSPICIOUS_REFUSALS = 10
PROBE = "An ordinary sentence."
UNIT_TOLERANCE = 1e-3  # how far rounding to float32 or float16 may move a length of 1

if TYPE_CHECKING:
    from ingest_assets.sources.definition import SuppliedVectors

_chunk, _document = tables.chunk, tables.document
Texts = Sequence[tuple[str, str]]  # (text digest, text)


def model_key(identity: str) -> str:
    """The key of a model's vectors in the ledger."""
    return digest_of(identity)


class _Vectors:
    """What the two kinds of vectors share: which texts lack one, and which vectors lack a text."""

    name: str
    part = ""
    source: str
    identity: str
    table: sa.Table

    @cached_property
    def fingerprint(self) -> str:
        return model_key(self.identity)

    def input_digest(self, connection: sa.Connection) -> str:
        return digest_of(self.fingerprint, content_sum(connection, self.source, "chunks"))

    def content(self, connection: sa.Connection) -> str:
        # A vector is a function of its text and model; only which vectors exist may differ. (The stage's sum
        # tells that it changed, but not which exist: other sources add to the same memo.)
        return digest_of(self.input_digest(connection), str(count_parked(connection, self.source, self.name)))

    def total(self, connection: sa.Connection) -> int:
        # From the vectors to the chunks, not the other way round: the index on texts serves each lookup.
        used = sa.exists().where(
            _chunk.c.text_digest == self.table.c.text_digest, _chunk.c.source == self.source
        )
        query = sa.select(sa.func.count()).where(self.table.c.model == self.fingerprint, used)
        return connection.scalar(query) or 0

    def texts(self, ledger: Ledger, run: Run) -> Iterator[Texts]:
        """The texts to embed: those of the documents to work off again, and those without a vector."""
        if run.again is not None:
            yield from self._again(ledger, run.again)
        yield from self.without(ledger, again=run.retry_parked or run.rebuild)

    def _again(self, ledger: Ledger, documents: sa.ColumnElement[bool]) -> Iterator[Texts]:
        """All texts of these documents. One that many documents have may come more than once."""
        ids = sa.select(_document.c.document_id).where(_document.c.source == self.source, documents)
        waiting: dict[str, str] = {}
        for page in pages(ledger, ids, _document.c.document_id, READ_AGAIN):
            mine = _chunk.c.document_id.in_([row.document_id for row in page])
            query = sa.select(_chunk.c.text_digest, _chunk.c.text).where(_chunk.c.source == self.source, mine)
            with ledger.reading() as connection:
                waiting.update(connection.execute(query).tuples().all())
            while len(waiting) >= BATCH:
                first = list(waiting.items())[:BATCH]
                waiting = dict(list(waiting.items())[BATCH:])
                yield first
        if waiting:
            yield list(waiting.items())

    def without(
        self, ledger: Ledger, *, again: bool = False, within: tuple[str, str] | None = None
    ) -> Iterator[Texts]:
        """The texts without a vector, each once, ordered by digest.

        `again`: also those that are parked. `within`: only those whose digests are greater than the first,
        and less than the second.
        """
        query, after = self._lacking(ledger.engine, again=again), ""
        if within is not None:
            after, before = within
            query = query.where(_chunk.c.text_digest < before)
        for page in pages(ledger, query, _chunk.c.text_digest, BATCH, after=after):
            yield [(row.text_digest, row.text) for row in page]

    def lacking(self, connection: sa.Connection) -> int:
        """How many distinct texts have no vector, without those that are parked."""
        query = self._lacking(connection.engine, again=False).subquery()
        return connection.scalar(sa.select(sa.func.count()).select_from(query)) or 0

    def _lacking(self, engine: sa.Engine, *, again: bool) -> sa.Select[Any]:
        """The texts without a vector; `again`: also those that are parked."""
        present = sa.exists().where(
            self.table.c.model == self.fingerprint, self.table.c.text_digest == _chunk.c.text_digest
        )
        source = not_searched(engine, _chunk.c.source)  # texts are read in their order
        query = (
            sa.select(_chunk.c.text_digest, sa.func.min(_chunk.c.text).label("text"))
            .where(source == self.source, ~present)
            .group_by(_chunk.c.text_digest)
        )
        return query if again else query.where(~is_parked(self, _chunk.c.text_digest, _chunk.c.text_digest))

    def record(self, connection: sa.Connection, texts: Texts, rows: Sequence[Mapping[str, Any]]) -> Delta:
        t, keys = self.table, [key for key, _ in texts]
        there = sa.select(t).where(t.c.model == self.fingerprint, t.c.text_digest.in_(keys))
        before = {row.text_digest: dict(row._mapping) for row in connection.execute(there)}
        upsert(connection, t, rows)
        delta = Delta(finished=keys)
        new = [key for key in keys if key not in before]
        delta.outcomes.added = len(new)
        delta.outcomes.changed = sum(before.get(row["text_digest"], row) != dict(row) for row in rows)
        for key in new:
            delta.add(key, self.fingerprint)
        delta.note(text.splitlines()[0][:80] for key, text in texts if key not in before)
        return delta

    def tell(self, ledger: Ledger, run: Run, texts: Texts) -> None:
        """Whose texts were worked off."""
        if run.worked is None or not texts:
            return
        query = sa.select(_chunk.c.document_id).where(
            _chunk.c.source == self.source, _chunk.c.text_digest.in_([key for key, _ in texts])
        )
        with ledger.reading() as connection:
            run.worked(connection.scalars(query))

    def removals(self, ledger: Ledger) -> Iterator[Step]:
        """Vectors of this model whose text is no longer in any chunk of any source."""
        used = sa.exists().where(_chunk.c.text_digest == self.table.c.text_digest)
        query = sa.select(self.table.c.text_digest).where(self.table.c.model == self.fingerprint, ~used)
        with ledger.reading() as connection:
            gone = connection.scalars(query).all()
        for start in range(0, len(gone), REMOVAL_BATCH):
            part = gone[start : start + REMOVAL_BATCH]
            yield Step(partial(self._remove, keys=part))
        yield Step(self._forget_parked)

    def _remove(self, connection: sa.Connection, keys: Sequence[str]) -> Delta:
        # Checked again: a run on another source may need one by now.
        used = sa.exists().where(_chunk.c.text_digest == self.table.c.text_digest)
        mine = (self.table.c.model == self.fingerprint, self.table.c.text_digest.in_(keys), ~used)
        gone = connection.scalars(sa.select(self.table.c.text_digest).where(*mine)).all()
        delete_keys(connection, self.table, {"model": self.fingerprint}, "text_digest", gone)
        delta = Delta()
        delta.outcomes.removed = len(gone)
        for key in gone:
            delta.drop(key, self.fingerprint)
        return delta

    def _forget_parked(self, connection: sa.Connection) -> Delta:
        """Unpark texts that are no longer in any chunk, have a vector, or were another model's."""
        p, t = tables.parked, self.table
        wanted = sa.exists().where(_chunk.c.source == self.source, _chunk.c.text_digest == p.c.item_id)
        made = sa.exists().where(t.c.model == self.fingerprint, t.c.text_digest == p.c.item_id)
        stale = sa.or_(~wanted, made, p.c.fingerprint != self.fingerprint)
        connection.execute(p.delete().where(p.c.source == self.source, p.c.stage == self.name, stale))
        return Delta()


@dataclass
class DenseVectors(_Vectors):
    """Keeps `dense_vector` complete for the chunks of a source. Outcomes count distinct texts."""

    source: str
    model: DenseModel
    supplied: SuppliedVectors | None = None  # by the source
    name: str = "dense_vectors"

    def __post_init__(self) -> None:
        self.identity, self.table = self.model.identity, tables.dense_vector

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        for texts in self.texts(ledger, run):
            told: set[str] = set()

            def tell(part: Texts, told: set[str] = told) -> None:
                """A part that is embedded; if one text was refused, those beside it come again."""
                self.tell(ledger, run, [(key, text) for key, text in part if key not in told])
                told.update(key for key, _ in part)

            yield self.embedded(texts, tell if run.worked is not None else None)
            tell(texts)
        yield from self.removals(ledger)

    def embedded(self, texts: Texts, tell: Callable[[Texts], None] | None = None) -> Step:
        """Their vectors: the source's own where they are usable, else the model's. Raises what it raises.

        A page of texts may take a slow model minutes: `tell` hears which are embedded meanwhile.
        """
        done: list[tuple[str, str]] = []
        rows: list[dict[str, Any]] = []
        refused: list[Refusal] = []
        usable = self._usable_supplied(dict(texts))
        for key, text in texts:
            if key in usable:
                done.append((key, text))
                rows.append(self._row(key, usable[key]))
        rest = [(key, text) for key, text in texts if key not in usable]
        for (key, text), result in isolate(partial(self._vectors, tell), rest) if rest else ():
            if isinstance(result, ItemError):
                refused.append(Refusal(key, key, f"{result} Text: {quoted(text[:80])}"))
                if not done and len(refused) == SUSPICIOUS_REFUSALS:
                    self._require_working()
                continue
            done.append((key, text))
            rows.append(self._row(key, result))
        return Step(partial(self.record, texts=done, rows=rows), refused)

    def _row(self, key: str, vector: Float32Array) -> dict[str, Any]:
        return {"model": self.fingerprint, "text_digest": key, "vector": vector.tobytes()}

    def _usable_supplied(self, texts: Mapping[str, str]) -> dict[str, Float32Array]:
        """Vectors that the source supplies, made by this very model, with the right shape and length."""
        if self.supplied is None or self.supplied.identity != self.identity:
            return {}
        shape = (self.model.dimension,)
        given = {key: np.asarray(v, "<f4") for key, v in self.supplied.vectors(texts).items() if key in texts}
        found = {key: vector for key, vector in given.items() if vector.shape == shape}
        if not found:
            return {}
        # Of all at once. What is not finite has no length near 1 either, nor has what is too large for one.
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(np.stack(list(found.values())), axis=1)
        is_unit = np.abs(lengths - 1) < UNIT_TOLERANCE
        return {key: vector for (key, vector), fits in zip(found.items(), is_unit, strict=True) if fits}

    def _require_working(self) -> None:
        try:
            self.model.embed([PROBE])
        except ItemError as error:
            raise ConfigurationError(
                f"The dense model {self.identity} refuses every text: {error}"
            ) from error

    def _vectors(self, tell: Callable[[Texts], None] | None, texts: Texts) -> Sequence[Float32Array]:
        with followed_by(tell and (lambda start, end: tell(texts[start:end]))):
            vectors = self.model.embed([text for _, text in texts])
        return list(vectors.astype("<f4", copy=False))


@dataclass
class SparseVectorsStage(_Vectors):
    """Keeps `sparse_vector` complete for the chunks of a source. Outcomes count distinct texts."""

    source: str
    model: SparseModel
    name: str = "sparse_vectors"

    def __post_init__(self) -> None:
        self.identity, self.table = self.model.identity, tables.sparse_vector

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        pages: list[Texts] = []

        def batches() -> Iterator[list[str]]:
            for page in self.texts(ledger, run):
                pages.append(page)
                yield [text for _, text in page]

        for vectors in self.model.embed_stream(batches()):
            texts = pages.pop(0)
            yield self._step(texts, vectors)
            self.tell(ledger, run, texts)
        yield from self.removals(ledger)

    def _step(self, texts: Texts, vectors: SparseVectors) -> Step:
        rows = [self._row(key, *vectors.row(i)) for i, (key, _) in enumerate(texts)]
        return Step(partial(self.record, texts=texts, rows=rows))

    def _row(self, key: str, indices: np.ndarray, values: np.ndarray) -> dict[str, Any]:
        return {
            "model": self.fingerprint,
            "text_digest": key,
            "indices": indices.astype("<u4", copy=False).tobytes(),
            "weights": values.astype("<f4", copy=False).tobytes(),
        }
