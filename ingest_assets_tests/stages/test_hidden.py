"""Parts that a source hides: no answer shows them from one moment to the next, whatever is still recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.fields import FilterField
from ingest_assets.model import ConfigurationError, Source
from ingest_assets.queries import documents
from ingest_assets.queries.search import MODES, open_search
from ingest_assets.queries.skipped import skipped_items
from ingest_assets.queries.whereabouts import whereabouts
from ingest_assets.quoting import NOT_SHOWN, without_quotes
from ingest_assets.reconcile import reconcile
from ingest_assets.sources import chunks_stage, documents_stage, record_chunker, resolution_stages
from ingest_assets.sources.definition import Partitioning, SourceDefinition, Words
from ingest_assets.sources.faults import require_usable
from ingest_assets.sources.registry import Sources
from ingest_assets.stages.parked import parked_items
from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.engines import new_store
from ingest_assets_tests.support.small_parts import ToyBench, ToySource, document

NAME = "drawers"
SECRET = "the quaternion is frobnicated at midnight"


class Drawers(ToyBench):
    """Two parts, of which one can be hidden."""

    def __init__(self, home: Path, **given: Any) -> None:
        super().__init__(home, **given)
        self.hidden: list[str] = []
        self.parts = {name: ToySource() for name in ("locked", "open")}
        for name, part in self.parts.items():
            part.name = NAME
            for number, body in enumerate((SECRET, "an ordinary text")):
                made = document(f"{name}/{number}", f"{body} of {name}")
                part.put(replace(made, attributes={"drawer": name}))
        self.sources = Sources([self.definition()])

    def source(self, name: str, part: str = "") -> Source:
        return Workbench.source(self, name, part)

    def definition(self) -> SourceDefinition:
        return SourceDefinition(
            name=NAME,
            title="Drawers",
            words=Words(about="texts"),
            open=lambda _bench, part: self.parts[part],
            missing=lambda _bench: None,
            stages=(documents_stage("texts", "One row per text.", in_parts=True), chunks_stage("texts")),
            chunker=record_chunker,
            attributes=("drawer",),
            fields=(FilterField(name="drawer", description="Where it lies."),),
            partitions=Partitioning(noun="drawer", parts=lambda _bench: sorted(self.parts)),
            hidden=lambda _bench: tuple(self.hidden),
            hidden_by="drawer",
        )

    def run_all(self) -> None:
        for part in self.parts:
            reconcile(self.stage(NAME, "texts", part=part), self.ledger, self.run())
        for stage in self.sources[NAME].stage_names[1:]:
            reconcile(self.stage(NAME, stage), self.ledger, self.run())


@pytest.fixture(params=["embedded", "local"])
def drawers(request: pytest.FixtureRequest, tmp_path: Path, ledger_url: str) -> Iterator[Drawers]:
    store = new_store(request.param, tmp_path)
    with Drawers(tmp_path, ledger_url=ledger_url, store=store) as bench:
        yield bench
    store.close()


both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def found(bench: Drawers, query: str, mode: Any, **where: list[str]) -> set[str]:
    hits = open_search(bench, NAME).search(query, mode=mode, limit=50, where=where).hits
    return {hit.document_id for hit in hits}


def listed(bench: Drawers) -> list[str]:
    return [row.document_id for row in documents.listed(bench, NAME, after="", limit=50)]


@both
def test_what_is_hidden_is_in_no_answer_until_it_is_shown_again(drawers: Drawers) -> None:
    drawers.run_all()
    everything = {"locked/0", "locked/1", "open/0", "open/1"}
    assert found(drawers, SECRET, "dense") == set(listed(drawers)) == everything
    drawers.hidden = ["locked", "of no document"]
    for mode in MODES:
        assert found(drawers, SECRET, mode) <= {"open/0", "open/1"}
        assert "open/0" in found(drawers, SECRET, mode)
        assert found(drawers, SECRET, mode, drawer=["locked"]) == set()
        assert found(drawers, SECRET, mode, document_id=["locked/0"]) == set()
    assert listed(drawers) == ["open/0", "open/1"]
    assert documents.find(drawers, NAME, "locked/0") is None
    hidden = whereabouts(drawers, "locked/0", NAME)
    assert "no answer may show" in hidden.missing[0]
    assert not [each for each in hidden.near if each.startswith("locked")]
    assert documents.find(drawers, NAME, "open/0") is not None
    drawers.hidden = []
    assert found(drawers, SECRET, "dense") == set(listed(drawers)) == everything


@both
def test_many_parts_can_be_hidden(drawers: Drawers) -> None:
    drawers.run_all()
    drawers.hidden = [*(f"drawer {number}" for number in range(70_000)), "locked"]
    assert listed(drawers) == ["open/0", "open/1"]
    assert parked_items(drawers) == []


@both
def test_what_was_refused_or_left_out_of_a_hidden_part_is_in_no_list(drawers: Drawers) -> None:
    drawers.parts["locked"].refused = {"locked/1": "It cannot be read."}
    drawers.model.refuses = lambda text: "quaternion" in text
    drawers.run_all()
    shown = {(item.stage, item.part) for item in parked_items(drawers, NAME)}
    assert shown == {("texts", "locked"), ("dense_vectors", "")}
    assert len(parked_items(drawers)) == 3  # two texts differ in where they are from
    drawers.hidden = ["locked"]
    [left] = parked_items(drawers)
    assert (left.stage, "of open" in left.error) == ("dense_vectors", True)
    assert skipped_items(drawers, NAME, "locked") == []


def test_a_source_that_keeps_its_words_to_itself_is_refused_without_them(drawers: Drawers) -> None:
    drawers.model.refuses = lambda text: "quaternion" in text
    with without_quotes():
        drawers.run_all()
        outcomes = reconcile(drawers.stage(NAME, "dense_vectors"), drawers.ledger, drawers.run(rebuild=True))
    assert outcomes.sample == []
    errors = [item.error for item in parked_items(drawers, NAME)]
    assert len(errors) == 2
    assert all(error.endswith(f"Text: {NOT_SHOWN}") for error in errors)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"hidden_by": ""}, "hidden_by does not say"),
        ({"hidden_by": "shelf"}, "not one of its filter fields"),
        ({"takes_notes": True}, "takes notes"),
    ],
)
def test_a_definition_that_could_not_hide_is_refused(
    drawers: Drawers, changes: dict[str, Any], fault: str
) -> None:
    require_usable(drawers.definition())
    with pytest.raises(ConfigurationError, match=fault):
        require_usable(replace(drawers.definition(), **changes))


def test_entities_would_be_made_of_what_is_hidden(drawers: Drawers) -> None:
    stages = drawers.definition().stages
    resolved = (stages[0], *resolution_stages("texts"), stages[1])
    with pytest.raises(ConfigurationError, match="has entities"):
        require_usable(replace(drawers.definition(), stages=resolved))
