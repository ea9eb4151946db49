"""Which papers pass 1 has still to extract, as the ledger has it.

What belongs here: questions to the ledger, and the mark of an extraction that waits for the next run. What
does not: extracting (`bundle_stage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import paper_bundle, paper_file, paper_request
from ingest_assets.ledger.tables import parked
from ingest_assets.reconcile import Named
from ingest_assets.sources.papers.file_rows import read_file

if TYPE_CHECKING:
    from ingest_assets.sources.papers.extraction import Extractor

# Parked in place of a digest: the paper was not asked about, because the extractor could not be. It equals no
# digest, so that the paper does not wait until it changes, but is tried again by the next run.
POSTPONED = "postponed"
_bundle, _file, _request = paper_bundle, paper_file, paper_request


def wanted(extractor: Extractor) -> sa.Select[Any]:
    """The papers to extract, one row each: without a bundle, or with one of an older text, or asked for.

    Columns: file, paper_id, made_from, asked.
    """
    asked = _request.c.paper_id.is_not(None)
    stale = sa.and_(is_older(), is_of_kind(extractor))
    return (
        sa.select(_file.c.file, _file.c.paper_id, _file.c.made_from, asked.label("asked"))
        .select_from(
            _file.outerjoin(_bundle, _bundle.c.paper_id == _file.c.paper_id).outerjoin(
                _request, _request.c.paper_id == _file.c.paper_id
            )
        )
        .where(read_file(), sa.or_(_bundle.c.paper_id.is_(None), stale, asked))
    )


def is_lacking(connection: sa.Connection, stage: Named) -> bool:
    """Whether a paper has no bundle and was not refused, or its extraction was postponed."""
    there = sa.exists().where(_bundle.c.paper_id == _file.c.paper_id)
    failed = sa.exists().where(*parked_of(stage), parked.c.item_id == _file.c.paper_id)
    lacking = sa.select(_file.c.paper_id).where(_file.c.article.is_not(None), ~there, ~failed)
    postponed = sa.select(parked.c.item_id).where(*parked_of(stage), parked.c.digest == POSTPONED)
    return any(connection.scalar(query.limit(1)) is not None for query in (lacking, postponed))


def forget_postponed(connection: sa.Connection, stage: Named, extractor: Extractor | None) -> None:
    """Unpark the postponed papers that this extractor is not to extract (any more)."""
    postponed = parked.delete().where(*parked_of(stage), parked.c.digest == POSTPONED)
    if extractor is not None:
        papers = wanted(extractor).subquery()
        postponed = postponed.where(parked.c.item_id.not_in(sa.select(papers.c.paper_id)))
    connection.execute(postponed)


def parked_of(stage: Named) -> tuple[sa.ColumnElement[bool], ...]:
    """SQL: a parked item is one of this stage."""
    return parked.c.source == stage.source, parked.c.stage == stage.name


def is_of_kind(extractor: Extractor) -> sa.ColumnElement[bool]:
    """SQL: an extractor of the same kind made a bundle: a new version of the rules is of the same kind."""
    start = f"{extractor.identity.partition(':')[0]}:"
    return sa.func.substr(_bundle.c.extractor + ":", 1, len(start)) == start


def is_older() -> sa.ColumnElement[bool]:
    """SQL: a bundle was made by one of our extractors from another text than the paper's file has now."""
    return sa.and_(_bundle.c.made_from != "", _bundle.c.made_from != _file.c.made_from)
