"""What of a job's target is not in the index, and the rule that such a job never ends as a success.

What belongs here: the rule, for every source, and counting what is missing. What does not: which documents
are a job's (its source's definition), and the checks of a collection (`stages.checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.jobs.errors import IncompleteError
from ingest_assets.jobs.events import UNREAD_REASON
from ingest_assets.ledger import tables
from ingest_assets.ledger.plans import looked_up
from ingest_assets.model import NotPublishedError

if TYPE_CHECKING:
    from ingest_assets.jobs.definition import Scope
    from ingest_assets.workbench import Workbench

NAMED = 3  # items that the sentence names
VECTORS = ("dense_vectors", "sparse_vectors")
_NOUNS = {
    "unread": ("file could not be read", "files could not be read"),
    "parked": ("item is parked", "items are parked"),
    "without_point": ("chunk is not in the index", "chunks are not in the index"),
    "failed_checks": ("check failed", "checks failed"),
}
_document, _chunk, _parked, _skipped = tables.document, tables.chunk, tables.parked, tables.skipped_item


@dataclass(slots=True)
class Missing:
    """What is missing, by kind (of `_NOUNS`), and the names of some of it."""

    counts: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def add(self, kind: str, count: int, names: Sequence[str] = ()) -> None:
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count
            self.names += names

    @property
    def error(self) -> IncompleteError | None:
        """Why the job is no success; None when nothing is missing. Speaks of the request only."""
        if not self.counts:
            return None
        said = "; ".join(f"{count:,} {_NOUNS[kind][count > 1]}" for kind, count in self.counts.items())
        names = ", ".join(self.names[:NAMED])
        more = " and others" if names and sum(self.counts.values()) > NAMED else ""
        named = f" ({names}{more})" if names else ""
        return IncompleteError(f"The job did what it could, and its result is not complete: {said}{named}.")


def missing(
    bench: Workbench, source: str, scope: Scope, failed_checks: Callable[[], Sequence[str]] = tuple
) -> Missing:
    """What of a scope is not in the published index. Checks are asked when the scope has chunks."""
    found = Missing()
    published = bench.published(source)
    try:
        with bench.store.reader(bench.sources[source].collection) as reader:
            generation = reader.generation
    except NotPublishedError:
        generation = 0
    with bench.ledger.reading() as connection:
        unread = connection.execute(_unread(source, scope)).all()
        found.add("unread", len(unread), [_why(row) for row in unread[:NAMED]])
        parked = list(dict.fromkeys(parked_ids(connection, source, scope)))
        found.add("parked", len(parked), [each for each in parked if "/" in each])
        chunks = connection.scalar(sa.select(sa.func.count()).select_from(_of(source, scope))) or 0
        lacking = connection.scalar(_lacking(source, scope, published.collection, generation)) or 0
    found.add("without_point", lacking)
    if chunks:
        failed = failed_checks()
        found.add("failed_checks", len(failed), failed)
    return found


def is_anything_parked(bench: Workbench, source: str, scope: Scope) -> bool:
    """Whether an item of a scope waits to be tried again."""
    with bench.ledger.reading() as connection:
        return next(parked_ids(connection, source, scope), None) is not None


def parked_ids(connection: sa.Connection, source: str, scope: Scope) -> Iterator[str]:
    """The ids of parked documents, and the documents of parked texts (each perhaps more than once)."""
    p = _parked
    documents = sa.select(p.c.item_id).where(
        p.c.source == source, p.c.stage.not_in(VECTORS), scope.holds(p.c.item_id)
    )
    yield from connection.scalars(documents.order_by(p.c.item_id))
    # From the parked to their chunks: parked texts are few.
    texts = (
        sa.select(_chunk.c.document_id)
        .join(p, sa.and_(_chunk.c.text_digest == p.c.item_id, _chunk.c.source == p.c.source))
        .where(p.c.source == source, p.c.stage.in_(VECTORS), scope.holds(_chunk.c.document_id))
    )
    yield from connection.scalars(texts.order_by(_chunk.c.document_id))


def _unread(source: str, scope: Scope) -> sa.Select[Any]:
    s = _skipped
    where = (s.c.source == source, s.c.reason == UNREAD_REASON, scope.holds(s.c.item_id))
    return sa.select(s.c.item_id, s.c.detail).where(*where).order_by(s.c.item_id)


def _why(row: Any) -> str:
    return f"{row.item_id}: {row.detail}" if row.detail else str(row.item_id)


def _of(source: str, scope: Scope) -> Any:
    """The chunks of a scope's documents: from the documents, whose index finds them."""
    here = sa.and_(_chunk.c.source == _document.c.source, _chunk.c.document_id == _document.c.document_id)
    return (
        sa.select(_chunk.c.chunk_id, _chunk.c.text_digest)
        .select_from(_document.join(_chunk, here))
        .where(_document.c.source == source, scope.documents)
        .subquery()
    )


def _lacking(source: str, scope: Scope, collection: str, generation: int) -> sa.Select[Any]:
    """How many chunks have no point, and no parked text that explains it."""
    t, p = tables.point, _parked
    mine = _of(source, scope)
    point = looked_up(
        t.c.collection == collection, t.c.generation == generation, t.c.chunk_id == mine.c.chunk_id
    )
    parked = sa.exists().where(
        p.c.source == source, p.c.stage.in_(VECTORS), p.c.part == "", p.c.item_id == mine.c.text_digest
    )
    return sa.select(sa.func.count()).select_from(mine).where(~point, ~parked)
