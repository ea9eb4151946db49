"""The generations of a collection in the ledger: which is live, which is being built, which are dropped."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest_assets.collection.base import SCHEMA_VERSION, Store
from ingest_assets.collection.owned import OwnedStore
from ingest_assets.fields import FilterField
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import digest_of
from ingest_assets.reconcile import Delta
from ingest_assets.stages.ahead import forget_arrived, keys_ahead
from ingest_assets.stages.removals import Guard, Loss
from ingest_assets.stages.vectors import model_key

_collection, _generation, _point = tables.collection, tables.generation, tables.point
_dense, _sparse = tables.dense_vector, tables.sparse_vector
RECOGNISED_BY = 100  # points, of which some may have been deleted


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a generation is built with. Another fingerprint means another generation."""

    chunks: str  # fingerprint
    dense_model: str  # identities
    sparse_model: str
    dimension: int
    fields: tuple[FilterField, ...] = ()  # the source's own filter fields

    @property
    def fingerprint(self) -> str:
        indexes = sorted(f"{each.name} {each.type}" for each in self.fields)
        return digest_of(
            self.chunks, self.dense_model, self.sparse_model, str(self.dimension), SCHEMA_VERSION, *indexes
        )


def is_known(ledger: Ledger, collection: str, number: int) -> bool:
    """Whether this ledger made a generation, even if a crash kept it from recording that it is live."""
    query = sa.select(_generation.c.number).filter_by(collection=collection, number=number)
    with ledger.reading() as connection:
        return connection.scalar(query) is not None


def recognised(ledger: Ledger, store: Store, collection: str, number: int) -> str | None:
    """The pipeline of a generation without a mark, made before there were marks, if this ledger made it.

    Its number is not enough: every ledger begins with 1. It has to hold one of the points recorded of it, or
    nothing, if none is recorded.
    """
    mine = {"collection": collection, "number": number}
    points = sa.select(_point.c.chunk_id).filter_by(collection=collection, generation=number)
    with ledger.reading() as connection:
        pipeline: str | None = connection.scalar(sa.select(_generation.c.fingerprint).filter_by(**mine))
        recorded = connection.scalars(points.limit(RECOGNISED_BY)).all()
    if pipeline is None:
        return None
    with store.reader(collection, number) as reader:
        held = bool(reader.payloads(recorded)) if recorded else reader.count() == 0
    return pipeline if held else None


def note_contents(connection: sa.Connection, collection: str, number: int, *, known: bool) -> None:
    """The store is about to hold something else, which is not `known` yet; or holds it now.

    A name is never used again, not even by a ledger that was restored from a backup.
    """
    one = _generation.update().filter_by(collection=collection, number=number)
    connection.execute(one.values(contents=secrets.token_hex(16) if known else ""))


# Made once: each search asks, and making it takes longer than the answer.
_CONTENTS = sa.select(_generation.c.contents).where(
    _generation.c.collection == sa.bindparam("collection"), _generation.c.number == sa.bindparam("number")
)


def contents_of(connection: sa.Connection, collection: str, number: int) -> str:
    """A name for what the store holds as a generation; "" while it is being changed, and if it is strange."""
    return connection.scalar(_CONTENTS, {"collection": collection, "number": number}) or ""


@dataclass(frozen=True, slots=True)
class Generations:
    """The generations of one collection. The store decides which is live, not the ledger."""

    collection: str
    store: OwnedStore
    pipeline: Pipeline

    def adopt_store(self, session: sa.Connection) -> int | None:
        """Make the ledger agree with the store about what is there. Returns the live generation."""
        live = self.store.live(self.collection)
        present = self.store.generations(self.collection)
        mine = _generation.c.collection == self.collection
        session.execute(_generation.delete().where(mine, _generation.c.number.not_in(present)))
        known = sa.select(_generation.c.number).where(mine)
        session.execute(
            _point.delete().where(_point.c.collection == self.collection, _point.c.generation.not_in(known))
        )
        # A run began them and did not get to record them, or they were adopted.
        strays = {*present} - {*session.scalars(known), live}
        for stray in strays and strays & {*self.store.own_generations(self.collection)}:
            self.store.drop(self.collection, stray)
        if live is not None:
            self._mark_live(session, live)
        return live

    def _mark_live(self, session: sa.Connection, live: int) -> None:
        g = _generation
        mine = sa.and_(g.c.collection == self.collection, g.c.number != live, g.c.state == "live")
        session.execute(g.update().where(mine).values(state="previous"))
        now = sa.func.coalesce(g.c.published_at, time.time())
        one = sa.and_(g.c.collection == self.collection, g.c.number == live)
        session.execute(g.update().where(one).values(state="live", published_at=now))

    def target(self, session: sa.Connection, live: int | None, *, rebuild: bool) -> int:
        """The generation to write: the live one if its pipeline is ours, else one that is being built.

        Drops what earlier runs began and this one does not go on with.
        """
        number = self._chosen(session, live, rebuild=rebuild)
        begun = sa.select(_generation.c.number).filter_by(collection=self.collection, state="building")
        for left in session.scalars(begun.where(_generation.c.number != number)).all():
            self.discard(session, left)
        return number

    def is_left_over(self, connection: sa.Connection) -> bool:
        """Whether a run began a generation and did not publish it."""
        begun = sa.select(_generation.c.number).filter_by(collection=self.collection, state="building")
        return connection.scalar(begun.limit(1)) is not None

    def _chosen(self, session: sa.Connection, live: int | None, *, rebuild: bool) -> int:
        query = sa.select(_generation).filter_by(
            collection=self.collection, fingerprint=self.pipeline.fingerprint
        )
        rows = session.execute(query).all()
        if not rebuild and any(row.number == live for row in rows):
            assert live is not None
            if self.store.adapt(self.collection, live):
                return live
        for row in rows:
            if row.state == "building" and self.store.adapt(self.collection, int(row.number)):
                return int(row.number)
        return self._create(session)

    def _create(self, session: sa.Connection) -> int:
        last = session.scalar(sa.select(_collection.c.last_generation).filter_by(name=self.collection))
        number = max([*self.store.generations(self.collection), last or 0]) + 1
        upsert(session, _collection, [{"name": self.collection, "last_generation": number}])
        mark = self.store.own_mark(self.collection, self.pipeline.fingerprint)
        self.store.create(self.collection, number, self.pipeline.dimension, self.pipeline.fields, mark)
        row = {
            "collection": self.collection,
            "number": number,
            "fingerprint": self.pipeline.fingerprint,
            "dense_model": self.pipeline.dense_model,
            "sparse_model": self.pipeline.sparse_model,
            "dimension": self.pipeline.dimension,
            "state": "building",
            "created_at": time.time(),
            "published_at": None,
        }
        upsert(session, _generation, [row])
        return number

    def published(self, connection: sa.Connection, number: int) -> Delta:
        """Record the switch, keep the generation before it for rollback, drop older ones."""
        self._mark_live(connection, number)
        note_contents(connection, self.collection, number, known=True)  # though it may hold nothing
        rows = connection.execute(sa.select(_generation).filter_by(collection=self.collection)).all()
        earlier = sorted(row.number for row in rows if row.number < number and row.state == "previous")
        keep = {number, *earlier[-1:]}
        for old in {*self.store.own_generations(self.collection), *(row.number for row in rows)} - keep:
            self.discard(connection, old)
        self._forget_models(connection)
        return Delta()

    def require_as_full(self, ledger: Ledger, source: str, number: int, live: int, guard: Guard) -> None:
        """Raises RemovalsHeldError if too many documents of the live generation are not in a new one.

        Only documents that are still on record count: of those that are not, the removal was let go before.
        Of a generation that was adopted, the ledger does not know what it holds.
        """
        with ledger.reading() as connection:
            held = dict(connection.execute(self._by_kind(source, live)).tuples().all())
            lost = dict(connection.execute(self._by_kind(source, live, number)).tuples().all())
        losses = [Loss(kind, lost.get(kind, 0), of) for kind, of in held.items()]
        guard.require(losses, "publish an index without")

    def _documents(self, number: int) -> sa.Select[Any]:
        """The documents with points in a generation."""
        mine = {"collection": self.collection, "generation": number}
        return sa.select(_point.c.document_id).filter_by(**mine)

    def _by_kind(self, source: str, number: int, lacking: int | None = None) -> sa.Select[Any]:
        """How many documents on record of each kind are in a generation, and not in another one."""
        d = tables.document
        query = sa.select(d.c.kind, sa.func.count()).where(d.c.source == source)
        query = query.where(d.c.document_id.in_(self._documents(number)))
        if lacking is not None:
            query = query.where(d.c.document_id.not_in(self._documents(lacking)))
        return query.group_by(d.c.kind).order_by(d.c.kind)

    def discard(self, connection: sa.Connection, number: int) -> Delta:
        """Drop a generation if it is ours, and what is recorded of it."""
        if number in self.store.own_generations(self.collection):
            self.store.drop(self.collection, number)
        connection.execute(_generation.delete().filter_by(collection=self.collection, number=number))
        connection.execute(_point.delete().filter_by(collection=self.collection, generation=number))
        return Delta()

    def _forget_models(self, connection: sa.Connection) -> None:
        """Delete the vectors of models that no generation was built with, and that are not to come."""
        forget_arrived(connection)
        to_come = keys_ahead(connection)
        stage = tables.stage
        for table, column, name in (
            (_dense, _generation.c.dense_model, "dense_vectors"),
            (_sparse, _generation.c.sparse_model, "sparse_vectors"),
        ):
            used = [model_key(identity) for identity in connection.scalars(sa.select(column).distinct())]
            if connection.execute(table.delete().where(table.c.model.not_in([*used, *to_come]))).rowcount:
                # They may have been made for a generation that is yet to come.
                connection.execute(
                    stage.update().where(stage.c.stage == name).values(input_digest_at_success=None)
                )
