"""Chunks, vectors and entities to points of a collection, one row per point that the store acknowledged."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa

from ingest_assets.collection.base import Leg, Payload, Points, Reader, Writer
from ingest_assets.collection.owned import OwnedStore
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import pages, temporary_table, upsert
from ingest_assets.model import IngestError, SparseVectors, common_of, digest_of
from ingest_assets.reconcile import Delta, Run, Step, content_sum
from ingest_assets.stages.generations import Generations, Pipeline, note_contents
from ingest_assets.stages.removals import Guard, let_go, stopping
from ingest_assets.stages.vectors import model_key
from ingest_assets.stopping import go_on

BATCH = 1_000
# The digests of a point that was touched but not acknowledged: they match no chunk.
UNKNOWN = ""
ALIKE = 0.99  # two texts with at least this cosine count as the same

_chunk, _about, _point = tables.chunk, tables.document_entities, tables.point
_dense, _sparse, _generation = tables.dense_vector, tables.sparse_vector, tables.generation
VECTOR_STAGES = ("dense_vectors", "sparse_vectors")
VECTORS = (_dense.c.vector, _sparse.c.indices, _sparse.c.weights)

# What was written since the last commit. chunk_digest is NULL where the point was deleted.
_pending = sa.Table(
    "pending",
    sa.MetaData(),
    sa.Column("chunk_id", sa.String(36), primary_key=True),
    sa.Column("document_id", sa.String, nullable=False),
    sa.Column("chunk_digest", sa.String(32)),
    sa.Column("entities_digest", sa.String(32)),
    sa.Column("announced", sa.Boolean, nullable=False),  # whether its row was blanked
    prefixes=["TEMPORARY"],
)


class IncompleteError(IngestError):
    """The collection cannot be brought up to date, because what it is made of is not there yet."""


class UnfitError(IngestError):
    """A generation that was built does not hold what it should, and must not be published."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Keeps one source's collection in step with its chunks. Outcomes count points."""

    source: str
    collection: str
    store: OwnedStore
    pipeline: Pipeline
    made_of: tuple[str, ...]  # the stages, besides those of the vectors, that its points are made of
    guard: Guard | None = None  # against publishing a generation that lacks what the live one has
    name: str = "collection"
    part: str = ""

    @property
    def fingerprint(self) -> str:
        return self.pipeline.fingerprint

    @property
    def _generations(self) -> Generations:
        return Generations(self.collection, self.store, self.pipeline)

    @property
    def _upstream(self) -> tuple[str, ...]:
        return (*self.made_of, *VECTOR_STAGES)

    def input_digest(self, connection: sa.Connection) -> str | None:
        live = {"collection": self.collection, "state": "live"}
        recorded = connection.scalar(sa.select(_generation.c.number).filter_by(**live))
        if self.store.live(self.collection) != recorded:
            return None  # the store was lost, or switched to another generation by someone else
        if self._generations.is_left_over(connection):
            return None  # an earlier run failed, and this one has to tidy up
        upstream = [content_sum(connection, self.source, stage) for stage in self._upstream]
        return digest_of(self.fingerprint, *upstream, self.store.layout)

    def content(self, connection: sa.Connection) -> str:
        # A point is a function of its chunk and entities; only which points exist may differ.
        made_of = [content_sum(connection, self.source, stage) for stage in self.made_of]
        return digest_of(self.fingerprint, *made_of, str(self.total(connection)))

    def total(self, connection: sa.Connection) -> int:
        live = self.store.live(self.collection)
        query = sa.select(sa.func.count()).select_from(_point)
        return connection.scalar(query.filter_by(collection=self.collection, generation=live)) or 0

    def steps(self, ledger: Ledger, session: sa.Connection, run: Run) -> Generator[Step]:
        self._require_upstream(ledger)
        generations = self._generations
        with session.begin():
            live = generations.adopt_store(session)
            number = generations.target(session, live, rebuild=run.rebuild)
        with self.store.writer(self.collection, number) as writer, temporary_table(session, _pending):
            work = _Work(self, number, writer, session)
            waiting = False
            for page in self._pages(ledger, number, run.again):
                ready = [row for row in page if row.vector is not None and row.indices is not None]
                waiting = waiting or len(ready) < len(page)
                go_on()  # an embedded engine has no step until its end
                yield from work.upsert(ready)
                if run.worked is not None:
                    run.worked(row.document_id for row in ready)
            for page in self._removals(ledger, number, waiting=waiting):
                go_on()
                yield from work.delete(page)
            yield from work.commit()
        if waiting:
            self._require_parked(ledger, number)
        if number != live:
            self.store.settle(self.collection, number)
            try:
                self._verify(ledger, number)
            except UnfitError:
                # The next run builds another one; this one would be refused again.
                yield Step(partial(generations.discard, number=number))
                raise
            if live is not None and self.guard is not None and not run.allow_removals:
                judge = partial(generations.require_as_full, ledger, self.source, number, live, self.guard)
                yield from stopping(self, judge)
            self.store.publish(self.collection, number)
            yield Step(partial(generations.published, number=number))
            yield Step(partial(let_go, self))

    def _require_upstream(self, ledger: Ledger) -> None:
        """Refuse to work after stages that never ran, or with chunks made with other settings."""
        run = sa.select(tables.stage.c.stage).where(
            tables.stage.c.source == self.source, tables.stage.c.last_success.is_not(None)
        )
        others = sa.select(tables.chunked.c.document_id).where(
            tables.chunked.c.source == self.source, tables.chunked.c.fingerprint != self.pipeline.chunks
        )
        with ledger.reading() as connection:
            done = set(connection.scalars(run))
            foreign = connection.execute(others.limit(1)).first()
        if missing := [f"{self.source}/{name}" for name in self._upstream if name not in done]:
            raise IncompleteError(
                f"{self.collection}: the ledger {ledger.name} knows of no successful run of "
                f"{', '.join(missing)}, so it cannot say what belongs in the index. Run `ingest build`, or "
                "materialize these first. The live index is untouched."
            )
        if foreign:
            raise IncompleteError(
                f"{self.collection}: some chunks were made with other INGEST_CHUNK_… settings than the "
                f"current ones. Materialize {self.source}/chunks and what follows it first, or run the whole "
                "job. The live index is untouched."
            )

    def _verify(self, ledger: Ledger, number: int) -> None:
        """Refuse to publish a generation that does not hold, or does not find, what the ledger says."""
        mine = {"collection": self.collection, "generation": number}
        with ledger.reading() as connection:
            recorded = connection.scalar(sa.select(sa.func.count()).select_from(_point).filter_by(**mine))
            canary = some_point(connection, self, number)
        with self.store.reader(self.collection, number) as reader:
            if (found := reader.count()) != recorded:
                raise UnfitError(
                    f"{self.collection}: generation {number} holds {found} points, {recorded} were "
                    "acknowledged. It was not published; the live generation stays."
                )
            if canary is not None and not finds(reader, canary):
                raise UnfitError(
                    f"{self.collection}: a search in generation {number} does not find what it holds. It was "
                    "not published; the live generation stays."
                )

    def with_vectors(self, columns: Sequence[Any], rows: sa.FromClause = _chunk) -> sa.Select[Any]:
        """A query of the source's chunks, each with the vectors of this pipeline that exist."""
        d, s = model_key(self.pipeline.dense_model), model_key(self.pipeline.sparse_model)
        return (
            sa.select(*columns)
            .select_from(rows)
            .outerjoin(_dense, sa.and_(_dense.c.model == d, _dense.c.text_digest == _chunk.c.text_digest))
            .outerjoin(_sparse, sa.and_(_sparse.c.model == s, _sparse.c.text_digest == _chunk.c.text_digest))
            .where(_chunk.c.source == self.source)
        )

    def _pages(
        self, ledger: Ledger, number: int, again: sa.ColumnElement[bool] | None = None
    ) -> Iterator[Sequence[Any]]:
        """Chunks whose point is missing or out of date, with the vectors that exist; and those `again`.

        One that lacks a vector waits for it. A chunk whose point is up to date waits for nothing.
        """
        entities = sa.func.coalesce(_about.c.digest, "")
        # Not a join: where Postgres has no statistics, it takes all points of a generation to be one, and
        # would read them all for each chunk.
        had = (
            sa.select(_point.c.chunk_digest + _point.c.entities_digest)
            .where(
                _point.c.collection == self.collection,
                _point.c.generation == number,
                _point.c.chunk_id == _chunk.c.chunk_id,
            )
            .scalar_subquery()
        )
        about = sa.and_(_about.c.source == _chunk.c.source, _about.c.document_id == _chunk.c.document_id)
        about_it = (_about.c.entity_ids, entities.label("entities_digest"))
        columns = [*_chunk.c, *VECTORS, *about_it, had.label("had")]
        # Vectors last: they are looked up only for chunks that differ.
        query = self.with_vectors(columns, _chunk.outerjoin(_about, about))
        differs = had.is_distinct_from(_chunk.c.digest + entities)
        query = query.where(differs if again is None else sa.or_(differs, self._of(again)))
        yield from pages(ledger, query, _chunk.c.chunk_id, BATCH)

    def _of(self, documents: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        """SQL: a chunk is of one of these documents."""
        d = tables.document
        return _chunk.c.document_id.in_(
            sa.select(d.c.document_id).where(d.c.source == self.source, documents)
        )

    def _lacking(self, columns: Sequence[Any]) -> sa.Select[Any]:
        """Chunks that lack a vector."""
        return self.with_vectors(columns).where(
            sa.or_(_dense.c.text_digest.is_(None), _sparse.c.text_digest.is_(None))
        )

    def _removals(self, ledger: Ledger, number: int, *, waiting: bool) -> Iterator[Sequence[Any]]:
        """Points without a chunk. While a document waits for vectors, its points stay."""
        wanted = sa.exists().where(_chunk.c.source == self.source, _chunk.c.chunk_id == _point.c.chunk_id)
        query = sa.select(_point.c.chunk_id, _point.c.document_id).where(
            _point.c.collection == self.collection, _point.c.generation == number, ~wanted
        )
        if waiting:
            query = query.where(_point.c.document_id.not_in(self._lacking([_chunk.c.document_id])))
        yield from pages(ledger, query, _point.c.chunk_id, BATCH)

    def _require_parked(self, ledger: Ledger, number: int) -> None:
        """Chunks may lack a point only because their text is parked. Otherwise say what to run first."""
        parked = sa.select(tables.parked.c.item_id).where(
            tables.parked.c.source == self.source,
            # Under the current models: another one may accept the text.
            sa.tuple_(tables.parked.c.stage, tables.parked.c.fingerprint).in_(
                [
                    ("dense_vectors", model_key(self.pipeline.dense_model)),
                    ("sparse_vectors", model_key(self.pipeline.sparse_model)),
                ]
            ),
        )
        query = self._lacking([sa.func.count()]).where(_chunk.c.text_digest.not_in(parked))
        with ledger.reading() as connection:
            absent = connection.scalar(query) or 0
        if absent:
            raise IncompleteError(
                f"{self.collection}: {absent} chunks have no vectors of the current models yet, so "
                f"generation {number} is incomplete. Materialize {self.source}/dense_vectors and "
                f"{self.source}/sparse_vectors first, or run the whole job."
            )


@dataclass
class _Work:
    """Points written to the store, and their rows held back until the store has acknowledged them.

    Before the store may show a point's new state, its row is blanked: from then on it is unknown what the
    store holds. After a crash in between, the next run writes or deletes the point again, even if its chunk
    has been changed back by then.
    """

    stage: Collection
    number: int
    writer: Writer
    session: sa.Connection
    delta: Delta = field(default_factory=Delta)
    uncommitted: int = 0

    def upsert(self, rows: Sequence[Any]) -> Iterator[Step]:
        if not rows:
            return
        yield from self._hold(
            {
                "chunk_id": row.chunk_id,
                "document_id": row.document_id,
                "chunk_digest": row.digest,
                "entities_digest": row.entities_digest,
            }
            for row in rows
        )
        self.writer.upsert(points_of(self.stage.source, rows))
        changed = sum(row.had is not None for row in rows)
        self.delta.outcomes.changed += changed
        self.delta.outcomes.added += len(rows) - changed
        self.delta.note(f"{row.document_id}#{row.position}: {row.title}" for row in rows)
        yield from self._commit_when_due()

    def delete(self, rows: Sequence[Any]) -> Iterator[Step]:
        gone = {"chunk_digest": None, "entities_digest": None}
        yield from self._hold(
            {"chunk_id": row.chunk_id, "document_id": row.document_id} | gone for row in rows
        )
        self.writer.delete([row.chunk_id for row in rows])
        self.delta.outcomes.removed += len(rows)
        self.delta.note(f"{row.document_id}: removed" for row in rows)
        yield from self._commit_when_due()

    def commit(self) -> Iterator[Step]:
        if not self.uncommitted:
            return
        if self.stage.store.commit_every is None:
            yield Step(self._announce)
        self.writer.commit()
        delta, self.delta, self.uncommitted = self.delta, Delta(), 0
        yield Step(partial(self._record, delta=delta))

    def _hold(self, rows: Iterable[dict[str, Any]]) -> Iterator[Step]:
        pending = [row | {"announced": False} for row in rows]
        with self.session.begin():
            upsert(self.session, _pending, pending)
        self.uncommitted += len(pending)
        if self.stage.store.commit_every is not None:
            yield Step(self._announce)  # the store shows writes at once

    def _commit_when_due(self) -> Iterator[Step]:
        every = self.stage.store.commit_every
        if every is not None and self.uncommitted >= every:
            yield from self.commit()

    def _announce(self, connection: sa.Connection) -> Delta:
        new = _pending.c.announced.is_(sa.false())
        self._replace(connection, sa.literal(UNKNOWN), sa.literal(UNKNOWN), new, new)
        connection.execute(_pending.update().where(new).values(announced=True))
        note_contents(connection, self.stage.collection, self.number, known=False)
        return Delta()

    def _record(self, connection: sa.Connection, delta: Delta) -> Delta:
        there = _pending.c.chunk_digest.is_not(None)
        self._replace(connection, _pending.c.chunk_digest, _pending.c.entities_digest, sa.true(), there)
        connection.execute(_pending.delete())
        note_contents(connection, self.stage.collection, self.number, known=True)
        return delta

    def _replace(self, connection: sa.Connection, chunk: Any, entities: Any, these: Any, there: Any) -> None:
        """Replace the recorded rows of `these` pending points; those that are `there` get the digests."""
        mine = {"collection": self.stage.collection, "generation": self.number}
        touched = sa.select(_pending.c.chunk_id).where(these)
        connection.execute(_point.delete().filter_by(**mine).where(_point.c.chunk_id.in_(touched)))
        scope = (sa.literal(self.stage.collection), sa.literal(self.number))
        rows = sa.select(*scope, _pending.c.chunk_id, _pending.c.document_id, chunk, entities).where(there)
        names = ["collection", "generation", "chunk_id", "document_id", "chunk_digest", "entities_digest"]
        connection.execute(_point.insert().from_select(names, rows))


def finds(reader: Reader, sample: Points) -> bool:
    """Whether a search with a point's vectors finds it (or an equal) by meaning, and something by words."""
    legs = [Leg("dense", dense=sample.dense[0]), Leg("bm25", sparse=sample.sparse)]
    dense, sparse = reader.query(legs, limit=10)
    by_meaning = any(hit.id == sample.ids[0] or hit.score >= ALIKE for hit in dense)
    return by_meaning and (bool(sparse) or sample.sparse.offsets[-1] == 0)


def some_point(connection: sa.Connection, stage: Collection, number: int | None) -> Points | None:
    """One recorded point of a generation, as the ledger has it now; None if there is none."""
    here = sa.and_(
        _point.c.collection == stage.collection,
        _point.c.generation == number,
        _point.c.chunk_id == _chunk.c.chunk_id,
        _point.c.chunk_digest == _chunk.c.digest,
    )
    columns = [*_chunk.c, *VECTORS, sa.null().label("entity_ids"), _point.c.entities_digest]
    query = stage.with_vectors(columns).join(_point, here).where(_dense.c.text_digest.is_not(None))
    row = connection.execute(query.where(_sparse.c.text_digest.is_not(None)).limit(1)).one_or_none()
    return None if row is None else points_of(stage.source, [row])


def points_of(source: str, rows: Sequence[Any]) -> Points:
    """Rows of chunks, with their vectors and entities, as points."""
    indices = [np.frombuffer(row.indices, "<u4") for row in rows]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in indices], out=offsets[1:])
    weights = [np.frombuffer(row.weights, "<f4") for row in rows]
    dense = np.frombuffer(b"".join(row.vector for row in rows), "<f4").reshape(len(rows), -1)
    return Points(
        ids=[row.chunk_id for row in rows],
        dense=dense,
        sparse=SparseVectors(offsets, np.concatenate(indices), np.concatenate(weights)),
        payloads=[payload_of(source, row) for row in rows],
    )


def payload_of(source: str, row: Any) -> Payload:
    """What a point carries besides its vectors."""
    attributes: Payload = json.loads(row.attributes)
    return attributes | {
        "source": source,
        "document_id": row.document_id,
        **common_of(row),
        "entity_ids": json.loads(row.entity_ids or "[]"),
        "text": row.text,
        "position": row.position,
        "start": row.start,
        "end": row.end,
        "digest": point_digest(row.digest, row.entities_digest),
    }


def point_digest(chunk_digest: str, entities_digest: str) -> str:
    """A digest of all that a point holds. An audit compares it with what the ledger wants."""
    return f"{chunk_digest}{entities_digest}"
