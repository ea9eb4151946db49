"""Where the papers of an installation are: the kept files and the workspace.

What belongs here: putting these together from settings. What does not: what is done with them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import graph_entity, paper_bundle, paper_file
from ingest_assets.model import IngestError
from ingest_assets.sources.papers.inbox import waiting_in
from ingest_assets.sources.papers.settings import NAME, PaperSettings

if TYPE_CHECKING:
    from ingest_assets.sources.papers.library import Library
    from ingest_assets.sources.papers.papers import Papers
    from ingest_assets.sources.papers.workspace import Workspace
    from ingest_assets.workbench import Workbench

FOLDER = "papers"  # in INGEST_HOME


def library_of(bench: Workbench) -> Library:
    """The kept files."""
    from ingest_assets.sources.papers.library import Library

    return Library(bench.settings.ingest_home / FOLDER)


def workspace_of(bench: Workbench) -> Workspace:
    """The workspace of the settings; not created."""
    from ingest_assets.sources.papers.workspace import Workspace

    return Workspace(bench.settings_of(PaperSettings).ingest_workspace_root)


def papers_of(bench: Workbench) -> Papers:
    """The papers that are kept."""
    from ingest_assets.sources.papers.papers import Papers

    return Papers(bench.ledger, library_of(bench), workspace_of(bench), bench.sandbox)


def start_ahead(bench: Workbench) -> None:
    """Start the processes that parse and embed, if something waits in the inbox; they start in a while."""
    from ingest_assets.sources.papers.formats import parsing

    with suppress(IngestError):  # the run says what is wrong
        inbox = bench.settings_of(PaperSettings).ingest_papers_inbox
        if inbox is not None and waiting_in(inbox):
            parsing.start_ahead(bench.sandbox)
            bench.preloader.start_ahead()


def has_papers(bench: Workbench) -> bool:
    """Whether there is, or was, anything to index: the last paper that is removed must leave the index."""
    if library_of(bench).files() or workspace_of(bench).bundle_files():
        return True
    inbox = bench.settings_of(PaperSettings).ingest_papers_inbox
    if inbox is not None and waiting_in(inbox):
        return True
    if not bench.has_ledger:
        return False
    from ingest_assets.ledger import tables

    asked = [
        sa.select(paper_file.c.file),
        sa.select(paper_bundle.c.paper_id),
        sa.select(tables.document.c.document_id).where(tables.document.c.source == NAME),
        sa.select(graph_entity.c.entity_id).where(graph_entity.c.source == NAME),
    ]
    with bench.ledger.reading() as connection:
        return any(connection.scalar(query.limit(1)) is not None for query in asked)
