"""The graph bundle: what is in it, and that it is the same however it came about, also after a kill."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.papers.bundles import Bundle, Mention
from ingest_assets.sources.papers.merging.bundle_files import write_bundle
from ingest_assets.sources.papers.merging.excerpts import Excerpts, excerpt_of
from ingest_assets.sources.papers.merging.graph import NO_TIME, graph_rows
from ingest_assets.sources.papers.merging.graph_bundle import (
    MANIFEST,
    file_of,
    is_whole,
    read_evidence,
    read_mentions,
)
from ingest_assets.sources.papers.merging.graph_rows import EvidenceRow, MentionRow
from ingest_assets.sources.papers.merging.merging import merge
from ingest_assets.sources.papers.merging.passes import build, pass_2, pass_3, run_all
from ingest_assets.sources.papers.merging.said import said_of
from ingest_assets.sources.papers.workspace import Workspace
from ingest_assets_tests.sources.papers import making
from ingest_assets_tests.sources.papers.making import (
    bundle,
    entity,
    full_disk,
    outputs,
    says,
    sentence,
    workspace,
)

WHOLE = (0, 1 << 20)  # of a file
_HERE = Mention(section="abstract", start_offset=9, end_offset=23, text="hydrocortisone")
_THERE = Mention(section="results/salt", start_offset=0, end_offset=6, text="Sodium")
PLACED = bundle(
    [
        entity("E1", "Hydrocortisone", rxnorm_id="5492", mentions=(_HERE, _HERE)),
        entity("E2", "Adrenal insufficiency", "Disease"),
        entity("E3", "Sodium", mentions=(_THERE,)),
        entity("E4", "Nothing"),
    ],
    [says("E1", "TREATS", "E2", evidence_ids=("x", "x", "none"))],
    [sentence("x", "Give hydrocortisone.", section="abstract", start_offset=4, end_offset=24)],
    year=2021,
)
UNPLACED = bundle(
    [entity("E1", "hydrocortisone", synonyms=("HC",)), entity("E2", "AI", "Disease"), entity("E3", "salt")],
    [says("E1", "TREATS", "E2", 0.7, evidence_ids=("a", "b"))],
    [sentence("a", "Hydrocortisone (HC) treats AI."), sentence("b", "It is paid for.")],
)


def _lines(made: Workspace, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.graph / file_of(kind)).read_bytes().splitlines()]


def _manifest(made: Workspace) -> dict[str, Any]:
    return json.loads((made.graph / MANIFEST).read_bytes())  # type: ignore[no-any-return]


def test_rows_say_where_and_when_and_how_often(tmp_path: Path) -> None:
    made = workspace(tmp_path, {"PMC1": PLACED, "PMC2": UNPLACED})
    run_all(made)
    entities = {each["entity_id"]: each for each in _lines(made, "entities")}
    drug = entities["RxNorm:5492"]
    assert drug["created_at"] == "2021-01-01T00:00:00Z"
    assert (drug["usage_count"], drug["total_mentions"], drug["status"]) == (2, 2, "canonical")
    assert (drug["first_seen_document"], drug["first_seen_section"]) == ("PMC1", "abstract")
    assert "Sodium" in {
        each["name"] for each in entities.values()
    }  # mentioned, although nothing is said of it
    assert not {"Nothing", "salt"} & {each["name"] for each in entities.values()}
    treats = {each["object_id"]: each for each in _lines(made, "relationships")}
    assert [each["evidence_count"] for each in treats.values()] in ([1, 2], [2, 1])
    assert {each["created_at"] for each in treats.values()} == {"2021-01-01T00:00:00Z", NO_TIME}
    evidence = [each for each in _lines(made, "evidence") if each["document_id"] == "PMC1"]
    assert [(each["section"], each["start_offset"], each["end_offset"]) for each in evidence] == [
        ("abstract", 4, 24)
    ]


def test_mentions_are_the_words_and_claim_no_place_that_is_not_known(tmp_path: Path) -> None:
    made = workspace(tmp_path, {"PMC1": PLACED, "PMC2": UNPLACED})
    run_all(made)
    found = {
        (each["document_id"], each["text_span"], each["section"], each["start_offset"])
        for each in _lines(made, "mentions")
    }
    assert found == {
        ("PMC1", "hydrocortisone", "abstract", 9),
        ("PMC1", "Sodium", "results/salt", 0),
        ("PMC2", "Hydrocortisone", None, 0),
        ("PMC2", "AI", None, 0),
    }
    rows: list[MentionRow | EvidenceRow] = [*read_mentions(made, WHOLE), *read_evidence(made, WHOLE)]
    said = [("PMC1", said_of(PLACED)), ("PMC2", said_of(UNPLACED))]
    held = graph_rows(merge(said), said[::-1])
    assert rows == [*held.mentions, *held.evidence]
    assert all(each.start_offset is None for each in rows if each.section is None)


@settings(max_examples=50)
@given(making.papers)
def test_ids_resolve_counts_agree_and_keys_are_unique(papers: making.Papers) -> None:
    said = [(paper, said_of(each)) for paper, each in papers.items()]
    merged = merge(said)
    rows = graph_rows(merged, said)
    entities = {each.entity_id: each for each in rows.entities}
    relationships = {each.key: each for each in rows.relationships}
    for many in (rows.entities, rows.relationships, rows.mentions, rows.evidence):
        assert len({each.key for each in many}) == len(many)
    assert {each.entity_id for each in rows.mentions} <= entities.keys()
    assert {each.relationship_key for each in rows.evidence} <= relationships.keys()
    assert {
        end for each in rows.relationships for end in (each.subject_id, each.object_id)
    } <= entities.keys()
    mentions = Counter(each.entity_id for each in rows.mentions)
    assert all(each.total_mentions == mentions[key] for key, each in entities.items())
    evidence = Counter(each.relationship_key for each in rows.evidence)
    assert all(each.evidence_count == evidence[key] for key, each in relationships.items())
    assert all(each.usage_count == len(each.supporting_documents) > 0 for each in rows.entities)


def test_the_manifest_counts_what_is_in_the_files(tmp_path: Path) -> None:
    made = workspace(tmp_path, {"PMC1": PLACED, "PMC2": UNPLACED})
    built = run_all(made)
    about = _manifest(made)
    for kind, singular in (
        ("entities", "entity"),
        ("relationships", "relationship"),
        ("mentions", "mention"),
        ("evidence", "evidence"),
    ):
        assert about["metadata"][f"{singular}_count"] == len(_lines(made, kind)) == built.counts[singular]
        assert about[kind] == {"path": file_of(kind), "format": "jsonl"}
    assert about["bundle_id"] == built.bundle_id
    assert about["created_at"] == "2021-01-01T00:00:00Z"
    assert (made.graph / "docs" / "README.md").exists()
    assert is_whole(made)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(making.papers, making.papers, st.randoms(use_true_random=False))
def test_any_history_gives_the_files_of_one_build(
    tmp_path_factory: pytest.TempPathFactory, papers: making.Papers, passing: making.Papers, random: Random
) -> None:
    made = workspace(tmp_path_factory.mktemp("history"), {})
    steps: list[tuple[str, Any]] = [*passing.items(), *((paper, None) for paper in passing), *papers.items()]
    first = steps[: len(passing)]
    random.shuffle(first)
    for paper, each in [*first, *steps[len(passing) :]]:
        if each is None:
            made.remove_bundle(paper)
        else:
            write_bundle(made, paper, each)
        if random.random() < 0.5:
            run_all(made)
    run_all(made)
    at_once = workspace(tmp_path_factory.mktemp("once"), papers)
    run_all(at_once)
    assert outputs(made) == outputs(at_once)


def test_running_again_changes_no_byte_and_no_time(tmp_path: Path) -> None:
    made = workspace(tmp_path, {"PMC1": PLACED, "PMC2": UNPLACED})
    assert run_all(made).changed
    for path in made.root.rglob("*"):
        os.utime(path, (1_000, 1_000))
    before = {path: path.stat().st_mtime_ns for path in made.root.rglob("*.json*")}
    assert run_all(made).changed == []
    assert {path: path.stat().st_mtime_ns for path in made.root.rglob("*.json*")} == before


def test_passes_run_alone_give_the_same_files(tmp_path: Path) -> None:
    made = workspace(tmp_path / "one", {"PMC1": PLACED, "PMC2": UNPLACED})
    apart = workspace(tmp_path / "two", {"PMC1": PLACED, "PMC2": UNPLACED})
    run_all(made)
    with pytest.raises(ConfigurationError, match="Run pass 2 first"):
        pass_3(apart)
    pass_2(apart)
    pass_3(apart)
    assert outputs(made) == outputs(apart)
    write_bundle(apart, "PMC3", PLACED)
    with pytest.raises(ConfigurationError, match="Run pass 2 first"):
        pass_3(apart)
    apart.remove_bundle("PMC3")
    apart.remove_bundle("PMC2")
    with pytest.raises(ConfigurationError, match="Run pass 2 first"):
        pass_3(apart)


def test_a_bundle_that_cannot_be_used_is_named_and_the_others_are_built(tmp_path: Path) -> None:
    made = workspace(tmp_path / "one", {"PMC1": PLACED})
    (made.bundles / "paper_PMC9.json").write_text("I am sorry")
    (made.bundles / "paper_a b.json").write_text("{}")
    built = run_all(made)
    assert sorted(built.read.unreadable) == ["PMC9", "paper_a b.json"]
    alone = workspace(tmp_path / "two", {"PMC1": PLACED})
    run_all(alone)
    assert outputs(made) == outputs(alone)


def test_a_bundle_that_is_replaced_meanwhile_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    made = workspace(tmp_path / "one", {"PMC1": PLACED, "PMC2": UNPLACED, "PMC3": PLACED})
    calls = 0

    def meanwhile() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            write_bundle(made, "PMC1", UNPLACED)
            write_bundle(made, "PMC2", PLACED)
            made.remove_bundle("PMC3")

    build(made, check=meanwhile)
    at_once = workspace(tmp_path / "two", {"PMC1": PLACED, "PMC2": PLACED})
    run_all(at_once)
    assert outputs(made) == outputs(at_once)


def test_a_full_disk_leaves_the_last_good_graph(tmp_path: Path) -> None:
    made = workspace(tmp_path, {"PMC1": PLACED})
    run_all(made)
    before = outputs(made)
    write_bundle(made, "PMC2", UNPLACED)
    with full_disk(800), pytest.raises(UnavailableError, match="cannot be written"):
        run_all(made)
    assert outputs(made) == before
    assert is_whole(made)
    assert list(made.root.rglob(".*.new")) == []
    run_all(made)
    assert outputs(made) != before


def test_a_kill_between_any_two_replacements_is_seen_and_mended(tmp_path: Path) -> None:
    expected = workspace(tmp_path / "expected", {"PMC1": PLACED, "PMC2": UNPLACED})
    run_all(expected)
    killed = 0
    for number in range(1, 30):
        made = workspace(tmp_path / str(number), {"PMC1": UNPLACED})
        run_all(made)
        write_bundle(made, "PMC1", PLACED)
        write_bundle(made, "PMC2", UNPLACED)
        if not _killed_at(made, number):
            break
        killed += 1
        assert is_whole(made) == (number <= 4)  # before the first file of the bundle it is the old one
        run_all(made)
        assert is_whole(made)
        assert outputs(made) == outputs(expected)
        assert list(made.root.rglob(".*.new")) == []
    assert killed == 8  # three merged files, four with rows, and the manifest: all that differ


def _killed_at(made: Workspace, number: int) -> bool:
    """Build in a process that dies before it replaces its nth file. Returns whether it died."""
    child = os.fork()
    if child == 0:
        renamed = 0

        def die(event: str, _: object) -> None:
            nonlocal renamed
            renamed += event == "os.rename"
            if renamed == number:
                os._exit(9)

        sys.addaudithook(die)
        run_all(made)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_rows_without_a_place_stay_apart_by_their_sentence() -> None:
    one = MentionRow("e", "p", None, None, None, "AI", "AI is rare.", 0.9, "llm", NO_TIME)
    other = MentionRow("e", "p", None, None, None, "AI", "AI is common.", 0.9, "llm", NO_TIME)
    assert one.key != other.key
    placed = EvidenceRow("k", "p", "abstract", 0, 5, "AI is", 0.9, supports=True)
    assert placed.key != EvidenceRow("k", "p", None, None, None, "AI is", 0.9, supports=True).key


@given(making.bundles())
def test_excerpts_are_kept_in_a_file_as_they_are_in_memory(made: Bundle) -> None:
    excerpt = excerpt_of(made)
    for limit in (1, 1 << 20):
        with Excerpts(limit) as kept:
            kept.add("PMC1", excerpt)
            kept.add("PMC2", excerpt)
            assert list(kept) == list(kept) == [("PMC1", excerpt), ("PMC2", excerpt)]
