"""A workspace of the old system: its numbers under its own rules, and the reason of every difference to ours.

The table of these numbers in the documentation is made of the same steps.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.sources.papers.bundles import Bundle
from ingest_assets.sources.papers.merging import graph_bundle, merged_files
from ingest_assets.sources.papers.merging.authorities import is_authoritative
from ingest_assets.sources.papers.merging.bundle_files import read_bundle
from ingest_assets.sources.papers.merging.graph import GraphRows, graph_rows
from ingest_assets.sources.papers.merging.merged import Merged
from ingest_assets.sources.papers.merging.merging import merge
from ingest_assets.sources.papers.merging.passes import run_all
from ingest_assets.sources.papers.merging.said import Said, ids_of, said_of
from ingest_assets.sources.papers.workspace import Workspace
from ingest_assets_tests.sources.papers.old_rules import Json, OldGraph, old_graph, old_papers
from ingest_assets_tests.support.data_sets import REQUIRED, SHARED

PLACE = "data/papers/bundles"


@dataclass
class Both:
    """The same bundles under the old rules, with the files' names as papers, and under ours."""

    folder: Path

    @cached_property
    def papers(self) -> list[tuple[str, Json]]:
        return old_papers(self.folder / "pass1_bundles", believe_models=False)

    @cached_property
    def old(self) -> OldGraph:
        return old_graph(self.papers)

    @cached_property
    def bundles(self) -> dict[str, Bundle]:
        workspace = Workspace(self.folder)
        files = workspace.bundle_files()
        return {each.paper_id: read_bundle(each.path, each.paper_id).bundle for each in files}

    @property
    def said(self) -> list[tuple[str, Said]]:
        return [(paper_id, said_of(each)) for paper_id, each in self.bundles.items()]

    @cached_property
    def merged(self) -> Merged:
        return merge(self.said)

    @cached_property
    def rows(self) -> GraphRows:
        return graph_rows(self.merged, self.said)

    @cached_property
    def entity_of(self) -> dict[tuple[str, str], str]:
        return {
            (paper, local): entity
            for paper, members in self.merged.id_map.items()
            for local, entity in members.items()
        }

    @cached_property
    def joined(self) -> dict[str, set[str]]:
        """Entity of ours: those of the old rules that it is made of."""
        found: dict[str, set[str]] = defaultdict(set)
        for place, entity in self.entity_of.items():
            found[entity].add(self.old.entity_of[place])
        return found

    @cached_property
    def parted(self) -> dict[str, set[str]]:
        """Entity of the old rules: those of ours that it became."""
        found: dict[str, set[str]] = defaultdict(set)
        for place, entity in self.entity_of.items():
            found[self.old.entity_of[place]].add(entity)
        return found


@pytest.fixture(scope="module")
def old_workspace() -> Path:
    """The old system's workspace, where it is. There is no substitute: the numbers are of real data."""
    folder = SHARED / PLACE
    if not folder.exists():
        if os.environ.get(REQUIRED, "0") not in {"", "0"}:
            pytest.fail(
                f"shared/{PLACE} is absent beside the repository, and {REQUIRED} demands it", pytrace=False
            )
        pytest.skip(f"there is no substitute for shared/{PLACE}")
    return folder


@pytest.fixture(scope="module")
def both(old_workspace: Path) -> Both:
    return Both(old_workspace)


def test_the_old_rules_give_the_old_numbers(old_workspace: Path) -> None:
    old = old_graph(old_papers(old_workspace / "pass1_bundles"))
    assert (len(old.merged), len(old.canonical)) == (541, 359)
    assert (len(old.entities), len(old.relationships)) == (342, 359)
    assert (len(old.mentions), len(old.evidence)) == (817, 405)
    id_map = json.loads((old_workspace / "medlit_merged" / "id_map.json").read_text("utf-8"))
    theirs = {
        (paper, local): entity for paper, members in id_map.items() for local, entity in members.items()
    }
    assert _partition(theirs) == _partition(old.entity_of)  # not only as many: the same ones


def test_merged_entities_541_to_540(both: Both) -> None:
    # +4: three bundles share a paper id that a model made up, so that one's "E1" was taken for another's.
    assert len(both.old.merged) == 541 + 4
    joined = {entity: old for entity, old in both.joined.items() if len(old) > 1}
    moved = {old: ours for old, ours in both.parted.items() if len(ours) > 1}
    # -3: a name that came before the first paper with its id.
    late = {"UMLS:C0001655", "UMLS:C0020268", "RxNorm:1298331"}
    # -1: one class in two spellings ("Biological Process"). -1: RxNorm "1234567" is no id.
    spelled, placeholder = {"UMLS:C4277695"}, {"RxNorm:1100699"}
    # +-0: a name without an id belongs to what most papers mean by it, not to what the last one said.
    majority = {"RxNorm:1234569", "UMLS:C0019204"}
    assert joined.keys() == late | spelled | placeholder | majority
    assert all(len(old) == 2 for old in joined.values())
    assert moved.keys() == {"2378234", "C2239176"}
    assert all(len(ours) == 2 for ours in moved.values())
    assert len(both.merged.entities) == 545 - 3 - 1 - 1 - len(majority) + len(moved) == 540


def test_canonical_entities_359_to_359(both: Both) -> None:
    # +2: as above, of the 4.
    assert len(both.old.canonical) == 359 + 2
    lost = {
        old for old in both.old.canonical if not any(is_authoritative(entity) for entity in both.parted[old])
    }
    assert lost == {"C0389995"}  # -1: written as an id of RxNorm, whose ids are numbers
    # -1: "1234567" again. It is not lost: its name leads to another id of RxNorm.
    assert sum(each.is_canonical for each in both.merged.entities) == 361 - 1 - 1 == 359


def test_relationships_359_to_358(both: Both) -> None:
    assert len(both.old.relationships) == 359
    pairs = {
        (
            both.old.entity_of[paper, said["subject"]],
            said["predicate"],
            both.old.entity_of[paper, said["object"]],
        ): (
            both.entity_of[paper, said["subject"]],
            said["predicate"],
            both.entity_of[paper, said["object"]],
        )
        for paper, bundle in both.papers
        for said in bundle["relationships"]
        if (paper, said["object"]) in both.entity_of
    }
    kept = {pairs[old] for old in both.old.relationships}
    known = {(each.subject_id, each.predicate, each.object_id) for each in both.rows.relationships}
    # -2: "pasireotide" and "osilodrostat" treat the same under two ids that are one entity now.
    # +1: what "osilodrostat" of the paper with the other id treats is a relationship apart.
    assert len(both.rows.relationships) == 359 - 2 + 1 == 358
    assert kept <= known
    assert len(known - kept) == 1


def test_entities_of_the_bundle_342_to_378(both: Both) -> None:
    assert len(both.old.entities) == 342 + 2  # of the 4 above, those with relationships
    stated = {end for each in both.rows.relationships for end in (each.subject_id, each.object_id)}
    # -5 +2: as for the merged ones, of which all have relationships.
    assert len(stated) == 344 - 5 + 2 == 341
    # +: nothing is stated of them, but a sentence names them.
    besides = {each.entity_id for each in both.rows.entities} - stated
    assert besides <= {each.entity_id for each in both.rows.mentions}
    assert len(besides) == 37
    assert len(both.rows.entities) == 341 + 37 == 378


def test_evidence_405_to_403(both: Both) -> None:
    assert len(both.old.evidence) == 405
    # -2: two relationships of one paper with one sentence became one relationship.
    twice = [each for each, times in Counter(both.old.evidence).items() if times > 1]
    assert len(both.rows.evidence) == 405 - len(twice) == 403
    assert all(each.section is None and each.start_offset is None for each in both.rows.evidence)


def test_mentions_817_to_583(both: Both) -> None:
    assert len(both.old.mentions) == 817
    text = {
        (paper, each.id): each.text
        for paper, bundle in both.bundles.items()
        for each in bundle.evidence_entities
    }
    claimed = {
        (both.entity_of[paper, said[end]], paper, text[paper, evidence])
        for paper, bundle in both.papers
        for said in bundle["relationships"]
        for evidence in said["evidence_ids"]
        for end in ("subject", "object")
        if (paper, said[end]) in both.entity_of
    }
    found = {(each.entity_id, each.document_id, each.context) for each in both.rows.mentions}
    assert len(found) == len(both.rows.mentions)
    # -198: a sentence that supports several relationships of an entity mentions it once.
    assert len(claimed) == 817 - 198
    # -194: the sentence does not name the entity: "these antibodies".
    assert len(claimed - found) == 194
    # +158: a sentence names an entity and supports relationships of others only.
    assert len(found - claimed) == 158
    assert len(both.rows.mentions) == 817 - 198 - 194 + 158 == 583


def test_an_id_that_is_none_is_nobodys(both: Both) -> None:
    known = {found for bundle in both.bundles.values() for each in bundle.entities for found in ids_of(each)}
    assert not {"RxNorm:1234567", "RxNorm:C0389995"} & known


def test_it_is_taken_over_as_it_is(old_workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(old_workspace, tmp_path / "workspace", copy_function=shutil.copyfile)
    for folder in (tmp_path / "workspace").glob("**/"):
        folder.chmod(0o755)
    made = Workspace(tmp_path / "workspace")
    built = run_all(made)
    assert built.read.unreadable == {}
    assert list(built.read.left_out) == ["PMC11560769"]
    for path in (old_workspace / "pass1_bundles").iterdir():
        assert (made.bundles / path.name).read_bytes() == path.read_bytes()
    assert {each["canonical_id"] for each in _json(made, "entities.json")} >= {"UMLS:C0001403", "RxNorm:5492"}
    assert {paper for each in _json(made, "relationships.json") for paper in each["source_papers"]} <= {
        each.paper_id for each in made.bundle_files()
    }
    pairs = [pair for many in _json(made, "synonym_cache.json").values() for pair in many]
    assert len(pairs) == 5


def test_files_have_the_fields_of_the_old_ones(old_workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(
        old_workspace / "pass1_bundles", tmp_path / "pass1_bundles", copy_function=shutil.copyfile
    )
    made = Workspace(tmp_path)
    run_all(made)
    for kind in graph_bundle.KINDS:
        name = graph_bundle.file_of(kind)
        theirs, ours = (
            json.loads((folder / name).read_text("utf-8").splitlines()[0])
            for folder in (old_workspace / "medlit_bundle", made.graph)
        )
        assert list(ours) == list(theirs)
        said = [key for key in ours if ours[key] is not None and theirs[key] is not None]
        assert [type(ours[key]) for key in said] == [type(theirs[key]) for key in said]
    for name in merged_files.NAMES:
        theirs, ours = (
            json.loads((folder / name).read_text("utf-8"))
            for folder in (old_workspace / "medlit_merged", made.merged)
        )
        if isinstance(theirs, list):
            assert list(ours[0])[: len(theirs[0])] == list(theirs[0])
        assert type(ours) is type(theirs)
    manifest = json.loads((made.graph / "manifest.json").read_text("utf-8"))
    theirs = json.loads((old_workspace / "medlit_bundle" / "manifest.json").read_text("utf-8"))
    assert list(manifest) == list(theirs)
    assert manifest["metadata"].keys() >= theirs["metadata"].keys()


def _json(made: Workspace, name: str) -> Any:
    return json.loads((made.merged / name).read_bytes())


def _partition(entity_of: dict[tuple[str, str], str]) -> set[frozenset[tuple[str, str]]]:
    members: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for place, entity in entity_of.items():
        members[entity].add(place)
    return {frozenset(each) for each in members.values()}
