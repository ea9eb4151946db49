"""What the ledger remembers of the files of papers, and which of a paper's files is read.

What belongs here: rows. What does not: adding and removing papers (`papers`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.graph_tables import paper_file
from ingest_assets.model import digest_of
from ingest_assets.sources.papers.article import Article, Notice, Section
from ingest_assets.sources.papers.extraction import content_digest
from ingest_assets.sources.papers.formats import parsing
from ingest_assets.sources.papers.identity import pmcid_of
from ingest_assets.sources.papers.library import KeptFile

_file = paper_file


def read_file() -> sa.ColumnElement[bool]:
    """SQL: a row is that of the file from which its paper is read, the best that could be parsed."""
    other = _file.alias()
    better = sa.exists().where(
        other.c.paper_id == _file.c.paper_id, other.c.article.is_not(None), other.c.rank < _file.c.rank
    )
    return sa.and_(_file.c.article.is_not(None), ~better)


def says_of_others() -> sa.TextClause:
    """SQL: a paper says that another one was retracted or corrected: few do, and an index has them."""
    return sa.text("paper_file.notices <> '[]'")  # SQLite needs the very words of the index


def has_file(ledger: Ledger, paper_id: str) -> bool:
    """Whether a file of a paper is on record: a lost one stays there, one that was removed does not."""
    with ledger.reading() as connection:
        return bool(connection.scalar(sa.select(sa.exists().where(_file.c.paper_id == paper_id))))


def file_row(file: KeptFile, article: Article) -> dict[str, Any]:
    """What the ledger remembers of a file, whose name is that of its paper whatever it says itself."""
    pmcid = article.pmcid or pmcid_of(file.paper_id)
    article = article.model_copy(update={"paper_id": file.paper_id, "pmcid": pmcid})
    text = article.model_dump_json()
    notices = [each.model_dump() for each in article.notices if not each.about_this]
    return {
        "file": file.name,
        "paper_id": file.paper_id,
        "rank": file.rank,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "parser": parsing.VERSION,
        "digest": digest_of(text),
        "error": None,
        "article": text,
        "made_from": content_digest(article),
        "doi": article.doi,
        "pmid": article.pmid,
        "facts": article.model_dump_json(exclude={"sections", "references", "abbreviations"}),
        "notices": json.dumps(notices, sort_keys=True),
        "sections": json.dumps([[each.id, section_digest(each)] for each in article.sections]),
    }


def section_digest(section: Section) -> str:
    return digest_of(section.model_dump_json())


def notices_about(rows: Iterable[tuple[str, str]]) -> dict[str, list[Notice]]:
    """By DOI and PMID of other papers, what papers say of them: (paper id, notices as JSON)."""
    found: dict[str, list[Notice]] = {}
    for _, text in sorted(rows):
        for each in json.loads(text):
            notice = Notice(**each)
            for other in filter(None, (notice.doi, notice.pmid)):
                found.setdefault(other, []).append(notice)
    return found
