"""Bundles as files: others' faults get a clear answer, and ours are read by the old tools."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.bundles import Bundle
from ingest_assets.sources.papers.merging import bundle_files
from ingest_assets.sources.papers.merging.bundle_files import bundle_bytes, parse_bundle, read_bundle
from ingest_assets_tests.sources.papers import making
from ingest_assets_tests.sources.papers.making import bundle, entity, says, sentence

NAME = "paper_PMC1.json"


def _content(**more: Any) -> dict[str, Any]:
    made = bundle(
        [entity("E1", "a"), entity("E2", "b")], [says("E1", "TREATS", "E2")], [sentence("x", "A b.")]
    )
    return {**json.loads(bundle_bytes(made)), **more}


def _parse(content: object) -> Bundle:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_bundle(raw, "PMC1", NAME).bundle


@given(making.bundles())
def test_what_is_written_is_read_and_written_again_the_same(made: Bundle) -> None:
    raw = bundle_bytes(made)
    assert bundle_bytes(_parse(raw)) == raw


def test_a_file_has_the_keys_of_the_old_ones_in_their_order() -> None:
    assert list(_content()) == [
        "paper",
        "extraction_provenance",
        "entities",
        "evidence_entities",
        "relationships",
        "notes",
    ]
    assert bundle_bytes(_parse(_content())).startswith(b'{\n  "paper": {\n    "doi": null,')


def test_classes_and_predicates_are_in_our_spelling() -> None:
    content = _content(
        entities=[
            {"id": "E1", "class": "Cell_Line", "name": "HeLa"},
            {"id": "E2", "class": "cell line", "name": "b"},
        ],
        relationships=[{"subject": "E1", "predicate": "derived from", "object": "E2"}],
    )
    made = _parse(content)
    assert {each.entity_class for each in made.entities} == {"CellLine"}
    assert made.relationships[0].predicate == "DERIVED_FROM"
    assert made.relationships[0].confidence == 0.5  # what does not say how far to trust it


def test_another_class_is_known_to_who_names_it() -> None:
    content = json.dumps(
        _content(entities=[{"id": "E1", "class": "space ship", "name": "a"}], relationships=[])
    )
    found = parse_bundle(content.encode(), "PMC1", NAME, ["SpaceShip"]).bundle
    assert found.entities[0].entity_class == "SpaceShip"


def test_a_relationship_of_what_is_not_there_is_left_out_and_reported() -> None:
    content = _content()
    content["relationships"].append({"subject": "E1", "predicate": "CAUSES", "object": "mortality"})
    found = parse_bundle(json.dumps(content).encode(), "PMC1", NAME)
    assert [each.predicate for each in found.bundle.relationships] == ["TREATS"]
    assert found.left_out == ("'E1' CAUSES 'mortality' is left out: 'mortality' is not among the entities.",)


def test_what_others_leave_open_is_not_a_fault() -> None:
    content = _content(extraction_provenance=None, unknown={"a": 1})
    content["paper"]["year"] = "in press"
    content["evidence_entities"][0]["text"] = None
    made = _parse(content)
    assert made.paper.year is None
    assert made.evidence_entities[0].text == ""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b"I am sorry, but I cannot", "not JSON"),
        (b'{"paper": {"title": "half', "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"paper": {}, "notes": [NaN]}', "not JSON"),
        (b'{"paper": {"title": "\\ud800"}}', "not JSON"),
        (b'{"paper": {"title": "\\u0000"}}', "NUL"),
        (b"[]", "should be an object"),
        (b"null", "should be an object"),
        (b"{}", "paper: Field required"),
    ],
)
def test_what_is_not_a_bundle_is_refused_by_name(raw: bytes, message: str) -> None:
    with pytest.raises(ItemError, match=message) as refused:
        _parse(raw)
    assert NAME in str(refused.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"entities": "none"}, "entities"),
        ({"entities": [7]}, "entities.0"),
        ({"entities": [{"id": "E1", "class": "Drug", "name": 7}]}, "entities.0.name"),
        ({"entities": [{"id": "E1", "class": "Spaceship", "name": "a"}]}, "unknown class 'Spaceship'"),
        ({"entities": [{"id": "E1", "class": "Drug", "name": " \u200b"}]}, "no name"),
        ({"entities": [{"id": "E1", "class": "Drug", "name": "a"}] * 2}, "two entities with the id 'E1'"),
        (
            {"entities": [{"id": f"E{n}", "class": "Drug", "name": "a"} for n in range(20_001)]},
            "entities: Tuple should have at most 20000",
        ),
        (
            {"entities": [{"id": "E1", "class": "Drug", "name": "a", "synonyms": ["b"] * 1_001}]},
            "synonyms: Tuple should have at most 1000",
        ),
        ({"relationships": [{"subject": "E1", "predicate": "\u202e!", "object": "E2"}]}, "not a predicate"),
        (
            {"relationships": [{"subject": "E1", "predicate": "A", "object": "E2", "confidence": 2}]},
            "less than",
        ),
        (
            {
                "relationships": [
                    {"subject": "E1", "predicate": "A", "object": "E2", "evidence_ids": ["x"] * 1_000}
                ]
                * 201
            },
            "cite evidence more than 200000 times",
        ),
        ({"evidence_entities": [{"id": "x", "paper_id": "p", "text": "t"}] * 2}, "two evidence_entities"),
    ],
)
def test_what_is_wrong_in_a_bundle_is_said(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ItemError, match=message) as refused:
        _parse(_content(**more))
    assert NAME in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_a_mention_that_ends_before_it_starts_is_refused() -> None:
    mention = {"section": "abstract", "start_offset": 5, "end_offset": 5, "text": ""}
    content = _content(entities=[{"id": "E1", "class": "Drug", "name": "a", "mentions": [mention]}])
    with pytest.raises(ItemError, match="ends before it starts"):
        _parse(content)


def test_a_file_that_is_too_large_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    large, link, pipe = (tmp_path / f"paper_{name}.json" for name in ("large", "link", "pipe"))
    large.touch()
    os.truncate(large, bundle_files.MAX_BYTES + 1)
    link.symlink_to(large)
    os.mkfifo(pipe)
    for path in (large, link, pipe, tmp_path):
        with pytest.raises(ItemError, match=path.name):
            read_bundle(path, "PMC1")
    with pytest.raises(FileNotFoundError):
        read_bundle(tmp_path / "paper_none.json", "PMC1")
