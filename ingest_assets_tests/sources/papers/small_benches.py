"""A bench of papers on an embedded store, and short questions to it, for the tests of papers' stages."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.model import Outcomes
from ingest_assets.queries.search import Hit, open_search
from ingest_assets.reconcile import Run, reconcile
from ingest_assets.sources.papers.definition import SOURCE
from ingest_assets.sources.papers.places import workspace_of
from ingest_assets.sources.papers.settings import NAME
from ingest_assets_tests.sources.papers.paper_bench import PaperBench

BEFORE = time.time() - 3_600  # a file's time, when nobody is writing it any more


def rest(path: Path, content: str | bytes, at: float = BEFORE) -> Path:
    """A file that somebody wrote a while ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (at, at))
    return path


def refresh(bench: PaperBench, **options: bool) -> dict[str, Outcomes]:
    """One run of every stage."""
    run = Run(lock_timeout_s=5, **options)  # type: ignore[arg-type]
    return {name: reconcile(bench.stage(NAME, name), bench.ledger, run) for name in SOURCE.stage_names}


def hits(bench: PaperBench, query: str, limit: int = 50, **filters: Any) -> list[Hit]:
    where = {name: [str(value)] for name, value in filters.items()}
    return list(open_search(bench, NAME).search(query, limit=limit, where=where).hits)


def found(bench: PaperBench, query: str = "patients", **filters: Any) -> set[str]:
    """The documents that a search finds."""
    return {hit.document_id for hit in hits(bench, query, **filters)}


def parked(bench: PaperBench, stage: str = "") -> dict[str, str]:
    """What is parked, and why."""
    p = tables.parked
    query = sa.select(p.c.item_id, p.c.error).where(p.c.source == NAME)
    with bench.ledger.reading() as connection:
        rows = connection.execute(query.where(p.c.stage == stage) if stage else query).all()
    return {row.item_id: row.error for row in rows}


def names(bench: PaperBench) -> dict[str, str]:
    """The entities of the graph: id by name."""
    from ingest_assets.ledger.graph_tables import graph_entity

    with bench.ledger.reading() as connection:
        rows = connection.execute(sa.select(graph_entity.c.name, graph_entity.c.entity_id)).all()
    return {row.name: row.entity_id for row in rows}


def put_bundle(bench: PaperBench, paper_id: str, content: str | bytes, at: float = BEFORE) -> Path:
    """A bundle that somebody else puts into the workspace."""
    workspace = workspace_of(bench)
    workspace.create()
    return rest(workspace.bundle_path(paper_id), content, at)
