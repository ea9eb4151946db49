"""What lists of papers, and a look at one, contain: plain data for the command line, HTTP and agents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.document_text import PLAIN
from ingest_assets.ledger.graph_tables import paper_bundle, paper_file, paper_request
from ingest_assets.sources.papers.known import Facts, KnownNotice, facts_of, notices_of
from ingest_assets.sources.papers.papers import Papers, UnknownPaperError
from ingest_assets.sources.papers.places import papers_of

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

PAGE = 500


def listed_papers(bench: Workbench, *, after: str = "", limit: int | None = None) -> list[dict[str, Any]]:
    """The papers by id, those included of which only a bundle is there."""
    papers = papers_of(bench)
    rows: list[dict[str, Any]] = []
    while limit is None or len(rows) < limit:
        wanted = PAGE if limit is None else limit - len(rows)
        with bench.ledger.reading() as connection:
            ids = list(connection.scalars(_ids(after, wanted)))
            rows += _rows(connection, papers, ids)
        if len(ids) < wanted:
            break
        after = ids[-1]
    return rows


def _ids(after: str, limit: int) -> sa.Select[Any]:
    """SQL: the ids that follow one, of papers with a file that could be parsed or with a bundle.

    Either table is asked for no more than is wanted: both have an index of these ids.
    """
    asked = [
        sa.select(table.c.paper_id)
        .where(table.c.paper_id > after, *where)
        .distinct()
        .order_by(table.c.paper_id)
        .limit(limit)
        .subquery()
        for table, where in ((paper_file, [paper_file.c.article.is_not(None)]), (paper_bundle, []))
    ]
    every = sa.union(*(sa.select(each.c.paper_id) for each in asked)).subquery()
    return sa.select(every.c.paper_id).order_by(every.c.paper_id).limit(limit)


def _rows(connection: sa.Connection, papers: Papers, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What is shown of papers; not of those whose bundle, all that there was, is gone since."""
    t = paper_file
    shown = (t.c.paper_id, t.c.file, t.c.error, t.c.sections, t.c.article.is_not(None).label("readable"))
    files: dict[str, list[Any]] = {}
    for row in connection.execute(sa.select(*shown).where(t.c.paper_id.in_(ids)).order_by(t.c.rank)):
        files.setdefault(row.paper_id, []).append(row)
    facts = facts_of(connection, ids)
    notices = notices_of(connection, facts)
    for paper_id in ids:
        mine = files.get(paper_id, [])
        if any(each.readable for each in mine) or papers.has_bundle(paper_id):
            yield _row(paper_id, facts.get(paper_id, {}), notices.get(paper_id, ()), mine)


def _row(paper_id: str, facts: Facts, notices: Iterable[KnownNotice], files: Sequence[Any]) -> dict[str, Any]:
    read = next((each for each in files if each.readable), None)
    return {
        "paper_id": paper_id,
        "title": str(facts.get("title") or ""),
        "journal": facts.get("journal") or "",
        "year": facts.get("year"),
        "notice": ", ".join(map(str, notices)),
        "sections": len(json.loads(read.sections)) if read is not None else 0,
        "files": [each.file for each in files],
        "error": next((each.error for each in files if each.error), ""),
    }


def paper_details(bench: Workbench, paper_id: str) -> dict[str, Any]:
    """Everything that is known of a paper, without its text. Raises UnknownPaperError."""
    papers = papers_of(bench)
    kept = papers.get(paper_id)
    facts = kept.facts
    with bench.ledger.reading() as connection:
        notices = notices_of(connection, {paper_id: facts}).get(paper_id, [])
    try:
        article = papers.article(paper_id)
        sections = [
            {"id": each.id, "kind": each.kind, "path": list(each.path), "characters": len(each.text)}
            for each in article.sections
        ]
        references = len(article.references)
    except UnknownPaperError:
        sections, references = [], 0
    authors = [each if isinstance(each, str) else each["name"] for each in facts.get("authors", ())]
    return {
        "paper_id": kept.paper_id,
        **{name: facts.get(name) or "" for name in ("title", "pmcid", "pmid", "doi", "journal")},
        "authors": authors,
        "year": facts.get("year"),
        "study_type": facts.get("study_type") or "",
        "notices": [str(each) for each in notices],
        "files": list(kept.files),
        "error": kept.error,
        "references": references,
        "sections": sections,
        "bundle": _bundle(bench, paper_id),
        "author_links": _author_links(bench, paper_id) if facts else [],
    }


def _bundle(bench: Workbench, paper_id: str) -> dict[str, Any] | None:
    t = paper_bundle
    asked = sa.exists().where(paper_request.c.paper_id == t.c.paper_id)
    query = sa.select(t.c.content, t.c.extractor, asked.label("asked")).where(t.c.paper_id == paper_id)
    with bench.ledger.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    content = json.loads(row.content)
    return {
        "extractor": row.extractor,
        "to_be_extracted_again": bool(row.asked),
        **{name: len(content[name]) for name in ("entities", "relationships")},
        "evidence": len(content["evidence_entities"]),
    }


def _author_links(bench: Workbench, paper_id: str) -> list[dict[str, Any]]:
    """The people of other sources that its authors may be."""
    from ingest_assets.sources.papers.graph.author_links import links_of_paper

    return [each.model_dump(context=PLAIN) for each in links_of_paper(bench.ledger, paper_id).links]
