"""Which hits are of an older version of their document, because the newer one is parked.

A document whose new version is refused stays in the index as it was. Whoever finds it has to be told.

What belongs here: asking the ledger about some documents, in one query. What does not: parking (`reconcile`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.model import UnavailableError
from ingest_assets.queries.answers import Hit
from ingest_assets.stages.shapes import CHUNKS, DENSE_VECTORS, SPARSE_VECTORS
from ingest_assets.workbench import Workbench

_document, _chunk, _parked = tables.document, tables.chunk, tables.parked
EMBEDDING = "embedding"
_REFUSED_TEXT = "the model refuses a text of it"


class Refused(NamedTuple):
    """Why the newest version of a document is parked, and at which stage."""

    stage: str  # EMBEDDING for both of the vectors' stages
    error: str

    def __str__(self) -> str:
        """What a reader of the older version is told."""
        reason = self.error.strip().removesuffix(".")
        return f"This is an older version: the newer one was refused ({reason})."


def with_marks(bench: Workbench, source: str, hits: list[Hit]) -> list[Hit]:
    """The hits, those of older versions with the reason (`Hit.stale`).

    If the ledger does not answer, none has: the index may be searchable while it is not.
    """
    if not hits:
        return hits
    with suppress(UnavailableError):
        refused = older_versions(bench, source, sorted({hit.document_id for hit in hits}))
        if not refused:
            return hits
        current = _current_chunks(bench, source, [hit.chunk_id for hit in hits])
        return [_marked(hit, refused.get(hit.document_id), current) for hit in hits]
    return hits


def older_versions(bench: Workbench, source: str, document_ids: Sequence[str]) -> dict[str, Refused]:
    """Of some documents, those with a version, or a text of one, that is parked."""
    query = _refused(bench.sources[source].documents)
    if not bench.ledger.remembered(("parked", source), partial(_is_any_parked, bench, source)):
        return {}  # nearly always, and asked in a fifth of the time
    with bench.ledger.reading() as connection:
        rows = connection.execute(query, {"source": source, "ids": list(document_ids)}).all()
    return {row.document_id: Refused(row.stage, row.error) for row in rows}


def _is_any_parked(bench: Workbench, source: str) -> bool:
    with bench.ledger.reading() as connection:
        return bool(connection.scalar(_ANY, {"source": source}))


def _marked(hit: Hit, refused: Refused | None, current: set[str]) -> Hit:
    # Of a version that lacks one text, all other chunks are in the index.
    if refused is None or (refused.stage == EMBEDDING and hit.chunk_id in current):
        return hit
    return replace(hit, stale=str(refused))


def _current_chunks(bench: Workbench, source: str, chunk_ids: Sequence[str]) -> set[str]:
    query = sa.select(_chunk.c.chunk_id).where(_chunk.c.source == source, _chunk.c.chunk_id.in_(chunk_ids))
    with bench.ledger.reading() as connection:
        return set(connection.scalars(query))


_ANY = sa.select(sa.exists().where(_parked.c.source == sa.bindparam("source")))


@cache  # making it takes longer than the answer
def _refused(documents: str) -> sa.CompoundSelect[tuple[str, str, str]]:
    """Each branch looks its rows up by primary keys, or by the index of chunks by document."""
    source = sa.bindparam("source", type_=sa.String)
    ids = sa.bindparam("ids", expanding=True, type_=sa.String)
    mine = (_document.c.source == source, _document.c.document_id.in_(ids))
    of_document = _parked.c.item_id == _document.c.document_id
    columns = (_document.c.document_id, _parked.c.stage, _parked.c.error)
    here = sa.and_(of_document, _parked.c.source == source)
    read = sa.and_(here, _parked.c.stage == documents, _parked.c.part == _document.c.part)
    cut = sa.and_(here, _parked.c.stage == CHUNKS, _parked.c.part == "")
    embedded = sa.and_(
        _parked.c.source == source,
        _parked.c.stage.in_([DENSE_VECTORS, SPARSE_VECTORS]),
        _parked.c.part == "",
        _parked.c.item_id == _chunk.c.text_digest,
    )
    return sa.union_all(
        sa.select(
            _chunk.c.document_id,
            sa.literal(EMBEDDING).label("stage"),
            sa.literal(_REFUSED_TEXT).label("error"),
        )
        .join(_parked, embedded)
        .where(_chunk.c.source == source, _chunk.c.document_id.in_(ids)),
        # Later rows win: these refuse the document as a whole.
        sa.select(*columns).join(_parked, cut).where(*mine),
        sa.select(*columns).join(_parked, read).where(*mine),
    )
