"""Prove that a collection is what the ledger wants it to be, and repair it when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Protocol

import sqlalchemy as sa

from ingest_assets.collection.base import Store
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.plans import looked_up
from ingest_assets.ledger.store import temporary_table, upsert
from ingest_assets.model import NotPublishedError
from ingest_assets.stages.collection import UNKNOWN

BATCH = 5_000

_chunk, _about, _point = tables.chunk, tables.document_entities, tables.point

# What the store reports that it holds.
_found = sa.Table(
    "found",
    sa.MetaData(),
    sa.Column("chunk_id", sa.String, primary_key=True),  # of any length: anyone may have written it
    sa.Column("digest", sa.String, nullable=False),
    prefixes=["TEMPORARY"],
)


class Published(Protocol):
    """The collection of a source, in a store. An audit needs no models."""

    @property
    def source(self) -> str: ...

    @property
    def collection(self) -> str: ...

    @property
    def store(self) -> Store: ...


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts of points. `expected` is what the ledger wants, `present` what the store holds.

    Chunks whose text is parked are not expected; `ingest parked` lists them.
    """

    expected: int
    present: int
    missing: int
    orphaned: int
    stale: int
    without_sparse: int

    @property
    def agrees(self) -> bool:
        return not (self.missing or self.orphaned or self.stale or self.without_sparse)

    def to_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


def audit(published: Published, ledger: Ledger) -> Audit:
    """Compare every point of the live generation with what the ledger wants. Writes nothing.

    A collection that was never published has no points.
    """
    with _observed(published, ledger) as (session, without_sparse):
        return _compare(session, published, without_sparse)


def accept_observed(published: Published, ledger: Ledger, lock_timeout_s: float) -> None:
    """Record what the store really holds, so that the next reconciliation repairs the difference.

    Points that are stale or lack their sparse vector are recorded as missing, orphaned ones as points
    to be removed. Asked of several nodes one after the other, what differs at any of them is recorded.
    """
    with (
        ledger.lock(published.source, lock_timeout_s),
        _observed(published, ledger) as (session, without_sparse),
        session.begin(),
    ):
        number = published.store.live(published.collection)
        mine = {"collection": published.collection, "generation": number}
        found = sa.select(_found.c.chunk_id)
        good = sa.and_(
            _found.c.chunk_id == _point.c.chunk_id,
            _found.c.digest == _point.c.chunk_digest + _point.c.entities_digest,
        )
        # What is to be written or removed anyway stays on record, whichever node holds it.
        gone = sa.and_(_point.c.chunk_digest != UNKNOWN, ~sa.exists().where(good))
        session.execute(_point.delete().filter_by(**mine).where(gone))
        for start in range(0, len(without_sparse), BATCH):
            part = without_sparse[start : start + BATCH]
            session.execute(_point.delete().filter_by(**mine).where(_point.c.chunk_id.in_(part)))
        wanted = sa.select(_chunk.c.chunk_id).where(_chunk.c.source == published.source)
        known = sa.select(_point.c.chunk_id).filter_by(**mine)
        orphans = session.scalars(
            found.where(_found.c.chunk_id.not_in(wanted), _found.c.chunk_id.not_in(known))
        ).all()
        blank = {"document_id": "", "chunk_digest": UNKNOWN, "entities_digest": UNKNOWN}
        upsert(session, _point, [mine | blank | {"chunk_id": key} for key in orphans])
        here = {"source": published.source, "stage": "collection"}
        session.execute(tables.stage.update().filter_by(**here).values(input_digest_at_success=None))


@contextmanager
def _observed(published: Published, ledger: Ledger) -> Iterator[tuple[sa.Connection, list[str]]]:
    """A session with the store's points in `found`, and the ids of those without a sparse vector."""
    with ledger.session() as session, temporary_table(session, _found):
        try:
            with published.store.reader(published.collection) as reader:
                points = reader.scan()
                while batch := list(islice(points, BATCH)):
                    rows = [{"chunk_id": key, "digest": digest} for key, digest in batch]
                    with session.begin():
                        session.execute(_found.insert(), rows)
                without_sparse = reader.without_sparse()
        except NotPublishedError:
            without_sparse = []
        yield session, without_sparse


def _compare(session: sa.Connection, published: Published, without_sparse: list[str]) -> Audit:
    about = sa.and_(_about.c.source == _chunk.c.source, _about.c.document_id == _chunk.c.document_id)
    digest = _chunk.c.digest + sa.func.coalesce(_about.c.digest, "")
    wanted: Any = (
        sa.select(_chunk.c.chunk_id, digest.label("digest"))
        .select_from(_chunk.outerjoin(_about, about))
        .where(_chunk.c.source == published.source, _chunk.c.text_digest.not_in(_parked(published)))
        .subquery()
    )
    joined = sa.select(
        sa.func.count(),
        sa.func.count().filter(_found.c.chunk_id.is_(None)),
        sa.func.count().filter(_found.c.digest != wanted.c.digest),
    ).select_from(wanted.outerjoin(_found, _found.c.chunk_id == wanted.c.chunk_id))
    # A document whose new text is parked keeps its old points.
    waiting = sa.select(_chunk.c.document_id).where(
        _chunk.c.source == published.source, _chunk.c.text_digest.in_(_parked(published))
    )
    kept = sa.select(_point.c.chunk_id).where(
        _point.c.collection == published.collection, _point.c.document_id.in_(waiting)
    )
    orphaned = sa.select(sa.func.count()).where(
        ~sa.exists().where(_chunk.c.source == published.source, _chunk.c.chunk_id == _found.c.chunk_id),
        _found.c.chunk_id.not_in(kept),
    )
    with session.begin():
        expected, missing, stale = session.execute(joined).one()
        present = session.scalar(sa.select(sa.func.count()).select_from(_found)) or 0
        orphans = session.scalar(orphaned.select_from(_found)) or 0
    return Audit(expected, present, missing, orphans, stale, len(without_sparse))


def recorded_points(connection: sa.Connection, published: Published, number: int) -> tuple[int, int]:
    """How many points a generation has on record, and how many chunks have none and are not parked."""
    mine = sa.and_(_point.c.collection == published.collection, _point.c.generation == number)
    recorded = sa.select(sa.func.count()).select_from(_point).where(mine)
    lacking = sa.select(sa.func.count()).where(
        _chunk.c.source == published.source,
        ~looked_up(mine, _point.c.chunk_id == _chunk.c.chunk_id),
        _chunk.c.text_digest.not_in(_parked(published)),
    )
    return connection.scalar(recorded) or 0, connection.scalar(lacking.select_from(_chunk)) or 0


def _parked(published: Published) -> sa.Select[Any]:
    """Digests of the texts that a model refused."""
    return sa.select(tables.parked.c.item_id).where(
        tables.parked.c.source == published.source,
        tables.parked.c.stage.in_(["dense_vectors", "sparse_vectors"]),
    )
