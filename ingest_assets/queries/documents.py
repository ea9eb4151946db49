"""Documents as the ledger has them: one in full, or a page of them by id.

What belongs here: looking them up. What does not: finding them by their content (search).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.model import COMMON, Document
from ingest_assets.queries.older_versions import older_versions
from ingest_assets.queries.reach import Reach, documents_within
from ingest_assets.stages.document_rows import document_of
from ingest_assets.stages.hidden import shown_documents
from ingest_assets.stages.ids_meant import document_meant, spellings
from ingest_assets.workbench import Workbench

_document, _about = tables.document, tables.document_entities


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document, and the canonical entities that it is about."""

    document: Document
    entity_ids: Sequence[str]
    stale: str | None = None  # a sentence, if it is an older version: the newer one was refused


def find(bench: Workbench, source: str, document_id: str, reach: Reach | None = None) -> FoundDocument | None:
    """One document, by its id as people type it; None if there is none that is shown and within reach."""
    shown = [*shown_documents(bench, source), *documents_within(bench, source, reach)]
    with bench.ledger.reading() as connection:
        key = {"source": source, "document_id": document_meant(connection, source, document_id)}
        row = connection.execute(sa.select(_document).filter_by(**key).where(*shown)).one_or_none()
        entities = connection.scalar(sa.select(_about.c.entity_ids).filter_by(**key))
    if row is None:
        return None
    refused = older_versions(bench, source, [row.document_id]).get(row.document_id)
    older = refused is not None and refused.stage == bench.sources[source].documents
    return FoundDocument(document_of(row), json.loads(entities or "[]"), str(refused) if older else None)


def listed(
    bench: Workbench,
    source: str,
    *,
    after: str,
    limit: int,
    kind: str | None = None,
    prefix: str | None = None,
    since: str | None = None,
    reach: Reach | None = None,
) -> Sequence[Any]:
    """Rows of `document_id` and the common fields, ordered by id, starting after the id `after`.

    Those of hidden parts, and those out of reach, are left out.

    `since` is ISO 8601 in UTC. Times are compared as text, so one in another zone is off by its offset.
    """
    columns = (_document.c.document_id, *(_document.c[name] for name in COMMON))
    query = sa.select(*columns).where(_document.c.source == source, _document.c.document_id > after)
    query = query.where(*shown_documents(bench, source), *documents_within(bench, source, reach))
    if kind is not None:
        query = query.where(_document.c.kind == kind)
    if prefix is not None:
        # Not LIKE, which ignores case on SQLite.
        begins = (sa.func.substr(_document.c.document_id, 1, len(each)) == each for each in spellings(prefix))
        query = query.where(sa.or_(*begins))
    if since is not None:
        query = query.where(_document.c.time >= _bound(since))
    with bench.ledger.reading() as connection:
        return connection.execute(query.order_by(_document.c.document_id).limit(limit)).all()


def _bound(moment: str) -> str:
    """The text to compare times with. Midnight is just the date, which sorts before all times of that day."""
    return moment[:10] if moment[11:19] == "00:00:00" else moment[:19]
