"""What `ingest doctor` says of papers: the workspace, the inbox, and how bundles are extracted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingest_assets.characters import visible
from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets.sources.papers.bundle_states import bundle_states
from ingest_assets.sources.papers.inbox import waiting_in
from ingest_assets.sources.papers.places import has_papers, workspace_of
from ingest_assets.sources.papers.settings import PaperSettings
from ingest_assets.stages.shapes import Finding

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

SHOWN = 5  # files of one kind that are wrong


def findings(bench: Workbench) -> Iterator[Finding]:
    """One line each."""
    if not has_papers(bench):
        yield Finding("papers", "not configured", "No paper has been added: `ingest paper add` adds one.")
        return
    yield _workspace(bench)
    yield from _not_read(bench)
    settings = bench.settings_of(PaperSettings)
    if settings.ingest_papers_inbox is not None:
        try:
            waiting = len(waiting_in(settings.ingest_papers_inbox))
            yield Finding("papers: inbox", "ok", f"{waiting:,} files wait in {settings.ingest_papers_inbox}.")
        except IngestError as error:
            yield Finding("papers: inbox", "wrong", str(error))
    yield _extractor(settings)


def _workspace(bench: Workbench) -> Finding:
    workspace = workspace_of(bench)
    if workspace.root.exists() and not os.access(workspace.root, os.W_OK):
        return Finding(
            "papers: workspace", "wrong", f"{workspace.root} cannot be written: give this user the right."
        )
    states = bundle_states(bench)
    said = f"{states.read:,} bundles in {workspace.root}."
    if states.waiting:
        said += f" {states.waiting:,} more are there: `ingest refresh` reads them."
    return Finding("papers: workspace", "ok", said)


def _not_read(bench: Workbench) -> Iterator[Finding]:
    """Files among the bundles that are not used, and what to do."""
    name = "papers: bundles"
    if misnamed := workspace_of(bench).misnamed_files():
        yield Finding(
            name,
            "wrong",
            f"{_some(misnamed)}: not named as a paper's bundle is, and not read. Rename to paper_ID.json, "
            "with the paper's id.",
        )
    unreadable = bundle_states(bench).unreadable
    for paper_id, error in unreadable[:SHOWN]:
        yield Finding(
            name, "wrong", f"{paper_id}: {error} Correct its bundle, or remove it to have it made again."
        )
    if len(unreadable) > SHOWN:
        more = len(unreadable) - SHOWN
        yield Finding(name, "wrong", f"{more:,} more bundles cannot be read: `ingest parked` lists them.")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(visible(each) for each in names[:SHOWN]) + more


def _extractor(settings: PaperSettings) -> Finding:
    from ingest_assets.sources.papers.extractors import extractor_of

    name = "papers: extractor"
    try:
        extractor = extractor_of(settings)
    except ConfigurationError as error:
        return Finding(name, "wrong", str(error))
    if extractor is None:
        return Finding(name, "ok", "Bundles are not extracted here: only those that others make are used.")
    return Finding(name, "ok", f"{extractor.identity}.")
