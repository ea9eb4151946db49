"""The sections of all papers as documents, with a digest of what each is rendered from.

What belongs here: what a section becomes. What does not: which papers there are (`papers`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import paper_file
from ingest_assets.ledger.store import pages
from ingest_assets.model import (
    Document,
    ItemError,
    SkippedItem,
    SourceItem,
    SourceUnavailableError,
    UnavailableError,
    digest_of,
)
from ingest_assets.sources.papers.article import Article, Notice, Section
from ingest_assets.sources.papers.file_rows import notices_about, read_file, says_of_others
from ingest_assets.sources.papers.formats import parsing
from ingest_assets.sources.papers.merging.names import folded
from ingest_assets.sources.papers.papers import Papers, require_readable
from ingest_assets.sources.papers.settings import NAME, PaperSettings

if TYPE_CHECKING:
    from ingest_assets.sources.papers.inbox import WaitingFile
    from ingest_assets.workbench import Workbench

# Part of every digest and signature: raise it when the same section is rendered differently.
VERSION = "1"
PAGE = 500
NAMED = 6  # authors on each chunk
_SAID = {
    "retraction": "This paper was retracted.",
    "correction": "This paper was corrected.",
    "expression_of_concern": "There is an expression of concern about this paper.",
}
_file = paper_file


class PapersSource:
    """All sections of all papers."""

    def __init__(self, papers: Papers, inbox: Path | None = None) -> None:
        self.name = NAME
        self.repaired = 0
        self.skipped: list[SkippedItem] = []
        self._papers, self._inbox = papers, inbox
        self._open: tuple[str, Article, dict[str, Section]] | None = None  # the paper rendered last

    def signature(self) -> str | None:
        """Of the names, sizes and times of all files. What is in them is not read."""
        waiting = self._waiting()
        files = self._papers.library.files()
        kept = [f"{each.name}:{each.size}:{each.mtime_ns}" for each in files]
        inbox = [f"{each.path.name}:{each.size}:{each.mtime_ns}" for each in waiting]
        lost = str(max(0, self._known() - len(files)))
        return digest_of("papers", VERSION, parsing.VERSION, lost, *kept, "inbox", *inbox)

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every section, after files that are new were parsed.

        Raises SourceUnavailableError when the folder of papers, or the inbox, cannot be read.
        """
        try:
            require_readable(self._papers)
            self._papers.sync()
            if self._inbox is not None:
                self._papers.take_in(self._waiting())
        except SourceUnavailableError:
            raise
        except UnavailableError as error:
            raise SourceUnavailableError(str(error)) from error
        yield self._items()

    def _waiting(self) -> list[WaitingFile]:
        from ingest_assets.sources.papers.inbox import waiting_in

        return waiting_in(self._inbox) if self._inbox is not None else []

    def _known(self) -> int:
        """How many files the ledger remembers, those included that were lost since."""
        query = sa.select(sa.func.count()).select_from(_file).where(_file.c.paper_id != "")
        with self._papers.ledger.reading() as connection:
            return connection.scalar(query) or 0

    def _items(self) -> Iterator[SourceItem]:
        notices = self._notices()
        columns = (_file.c.file, _file.c.paper_id, _file.c.facts, _file.c.sections, _file.c.doi, _file.c.pmid)
        for page in pages(self._papers.ledger, sa.select(*columns).where(read_file()), _file.c.file, PAGE):
            for row in page:
                said = [*notices.get(row.doi, ()), *notices.get(row.pmid, ())]
                about = digest_of(VERSION, row.facts, *(each.model_dump_json() for each in said))
                for section, digest in json.loads(row.sections):
                    render = partial(self._render, row.paper_id, section, said)
                    yield SourceItem(f"{row.paper_id}/{section}", digest_of(about, digest), render)
        yield from self._refused()

    def _refused(self) -> Iterator[SourceItem]:
        """The files that could not be parsed, so that they are parked: where a paper's text should be."""
        query = sa.select(_file.c.file, _file.c.size, _file.c.mtime_ns, _file.c.error)
        for page in pages(self._papers.ledger, query.where(_file.c.error.is_not(None)), _file.c.file, PAGE):
            for row in page:
                digest = digest_of(VERSION, str(row.size), str(row.mtime_ns), row.error)
                yield SourceItem(row.file, digest, partial(_refuse, row.error))

    def _notices(self) -> dict[str, list[Notice]]:
        query = sa.select(_file.c.paper_id, _file.c.notices).where(says_of_others(), read_file())
        with self._papers.ledger.reading() as connection:
            return notices_about((row.paper_id, row.notices) for row in connection.execute(query))

    def _render(self, paper_id: str, section_id: str, said: list[Notice]) -> Document:
        if self._open is None or self._open[0] != paper_id:
            article = self._papers.article(paper_id)
            self._open = (paper_id, article, {each.id: each for each in article.sections})
        _, article, sections = self._open
        if section_id not in sections:
            raise SourceUnavailableError(f"{paper_id} has changed while it was read. Run it again.")
        return document_of(article, sections[section_id], said)


def papers_source(bench: Workbench) -> PapersSource:
    """The source of a workbench's papers."""
    from ingest_assets.sources.papers.places import papers_of

    return PapersSource(papers_of(bench), bench.settings_of(PaperSettings).ingest_papers_inbox)


def document_of(article: Article, section: Section, said: list[Notice]) -> Document:
    """A section as a document; `said` is what other papers say of this one."""
    notices: list[str] = sorted(
        {each.kind for each in (*article.notices, *said) if each in said or each.about_this}
    )
    return Document(
        id=f"{article.paper_id}/{section.id}",
        kind=section.kind,
        title=article.title or article.paper_id,
        uri=uri_of(article),
        time=None,  # of most papers only the year is known, which is a field of its own
        context=tuple(_context(article, section, notices)),
        body=section.text,
        attributes=_attributes(article, section, notices),
    )


def uri_of(article: Article) -> str:
    """Where people can read the paper."""
    if article.pmcid:
        return f"https://pmc.ncbi.nlm.nih.gov/articles/{article.pmcid}/"
    if article.doi:
        return f"https://doi.org/{article.doi}"
    return f"https://pubmed.ncbi.nlm.nih.gov/{article.pmid}/" if article.pmid else ""


def _context(article: Article, section: Section, notices: list[str]) -> Iterator[tuple[str, str]]:
    for notice in notices:
        yield "Notice", _SAID[notice]
    names = [each.name for each in article.authors]
    if names:
        yield "Authors", ", ".join(names[:NAMED]) + (" et al." if len(names) > NAMED else "")
    if article.journal:
        yield "Journal", article.journal
    if article.year:
        yield "Year", str(article.year)
    if section.path:
        yield "Section", " > ".join(section.path)


def _attributes(article: Article, section: Section, notices: list[str]) -> dict[str, Any]:
    """Without what is unknown. Titles of sections are folded, as the filter `section` folds what is asked."""
    attributes: dict[str, Any] = {
        "authors": [each.name for each in article.authors],
        "doi": article.doi,
        "journal": article.journal,
        "notice": notices,
        "paper_id": article.paper_id,
        "path": " > ".join(section.path),
        "pmcid": article.pmcid,
        "pmid": article.pmid,
        "section": sorted({folded(each) for each in (section.kind, *section.path)} - {""}),
        "study_type": folded(article.study_type),
        "year": article.year,
    }
    return {name: value for name, value in attributes.items() if value not in ("", None, [])}


def _refuse(error: str) -> Document:
    raise ItemError(error)
