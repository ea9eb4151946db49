"""The three passes by themselves, on folders that the caller names, as the old scripts ran them.

What belongs here: each pass on plain folders, without the ledger. What does not: the stages, which do the
same with a workspace and a ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest_assets.model import ConfigurationError, ItemError
from ingest_assets.settings import listed
from ingest_assets.sources.papers.papers import Added, State
from ingest_assets.sources.papers.settings import PaperSettings
from ingest_assets.sources.papers.workspace import Workspace

if TYPE_CHECKING:
    from ingest_assets.sources.papers.article import Article
    from ingest_assets.sources.papers.extraction import Extractor
    from ingest_assets.sources.papers.grouping import Group
    from ingest_assets.workbench import Workbench


def extract_folder(bench: Workbench, source: Path, target: Path, *, reextract: bool) -> Iterator[Added]:
    """Pass 1: a bundle for each paper below a folder. Bundles that are there stay, unless told otherwise.

    The folder is read twice: which of its files are one paper is known when all of them have been parsed.
    """
    from ingest_assets.sources.papers.adding import files_in
    from ingest_assets.sources.papers.extractors import extractor_of
    from ingest_assets.sources.papers.formats.parsing import parse_files
    from ingest_assets.sources.papers.grouping import Found, found_in, grouped

    _require_folder(source)
    extractor = extractor_of(bench.settings_of(PaperSettings))
    if extractor is None:
        raise ConfigurationError("PASS1_LLM_BACKEND=none extracts nothing: set it to rules or openai.")
    target.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    files = files_in(source)
    yield from (file for file in files if isinstance(file, Added))
    for parsed in parse_files(bench.sandbox, [file for file in files if isinstance(file, Path)]):
        found += [found_in(parsed.path, number, each) for number, each in enumerate(parsed.articles)]
        if parsed.error:
            yield Added(parsed.path.name, error=parsed.error)
    workspace = _Folders(target, written=target)
    todo: dict[Path, list[Group]] = {}
    for group in grouped(found):
        best, *others = group.copies
        if reextract or not workspace.bundle_path(group.paper_id).exists():
            todo.setdefault(best.path, []).append(group)
        else:
            others = group.copies
        yield from (Added(each.path.name, group.paper_id, each.title) for each in others)
    for parsed, groups in zip(parse_files(bench.sandbox, list(todo)), todo.values(), strict=True):
        articles = [each.article for each in parsed.articles]
        with closing(extractor):
            yield from (_extracted(extractor, group, articles, workspace) for group in groups)


def _extracted(extractor: Extractor, group: Group, articles: list[Article], workspace: Workspace) -> Added:
    """Write the bundle of a paper, given the papers of its best file."""
    from ingest_assets.sources.papers.merging.bundle_files import write_bundle

    best = group.copies[0]
    state: State = "changed" if workspace.bundle_path(group.paper_id).exists() else "added"
    added = Added(best.path.name, group.paper_id, best.title)
    if len(articles) <= best.number or articles[best.number].paper_id != best.paper_id:
        return replace(added, error=f"{best.path.name} has changed meanwhile. Run it again.")
    named = {"paper_id": group.paper_id, "pmcid": group.pmcid}
    try:
        bundle = extractor.extract(articles[best.number].model_copy(update=named))
    except ItemError as error:
        return replace(added, error=str(error))
    write_bundle(workspace, group.paper_id, bundle)
    return replace(added, state=state)


def merge_folder(settings: PaperSettings, bundles: Path, target: Path) -> dict[str, Any]:
    """Pass 2."""
    from ingest_assets.sources.papers.merging import passes
    from ingest_assets.sources.papers.merging.decisions import load_decisions

    _require_bundles(bundles)
    workspace = _Folders(bundles, written=target, merged=target)
    classes = listed(settings.ingest_paper_classes)
    decisions = load_decisions(settings.ingest_paper_decisions, classes)
    with workspace.lock():
        merged, read = passes.pass_2(workspace, decisions, more_classes=classes)
    return {
        "papers": len(read.digests),
        "entities": len(merged.entities),
        "relationships": len(merged.relationships),
        "unreadable": read.unreadable,
        "left_out": {paper: list(said) for paper, said in read.left_out.items()},
        "remarks": list(merged.remarks),
    }


def build_folder(settings: PaperSettings, merged: Path, bundles: Path, target: Path) -> dict[str, Any]:
    """Pass 3."""
    from ingest_assets.sources.papers.merging import passes

    _require_folder(merged)
    _require_folder(bundles)
    workspace = _Folders(bundles, written=target, merged=merged, graph=target)
    with workspace.lock():
        built = passes.pass_3(workspace, more_classes=listed(settings.ingest_paper_classes))
    return {"bundle_id": built.bundle_id, **built.counts, "unreadable": built.read.unreadable}


class _Folders(Workspace):
    """A workspace whose folders lie anywhere, of which only one is written.

    Its lock is beside that one, as in a workspace: what is read only may be somewhere that cannot be written.
    """

    def __init__(
        self, bundles: Path, *, written: Path, merged: Path | None = None, graph: Path | None = None
    ) -> None:
        super().__init__(written.resolve().parent)
        self.bundles = bundles
        self.merged = merged or self.merged
        self.graph = graph or self.graph
        self._written = (written, written / "docs") if graph is not None else (written,)
        for folder in self._written:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def folders(self) -> tuple[Path, ...]:
        return self._written


def _require_bundles(folder: Path) -> None:
    """Of a wrong folder, nothing would be made, and would replace what was made of the right one."""
    _require_folder(folder)
    found = _Folders(folder, written=folder)
    if not found.bundle_files() and not found.misnamed_files():
        raise ConfigurationError(f"There is no bundle in {folder}: their files are named paper_ID.json.")


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}.")
