"""The background jobs of papers: each fetches what a PMCID or a URL names, extracts it and loads the graph.

What belongs here: what a job is for, and what it found. What does not: fetching (`fetch`), and the queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from ingest_assets.jobs import queue
from ingest_assets.jobs.definition import JobCounts, Scope
from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.ledger import tables
from ingest_assets.ledger.graph_tables import paper_bundle, paper_file
from ingest_assets.ledger.store import MAX_BOUND_VALUES, batched
from ingest_assets.model import ContentError, IngestError, UnavailableError
from ingest_assets.sources.papers.file_rows import read_file
from ingest_assets.sources.papers.settings import BUNDLES, NAME
from ingest_assets.sources.papers.wanted import POSTPONED

if TYPE_CHECKING:
    from ingest_assets.jobs.rows import Job
    from ingest_assets.reconcile import Stage
    from ingest_assets.workbench import Workbench

PAPERS = "paper_ids"  # in a job's result: the papers that were in what was fetched
EXTRACTED = "extracted"  # and those of them that the job has extracted


def target(bench: Workbench, location: str, ref: str | None) -> tuple[queue.JobTarget, str | None]:
    """What a location names. Raises JobTargetError when it may not be fetched."""
    from ingest_assets.sources.papers.adding import remote_location

    if ref:
        raise JobTargetError("A paper has no ref: name its PMCID or URL alone.")
    found = remote_location(bench, location)
    if urlsplit(found.url).query:
        raise JobTargetError(
            "Give the paper's URL without a query: jobs keep none, since it may hold a secret. `ingest paper "
            "add` on the command line fetches it."
        )
    return queue.JobTarget(NAME, found.pmcid or found.shown, found.shown, found.pmcid or found.shown), None


def prepare(bench: Workbench, job: Job, check: Callable[[], None]) -> Mapping[str, Any]:
    """Fetch and parse. What cannot be parsed fails the job, and what was there before stays."""
    from ingest_assets.sources.papers.adding import fetched, require_extractor
    from ingest_assets.sources.papers.fetching.locations import parse_location
    from ingest_assets.sources.papers.formats import parsing
    from ingest_assets.sources.papers.places import papers_of

    papers = papers_of(bench)
    if job.force_reindex:
        require_extractor(bench)
    parsing.start_ahead(bench.sandbox)
    asked = parse_location(job.repo_path, local=False).pmcid
    with fetched(bench, job.repo_path, check) as file:
        added = list(papers.add_files([file], asked=asked))
    if errors := [each.error for each in added if each.error]:
        raise ContentError(" ".join(errors))
    for each in added:
        if job.force_reindex:
            papers.reextract(each.paper_id)
    retry(bench, [each.paper_id for each in added])
    first = added[0]
    return {
        PAPERS: [each.paper_id for each in added],
        "paper_title": first.title,
        "pmcid": papers.get(first.paper_id).facts.get("pmcid") or None,
        "entities_added": 0,
        "relationships_added": 0,
    }


def retry(bench: Workbench, papers: list[str]) -> None:
    """Have the next run try the papers again whose extraction failed: whoever asks again means that."""
    p = tables.parked
    there = sa.exists().where(paper_bundle.c.paper_id == p.c.item_id)
    mine = (p.c.source == NAME, p.c.stage == BUNDLES, p.c.item_id.in_(papers))
    with bench.ledger.transaction() as connection:
        connection.execute(p.delete().where(*mine, ~there))


def found(_bench: Workbench, job: Job, stage: Stage) -> Mapping[str, Any]:
    """Counts of what the job's papers added, and the seconds of each pass."""
    from ingest_assets.sources.papers.bundle_stage import Bundles
    from ingest_assets.sources.papers.graph_stages import KnowledgeGraph, MergedEntities

    papers: list[str] = list(job.result.get(PAPERS, ()))
    if isinstance(stage, Bundles):
        seconds = {each: stage.extracted[each] for each in papers if each in stage.extracted}
        return {EXTRACTED: sorted(seconds), "pass1_s": round(sum(seconds.values()), 3)}
    if isinstance(stage, MergedEntities):
        return {"pass2_s": round(stage.seconds, 3)}
    if isinstance(stage, KnowledgeGraph):
        seconds = stage.seconds
        # Of papers whose bundles were there before, everything was known, whoever had made them.
        entities, relationships = stage.loaded.added_by(job.result.get(EXTRACTED, ()))
        return {
            "entities_added": entities,
            "relationships_added": relationships,
            "pass3_s": round(seconds.get("pass3", 0.0), 3),
            "load_s": round(seconds.get("load", 0.0), 3),
        }
    return {}


def unmet(bench: Workbench, job: Job) -> IngestError | None:
    """Why a paper of the job was not extracted, or that its bundle cannot be read.

    Callers may see why a paper was refused; why the extractor could not be asked is for the operator.
    """
    papers: list[str] = list(job.result.get(PAPERS, ()))
    p = tables.parked
    why = sa.select(p.c.error, p.c.digest).where(
        p.c.source == NAME, p.c.stage == BUNDLES, p.c.item_id.in_(papers)
    )
    there = sa.select(paper_bundle.c.paper_id).where(paper_bundle.c.paper_id.in_(papers))
    with bench.ledger.reading() as connection:
        rows = connection.execute(why.order_by(p.c.item_id)).all()
        lacking = sorted(set(papers) - set(connection.scalars(there)))
    reasons = " ".join(dict.fromkeys(row.error for row in rows))
    if any(row.digest == POSTPONED for row in rows):
        return UnavailableError(f"The paper was not extracted; the next run tries again. {reasons}")
    if rows:
        return ContentError(f"The paper was not extracted. {reasons}")
    if lacking and not _is_left_to_others(bench):
        return ContentError(f"The paper was not extracted: {', '.join(lacking)} has no bundle.")
    return None


def _is_left_to_others(bench: Workbench) -> bool:
    from ingest_assets.sources.papers.settings import PaperSettings

    return bench.settings_of(PaperSettings).pass1_llm_backend == "none"


def scope(bench: Workbench, job: Job) -> Scope:
    """The sections of the job's papers."""
    papers = job.result.get(PAPERS, ())
    with bench.ledger.reading() as connection:
        ids = _sections(connection, papers)
    return Scope(tables.document.c.document_id.in_(ids), tuple(f"{paper}/" for paper in papers))


def counts(bench: Workbench, target_id: str) -> JobCounts:
    """How many sections, and chunks of them, the papers of the target's newest job have."""
    jobs = queue.list_jobs(bench.ledger, source=NAME, repository_id=target_id, limit=1)
    papers = jobs[0]["result"].get(PAPERS, ()) if jobs else ()
    with bench.ledger.reading() as connection:
        ids = _sections(connection, papers)
        counted = (tables.document, tables.chunked, tables.chunk)
        return JobCounts(*(_count(connection, table, ids) for table in counted))


def _sections(connection: sa.Connection, papers: Sequence[str]) -> list[str]:
    """The ids of the documents of some papers."""
    sections = sa.select(paper_file.c.paper_id, paper_file.c.sections).where(
        paper_file.c.paper_id.in_(papers), read_file()
    )
    return [
        f"{row.paper_id}/{section}"
        for row in connection.execute(sections)
        for section, _ in json.loads(row.sections)
    ]


def _count(connection: sa.Connection, table: sa.Table, document_ids: list[str]) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(table.c.source == NAME)
    parts = batched(document_ids, MAX_BOUND_VALUES)
    return sum(connection.scalar(query.where(table.c.document_id.in_(part))) or 0 for part in parts)
