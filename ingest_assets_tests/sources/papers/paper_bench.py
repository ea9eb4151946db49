"""A workbench of papers alone, with small papers that are made up, and what it holds, for comparing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ingest_assets.collection.base import Store
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.graph_tables import (
    graph_entity,
    graph_evidence,
    graph_mention,
    graph_name,
    graph_paper,
    graph_relationship,
    graph_state,
    graph_word,
    paper_author_block,
    paper_bundle,
    paper_file,
    paper_request,
)
from ingest_assets.model import Outcomes, Source
from ingest_assets.reconcile import Progress, Run, reconcile
from ingest_assets.sources.papers.definition import SOURCE
from ingest_assets.sources.papers.papers import Added
from ingest_assets.sources.papers.places import papers_of, workspace_of
from ingest_assets.sources.papers.settings import NAME
from ingest_assets.sources.registry import Sources
from ingest_assets_tests.support.small_parts import ToyBench, contents

COLLECTION = SOURCE.collection


class PaperBench(ToyBench):
    """Real parts but for the dense model."""

    def __init__(
        self, home: Path, *, ledger: Ledger | None = None, store: Store | None = None, **given: Any
    ) -> None:
        paths = {"ingest_workspace_root": home / "workspace"} | given
        super().__init__(home / "home", ledger=ledger, store=store, **paths)
        self.sources = Sources([SOURCE])
        self.folder = home

    def source(self, _name: str, part: str = "") -> Source:
        """Also when no paper was ever added, as in a build from nothing of nothing."""
        return SOURCE.open(self, part)

    def add(self, name: str, content: str | bytes) -> list[Added]:
        """Add one file."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        try:
            return list(papers_of(self).add_files([path]))
        finally:
            path.unlink()

    def run_all(
        self, *, rebuild: bool = False, progress: Progress = lambda _moved: None
    ) -> dict[str, Outcomes]:
        run = Run(rebuild=rebuild, lock_timeout_s=5, progress=progress)
        return {name: reconcile(self.stage(NAME, name), self.ledger, run) for name in SOURCE.stage_names}

    def files(self) -> dict[str, bytes]:
        """Every file of the workspace but its lock."""
        root = workspace_of(self).root
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != ".ingest.lock"
        }

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The rows that follow from the papers and bundles that there are."""
        but = {"size", "mtime_ns", "files"}
        with self.ledger.reading() as connection:
            return {
                table.name: sorted(
                    (
                        tuple(row)
                        for row in connection.execute(sa.select(*(c for c in table.c if c.name not in but)))
                    ),
                    key=repr,
                )
                for table in _COMPARED
            }

    def points(self) -> Any:
        """The payloads of all points. Vectors follow from texts, which are among them."""
        return {key: payload for key, (payload, *_) in contents(self.engine, COLLECTION).items()}


_COMPARED = (
    tables.document,
    tables.chunk,
    tables.document_entities,
    paper_file,
    paper_bundle,
    paper_request,
    graph_entity,
    graph_name,
    graph_word,
    paper_author_block,
    graph_relationship,
    graph_mention,
    graph_evidence,
    graph_paper,
    graph_state,
)


def jats(
    title: str = "A study",
    sections: Mapping[str, str] | None = None,
    *,
    pmcid: str = "",
    doi: str = "",
    pmid: str = "",
    abstract: str = "",
    kind: str = "research-article",
    related: str = "",
    authors: str = "",
    year: int = 2020,
) -> str:
    """A paper as JATS XML."""
    ids = {"pmc": pmcid.removeprefix("PMC"), "doi": doi, "pmid": pmid}
    named = "".join(f'<article-id pub-id-type="{k}">{escape(v)}</article-id>' for k, v in ids.items() if v)
    body = "".join(
        f"<sec><title>{escape(name)}</title><p>{escape(text)}</p></sec>"
        for name, text in (sections or {}).items()
    )
    about = f"<abstract><p>{escape(abstract)}</p></abstract>" if abstract else ""
    return (
        f'<?xml version="1.0"?><pmc-articleset><article article-type="{kind}"><front><journal-meta>'
        "<journal-title-group><journal-title>Journal of Tests</journal-title></journal-title-group>"
        "</journal-meta>"
        f"<article-meta>{named}<title-group><article-title>{escape(title)}</article-title></title-group>"
        f"{authors}"
        f"<pub-date><year>{year}</year></pub-date>{related}{about}</article-meta></front>"
        f"<body>{body}</body></article></pmc-articleset>"
    )
