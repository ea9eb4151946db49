"""Passes 2 and 3 in a workspace: from the bundles that are there to the merged files and the graph bundle.

Everything is written beside the old files first, and then replaced, file by file, the manifest last: whatever
fails before leaves all old files. A crash between two replacements leaves a manifest that does not fit
(`graph_bundle.is_whole`), and the next run completes it.

What belongs here: reading bundles, and writing files in this order. What does not: databases.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from ingest_assets.model import ConfigurationError, ItemError, digest_of
from ingest_assets.sources.papers.merging import graph_bundle, merged_files
from ingest_assets.sources.papers.merging.bundle_files import read_bundle
from ingest_assets.sources.papers.merging.decisions import Decisions
from ingest_assets.sources.papers.merging.excerpts import Excerpts
from ingest_assets.sources.papers.merging.graph import GraphBuilder
from ingest_assets.sources.papers.merging.merged import Merged
from ingest_assets.sources.papers.merging.merging import merge
from ingest_assets.sources.papers.merging.said import Said, said_of
from ingest_assets.sources.papers.workspace import Draft, Workspace, replace

Check = Callable[[], None]


@dataclass(slots=True)
class Read:
    """What was read of the bundles, and what of them could not be used."""

    digests: dict[str, str] = field(default_factory=dict)  # paper: of its bundle's file
    # Paper or file name: what is wrong with its bundle. It is not in the graph.
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)  # paper: sentences


class FoundBundle(NamedTuple):
    """What a bundle says."""

    paper_id: str
    said: Said
    digest: str  # of its content
    left_out: tuple[str, ...] = ()  # sentences: what could not be used


class PaperLines(NamedTuple):
    """The lines of one paper in the files of mentions and evidence."""

    digest: str  # of both, 32 hex characters
    mentions: tuple[int, int]  # where they start and stop, in bytes
    evidence: tuple[int, int]


@dataclass(slots=True)
class Built:
    """What a build found, and what it changed."""

    merged: Merged
    entity_ids: list[str]  # in the order of their rows; those of relationships are in that of `merged`
    counts: dict[str, int]  # entity, relationship, mention, evidence, paper
    bundle_id: str
    read: Read
    papers: dict[str, PaperLines]  # by paper, sorted
    changed: list[str] = field(default_factory=list)  # names of files that were replaced
    seconds: dict[str, float] = field(default_factory=dict)  # of each pass


def run_all(
    workspace: Workspace,
    decisions: Decisions | None = None,
    *,
    more_classes: Iterable[str] = (),
    wait_s: float = 600.0,
    check: Check | None = None,
) -> Built:
    """Both passes under the workspace's lock. `build` is for those who hold it already."""
    workspace.create()
    with workspace.lock(wait_s, check):
        return build(workspace, decisions, more_classes=more_classes, check=check)


def build(
    workspace: Workspace,
    decisions: Decisions | None = None,
    *,
    more_classes: Iterable[str] = (),
    check: Check | None = None,
    others: Bundles | None = None,
    known: Merged | None = None,
) -> Built:
    """Both passes, by the holder of the workspace's lock; of the workspace's bundles, or of `others`.

    `check` is called for each paper, and may raise to give up. `others` stay open. `known` is what pass 2 has
    made of `others` and written, which are neither read nor written again then. Raises UnavailableError if
    the disk is full, and ConfigurationError if decisions contradict each other: all files are still the old
    ones.
    """
    workspace.clean()
    with ExitStack() as stack:
        bundles = others or stack.enter_context(_BundleFiles(workspace, more_classes, check))
        started = time.perf_counter()
        merged = merge(bundles, decisions) if known is None else known
        between = time.perf_counter()
        drafts = _merged_drafts(stack, workspace, merged) if known is None else []
        built, graph = _graph_drafts(stack, workspace, merged, bundles)
        built.changed = _replace([*drafts, *graph])
        built.seconds = {"pass2": between - started, "pass3": time.perf_counter() - between}
        return built


def pass_2(
    workspace: Workspace,
    decisions: Decisions | None = None,
    *,
    more_classes: Iterable[str] = (),
    check: Check | None = None,
    others: Bundles | None = None,
) -> tuple[Merged, Read]:
    """The merged files only, by the holder of the lock. Takes and raises what `build` does."""
    workspace.clean()
    with ExitStack() as stack:
        bundles = others or stack.enter_context(_BundleFiles(workspace, more_classes, check))
        merged = merge(bundles, decisions)
        _replace(_merged_drafts(stack, workspace, merged))
        return merged, bundles.read


def pass_3(workspace: Workspace, *, more_classes: Iterable[str] = (), check: Check | None = None) -> Built:
    """The graph bundle only, from the merged files that are there. Raises as `build` does.

    Raises ConfigurationError if pass 2 has not seen these bundles.
    """
    workspace.clean()
    merged = merged_files.read_merged(workspace.merged)

    with ExitStack() as stack:
        bundles = stack.enter_context(_BundleFiles(workspace, more_classes, check))
        for paper_id, said in bundles:
            if not merged.id_map.get(paper_id, {}).keys() >= {each.id for each in said.entities}:
                raise ConfigurationError(
                    f"The merged files in {workspace.merged} do not know the bundle of {paper_id}. "
                    "Run pass 2 first."
                )
        if gone := merged.id_map.keys() - bundles.read.digests.keys():
            raise ConfigurationError(
                f"The merged files in {workspace.merged} know the paper {min(gone)}, whose bundle is gone. "
                "Run pass 2 first."
            )
        built, graph = _graph_drafts(stack, workspace, merged, bundles)
        built.changed = _replace(graph)
        return built


class Bundles(ABC):
    """The bundles to build from, each read once, by paper. A context manager, for what it keeps meanwhile."""

    def __init__(self) -> None:
        self.excerpts = Excerpts()
        self.read = Read()

    @abstractmethod
    def found(self) -> Iterator[FoundBundle]:
        """Every bundle that can be used; the others are named in `read.unreadable`."""

    def __iter__(self) -> Iterator[tuple[str, Said]]:
        for each in self.found():
            self.read.digests[each.paper_id] = each.digest
            if each.left_out:
                self.read.left_out[each.paper_id] = each.left_out
            self.excerpts.add(each.paper_id, each.said.excerpt)
            yield each.paper_id, each.said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what it keeps."""
        self.excerpts.__exit__()


class _BundleFiles(Bundles):
    """The bundles of a workspace: others write them meanwhile."""

    def __init__(self, workspace: Workspace, more_classes: Iterable[str], check: Check | None) -> None:
        super().__init__()
        self._files = workspace.bundle_files()
        self._more_classes = tuple(more_classes)
        self._check = check
        for name in workspace.misnamed_files():
            self.read.unreadable[name] = f"{name} is not named as a paper's bundle is: paper_ID.json."

    def found(self) -> Iterator[FoundBundle]:
        for file in self._files:
            if self._check is not None:
                self._check()
            try:
                read = read_bundle(file.path, file.paper_id, self._more_classes)
                yield FoundBundle(read.paper_id, said_of(read.bundle), read.digest, read.left_out)
            except ItemError as error:
                self.read.unreadable[file.paper_id] = str(error)
            except FileNotFoundError:
                continue  # removed meanwhile


def _merged_drafts(stack: ExitStack, workspace: Workspace, merged: Merged) -> list[Draft]:
    return [
        _written(stack, workspace.merged / name, content)
        for name, content in merged_files.merged_files(merged)
    ]


def _graph_drafts(
    stack: ExitStack, workspace: Workspace, merged: Merged, bundles: Bundles
) -> tuple[Built, list[Draft]]:
    builder = GraphBuilder(merged)
    drafts = {kind: stack.enter_context(Draft(path)) for kind, path in graph_bundle.paths(workspace).items()}
    counts = dict.fromkeys(("entity", "relationship", "mention", "evidence", "paper"), 0)
    papers: dict[str, PaperLines] = {}
    ends = {"mentions": 0, "evidence": 0}
    for paper_id, excerpt in bundles.excerpts:
        rows = builder.paper(paper_id, excerpt)
        said = {"mentions": graph_bundle.lines(rows.mentions), "evidence": graph_bundle.lines(rows.evidence)}
        places = {}
        for kind, written in said.items():
            drafts[kind].write(written)
            places[kind] = ends[kind], ends[kind] + len(written)
            ends[kind] += len(written)
        papers[paper_id] = PaperLines(digest_of(*map(digest_of, said.values())), **places)
        counts["mention"] += len(rows.mentions)
        counts["evidence"] += len(rows.evidence)
        counts["paper"] += 1
    counts["entity"] = graph_bundle.write_lines(drafts["entities"], builder.entities())
    counts["relationship"] = graph_bundle.write_lines(drafts["relationships"], builder.relationships())
    drafts["doc_assets"].write(graph_bundle.doc_assets())
    manifest = graph_bundle.manifest(drafts, counts, builder.last_year())
    readme = _written(stack, workspace.graph / graph_bundle.README, [graph_bundle.readme()])
    last = _written(stack, workspace.graph / graph_bundle.MANIFEST, [manifest])
    built = Built(merged, builder.entity_ids(), counts, graph_bundle.bundle_id(drafts), bundles.read, papers)
    return built, [readme, *drafts.values(), last]


def _written(stack: ExitStack, path: Path, content: Iterable[bytes]) -> Draft:
    draft = stack.enter_context(Draft(path))
    for piece in content:
        draft.write(piece)
    return draft


def _replace(drafts: list[Draft]) -> list[str]:
    """Replace files once all of them are on disk, the last one last. Returns the names that changed."""
    with ThreadPoolExecutor(len(drafts)) as threads:
        # Each waits for the disk, which writes what is flushed at the same time together.
        for _ in threads.map(Draft.finish, drafts):
            pass  # raises what one of them raised
    return [*replace(drafts[:-1]), *replace(drafts[-1:])]
