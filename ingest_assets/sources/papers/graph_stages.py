"""Passes 2 and 3 as stages: the workspace's merged files and graph bundle, and the ledger's graph.

The bundles come from the ledger, where the last good content of each is: one that somebody damaged does not
take its paper out of the graph.

What belongs here: when the passes run, and what is recorded of them. What does not: the passes (`passes`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.graph_tables import (
    graph_entity,
    graph_evidence,
    graph_mention,
    graph_relationship,
    graph_state,
    paper_bundle,
    paper_file,
)
from ingest_assets.ledger.store import pages, upsert
from ingest_assets.model import digest_of
from ingest_assets.reconcile import Delta, Run, Step, content_of, content_sum
from ingest_assets.sources.papers.bundles import Bundle, BundleEntity, BundleEvidence, Mention
from ingest_assets.sources.papers.file_rows import read_file
from ingest_assets.sources.papers.graph.load import GraphLoad, Loaded
from ingest_assets.sources.papers.graph.names import relationship_digest
from ingest_assets.sources.papers.merging import graph_bundle, merged_files, passes
from ingest_assets.sources.papers.merging.bundle_files import parse_bundle
from ingest_assets.sources.papers.merging.decisions import Decisions
from ingest_assets.sources.papers.merging.graph import PaperRows
from ingest_assets.sources.papers.merging.merged import Merged
from ingest_assets.sources.papers.merging.said import Said, from_text, said_of
from ingest_assets.sources.papers.settings import NAME
from ingest_assets.sources.papers.workspace import Workspace

if TYPE_CHECKING:
    from ingest_assets.workbench import Closable, Workbench

# Part of the fingerprints: raise it when the same bundles give other files or rows.
VERSION = "2"
PAGE = 50
_bundle = paper_bundle


class RecordedBundles(passes.Bundles):
    """The bundles as the ledger has them."""

    def __init__(self, ledger: Ledger, classes: tuple[str, ...]) -> None:
        super().__init__()
        self._ledger, self._classes = ledger, classes

    def found(self) -> Iterator[passes.FoundBundle]:
        made_from = (
            sa.select(paper_file.c.made_from)
            .where(paper_file.c.paper_id == _bundle.c.paper_id, read_file())
            .scalar_subquery()
        )
        columns = (_bundle.c.paper_id, _bundle.c.digest, _bundle.c.said, _bundle.c.made_from)
        query = sa.select(*columns, made_from.label("text"))
        for page in pages(self._ledger, query, _bundle.c.paper_id, PAGE):
            for row in page:
                is_of_this_text = row.text is None or row.made_from == row.text
                said = from_text(row.said) if is_of_this_text else None
                if said is None:
                    said = self._said(row.paper_id, quoted=not is_of_this_text)
                yield passes.FoundBundle(row.paper_id, said, row.digest)

    def _said(self, paper_id: str, *, quoted: bool) -> Said:
        """What a bundle says; `quoted`: with the places where its words stand now."""
        with self._ledger.reading() as connection:
            content = connection.scalar(sa.select(_bundle.c.content).filter_by(paper_id=paper_id))
        bundle = parse_bundle((content or "").encode(), paper_id, paper_id, self._classes).bundle
        return said_of(quoting(bundle, self._sections(paper_id)) if quoted else bundle)

    def _sections(self, paper_id: str) -> dict[str, str]:
        query = sa.select(paper_file.c.article).where(paper_file.c.paper_id == paper_id, read_file())
        with self._ledger.reading() as connection:
            text = connection.scalar(query)
        return {each["id"]: each["text"] for each in json.loads(text)["sections"]} if text else {}


def quoting(bundle: Bundle, sections: dict[str, str]) -> Bundle:
    """A bundle that was not made from this text, with the places where its words stand now.

    A mention whose words are not in its section is none. Evidence that is nowhere stays, without a place.
    """

    def place(section: str | None, start: int | None, text: str) -> tuple[int, int] | None:
        known = sections.get(section or "", "")
        at = start if start is not None and known.startswith(text, start) else known.find(text)
        return (at, at + len(text)) if text and at >= 0 else None

    def mentions(entity: BundleEntity) -> Iterator[Mention]:
        for each in entity.mentions:
            if (found := place(each.section, each.start_offset, each.text)) is not None:
                yield each.model_copy(update={"start_offset": found[0], "end_offset": found[1]})

    def placed(said: BundleEvidence) -> BundleEvidence:
        found = place(said.section, said.start_offset, said.text)
        start, end = found or (None, None)
        section = said.section if found else None
        return said.model_copy(update={"section": section, "start_offset": start, "end_offset": end})

    entities = (each.model_copy(update={"mentions": tuple(mentions(each))}) for each in bundle.entities)
    evidence = map(placed, bundle.evidence_entities)
    return bundle.model_copy(update={"entities": tuple(entities), "evidence_entities": tuple(evidence)})


@dataclass(frozen=True)
class Kept:
    """The bundles, read and merged, or neither."""

    key: str  # what they depend on, and the files that pass 2 has left
    merged: Merged | None
    bundles: RecordedBundles

    def close(self) -> None:
        """Let go of what the bundles say."""
        self.bundles.close()


@dataclass
class MergedEntities:
    """Pass 2: keeps `medlit_merged` in step with the bundles. Outcomes count entities."""

    workspace: Workspace
    decisions: Decisions
    bundles: str  # the stage that it is made from
    left: dict[str, Closable]  # of the workbench: what stages leave for later ones
    classes: tuple[str, ...] = ()
    name: str = "merged_entities"
    source: str = NAME
    part: str = ""
    entities: int = 0
    remarks: tuple[str, ...] = ()  # merges that papers ask for and that were refused: sentences
    seconds: float = 0.0  # of the pass

    @property
    def fingerprint(self) -> str:
        return digest_of(self.name, VERSION, self.decisions.digest, *self.classes)

    def input_digest(self, connection: sa.Connection) -> str:
        return digest_of(self.fingerprint, content_sum(connection, self.source, self.bundles))

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, _connection: sa.Connection) -> int:
        return self.entities

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        self.workspace.create()
        with self.workspace.lock(run.lock_timeout_s):
            before = merged_files.digests_in(self.workspace.merged)
            started = time.perf_counter()
            bundles = RecordedBundles(ledger, self.classes)
            with ExitStack() as unless_kept:
                unless_kept.enter_context(bundles)
                merged, _ = passes.pass_2(self.workspace, self.decisions, others=bundles)
                self.keep(Kept(self.input_key(ledger), merged.without_evidence(), bundles))
                unless_kept.pop_all()
            self.seconds = time.perf_counter() - started
            after = merged_files.entity_digests(merged)
        self.entities, self.remarks = len(after), merged.remarks
        yield Step(partial(self._record, before=before, after=after))

    def keep(self, kept: Kept) -> None:
        """Leave what pass 2 made to pass 3, which follows in the same run."""
        if (before := self.left.pop(self.name, None)) is not None:
            before.close()
        self.left[self.name] = kept

    def kept(self, ledger: Ledger) -> Kept:
        """What pass 2 has left, if it is still up to date; otherwise bundles that were not read yet."""
        found, key = self.left.pop(self.name, None), self.input_key(ledger)
        if isinstance(found, Kept):
            if found.key == key:
                return found
            found.close()
        return Kept(key, None, RecordedBundles(ledger, self.classes))

    def input_key(self, ledger: Ledger) -> str:
        """What the merged entities depend on at this moment, and their files: none of it may have changed."""
        with ledger.reading() as connection:
            return digest_of(self.input_digest(connection), json.dumps(_files_in(self.workspace.merged)))

    def _record(self, connection: sa.Connection, before: dict[str, str], after: dict[str, str]) -> Delta:
        delta = Delta()
        content = sum(content_of(key, digest) for key, digest in after.items())
        delta.content = content - int(self.content(connection), 16)
        added = [key for key in after if key not in before]
        delta.outcomes.added = len(added)
        delta.outcomes.changed = sum(after[key] != before[key] for key in after.keys() & before.keys())
        delta.outcomes.removed = len(before.keys() - after.keys())
        delta.note(added)
        return delta


@dataclass
class KnowledgeGraph:
    """Pass 3 and the load, in one critical section with a pass 2. Outcomes count rows of the graph."""

    merging: MergedEntities
    documents: str  # the stage of the sections that entities are mentioned in
    name: str = "knowledge_graph"
    source: str = NAME
    part: str = ""
    loaded: Loaded = field(default_factory=Loaded)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return digest_of(self.name, VERSION, self.merging.fingerprint)

    @property
    def workspace(self) -> Workspace:
        return self.merging.workspace

    def input_digest(self, connection: sa.Connection) -> str:
        # The bundles too: mentions, evidence and years may change while the entities stay.
        stages = (self.merging.bundles, self.merging.name, self.documents)
        made_of = [content_sum(connection, self.source, each) for each in stages]
        return digest_of(self.fingerprint, *made_of, *self._touched(connection))

    def _touched(self, connection: sa.Connection) -> list[str]:
        """The files of the workspace that are not as they were left: they are written again."""
        recorded = connection.scalar(sa.select(graph_state.c.files).filter_by(source=self.source))
        if recorded is None:
            return []
        left, now = json.loads(recorded), _files_of(self.workspace)
        return [name for name in sorted(left) if left[name] != now.get(name)]

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, connection: sa.Connection) -> int:
        return sum(graph_counts(connection, self.source).values())

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        self.workspace.create()
        with self.workspace.lock(run.lock_timeout_s):
            with closing(self.merging.kept(ledger)) as kept:
                built = passes.build(
                    self.workspace, self.merging.decisions, others=kept.bundles, known=kept.merged
                )
            self.seconds = dict(built.seconds)
            started = time.perf_counter()
            yield Step(partial(self._load, built=built, anew=run.rebuild))
            self.seconds["load"] = time.perf_counter() - started

    def _load(self, connection: sa.Connection, built: passes.Built, *, anew: bool) -> Delta:
        load = GraphLoad(connection, self.source, anew=anew)
        load.entities(self._with_lines("entities", built.entity_ids), built.merged.aliases)
        said = (relationship_digest(*each.ends) for each in built.merged.relationships)
        load.relationships(self._with_lines("relationships", said))
        load.papers(built.papers, self._rows)
        self.loaded = load.loaded
        state = {
            "source": self.source,
            "bundle_id": built.bundle_id,
            "manifest": json.dumps(graph_bundle.read_manifest(self.workspace)),
            "counts": json.dumps(built.counts, sort_keys=True),
            "files": json.dumps(_files_of(self.workspace)),
        }
        upsert(connection, graph_state, [state])
        delta = Delta()
        content = content_of("graph", built.bundle_id) + load.loaded.about
        delta.content = content - int(self.content(connection), 16)
        delta.outcomes.added = load.loaded.added
        delta.outcomes.changed = load.loaded.changed
        delta.outcomes.removed = load.loaded.removed
        delta.note(load.loaded.sample)
        return delta

    def _with_lines(self, kind: str, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The keys of rows, each with its JSON, which was just written."""
        return zip(keys, graph_bundle.read_lines(self.workspace, kind), strict=True)

    def _rows(self, lines: passes.PaperLines) -> PaperRows:
        return PaperRows(
            graph_bundle.read_mentions(self.workspace, lines.mentions),
            graph_bundle.read_evidence(self.workspace, lines.evidence),
        )


def _files_of(workspace: Workspace) -> dict[str, list[int]]:
    """Size and time of the files that passes 2 and 3 write."""
    return _files_in(workspace.merged) | _files_in(workspace.graph)


def _files_in(folder: Path) -> dict[str, list[int]]:
    found = {}
    for path in sorted(folder.glob("*.json*")):
        stat = path.lstat()
        found[f"{folder.name}/{path.name}"] = [stat.st_size, stat.st_mtime_ns]
    return found


def graph_counts(connection: sa.Connection, source: str) -> dict[str, int]:
    """How many rows of each kind a source's graph has."""
    kinds = {
        "entities": graph_entity,
        "relationships": graph_relationship,
        "mentions": graph_mention,
        "evidence": graph_evidence,
    }
    return {
        kind: connection.scalar(sa.select(sa.func.count()).select_from(table).filter_by(source=source)) or 0
        for kind, table in kinds.items()
    }


def merged_stage(bench: Workbench) -> MergedEntities:
    """The stage of a workbench. Raises ConfigurationError when the curators' decisions cannot be read."""
    from ingest_assets.settings import listed
    from ingest_assets.sources.papers.merging.decisions import load_decisions
    from ingest_assets.sources.papers.places import workspace_of
    from ingest_assets.sources.papers.settings import BUNDLES, PaperSettings

    settings = bench.settings_of(PaperSettings)
    classes = listed(settings.ingest_paper_classes)
    decisions = load_decisions(settings.ingest_paper_decisions, classes)
    return MergedEntities(workspace_of(bench), decisions, BUNDLES, bench.left, classes)


def graph_stage(bench: Workbench) -> KnowledgeGraph:
    """The stage of a workbench."""
    from ingest_assets.sources.papers.settings import ARTICLES

    return KnowledgeGraph(merged_stage(bench), ARTICLES)
