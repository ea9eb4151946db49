"""A source in parts: any history gives what a build from nothing gives; and parts that come and go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest_assets.fields import Condition, FilterField
from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import ConfigurationError, Document, Float32Array, Outcomes, SkippedItem, Source
from ingest_assets.queries.search import open_search
from ingest_assets.queries.skipped import skipped_items
from ingest_assets.reconcile import content_of, content_sum, reconcile
from ingest_assets.sources import chunks_stage, documents_stage, record_chunker
from ingest_assets.sources.definition import Partitioning, SourceDefinition, Words
from ingest_assets.sources.parts import forget_emptied, known_parts
from ingest_assets.sources.registry import Sources
from ingest_assets.stages.audit import audit
from ingest_assets.stages.parked import parked_items
from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.comparing import assert_same_contents
from ingest_assets_tests.support.engines import Engines
from ingest_assets_tests.support.histories import small_batches
from ingest_assets_tests.support.small_parts import ToyBench, ToyModel, ToySource, contents, document

NAME = "shelves"


class Shelves(ToyBench):
    """A bench of one source in parts, each a source in memory."""

    def __init__(self, home: Path, parts: dict[str, ToySource], **given: Any) -> None:
        super().__init__(home, **given)
        self.parts = parts
        self.forgotten: list[str] = []
        self.leaving: list[str] = []  # removed on purpose
        self.hidden: tuple[Condition, ...] = ()
        self.supplied: Supplied | None = None
        self.declare("colour")

    def declare(self, *attributes: str) -> None:
        """From now on points carry these attributes, which can be filtered by."""
        self.declared = attributes
        self.sources = Sources([self._definition()])
        self.searches.clear()

    def _definition(self) -> SourceDefinition:
        return SourceDefinition(
            name=NAME,
            title="Shelves",
            words=Words(about="texts"),
            open=lambda _bench, part: self.parts[part],
            missing=lambda _bench: None,
            stages=(documents_stage("texts", "One row per text.", in_parts=True), chunks_stage("texts")),
            chunker=record_chunker,
            attributes=self.declared,
            fields=tuple(FilterField(name=name, description="What it is like.") for name in self.declared),
            partitions=Partitioning(
                noun="shelf",
                parts=lambda _bench: sorted(self.parts),
                leaving=lambda _bench: self.leaving,
                forget=lambda _bench, part: self.forgotten.append(part),
            ),
            required=lambda _bench: self.hidden,
            vectors=lambda _bench: self.supplied,
        )

    def source(self, name: str, part: str = "") -> Source:
        return Workbench.source(self, name, part)

    def run_part(self, part: str, *, rebuild: bool = False) -> dict[str, Outcomes]:
        """What a run of one partition does."""
        run = self.run(rebuild=rebuild)
        return {
            name: reconcile(self.stage(NAME, name, part=part if name == "texts" else ""), self.ledger, run)
            for name in self.sources[NAME].stage_names
        }

    def run_all(self) -> list[dict[str, Outcomes]]:
        done = [self.run_part(part) for part in known_parts(self, self.sources[NAME])]
        forget_emptied(self, self.sources[NAME])
        return done


class Supplied:
    """Vectors that a source supplies."""

    def __init__(self, identity: str, vectors: dict[str, Float32Array]) -> None:
        self.identity, self.by_text = identity, vectors

    def vectors(self, texts: Mapping[str, str]) -> dict[str, Float32Array]:
        return {key: self.by_text[text] for key, text in texts.items() if text in self.by_text}


def shelf(*documents: Document) -> ToySource:
    source = ToySource(documents)
    source.name = NAME
    return source


def text(part: str, number: int, body: str) -> Document:
    made = document(f"{part}/{number}", body)
    return replace(made, attributes={"colour": "red" if number % 2 else "blue", "shape": "round"})


@pytest.fixture(scope="module", autouse=True)
def _batches() -> Iterator[None]:
    with small_batches():
        yield


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    engines = Engines(embedded=False)
    yield engines
    engines.close()


@pytest.fixture
def shelves(tmp_path: Path) -> Iterator[Shelves]:
    with Shelves(tmp_path, {}) as bench:
        yield bench


PARTS, NUMBERS = st.sampled_from(["a", "a/b", "b"]), st.integers(0, 3)  # one's name begins with another's
BODIES = st.sampled_from(["The oats are in the barn. " * 5, "Nothing to see.", "A crane, and a letter. " * 9])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), PARTS, NUMBERS, BODIES),
        st.tuples(st.just("take"), PARTS, NUMBERS),
        st.tuples(st.just("drop"), PARTS),
        st.tuples(st.just("run"), PARTS),
        st.tuples(st.just("rebuild"), PARTS),
        st.tuples(st.just("run_all")),
        st.tuples(st.just("declare"), st.sampled_from([("colour",), ("colour", "shape"), ()])),
    ),
    max_size=14,
)


def at_most(examples: int) -> settings:
    phases = (Phase.explicit, Phase.generate)
    return settings(max_examples=examples, phases=phases, suppress_health_check=list(HealthCheck))


@at_most(20)
@given(operations)
def test_any_history_gives_what_a_build_from_nothing_gives(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    _check_history(engines, tmp_path_factory, history)


@pytest.mark.thorough
@at_most(60)
@given(operations)
def test_many_histories_give_what_a_build_from_nothing_gives(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    _check_history(engines, tmp_path_factory, history)


def _check_history(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    store, ledger = engines.lend_store(), engines.lend_ledger()
    bench = Shelves(tmp_path_factory.mktemp("parts"), {}, ledger=ledger, store=store)
    for name, *arguments in history:
        _do(bench, name, *arguments)
    bench.run_all()
    for part in sorted(bench.parts):
        assert [each.moved for each in bench.run_part(part).values()] == [0] * 5, "it is not up to date"
    _assert_as_built_from_nothing(engines, bench, tmp_path_factory.mktemp("fresh"))
    assert known_parts(bench, bench.sources[NAME]) == sorted(bench.parts)
    engines.take_store(store)
    engines.take_ledger(ledger)


def _do(bench: Shelves, name: str, *arguments: Any) -> None:
    if name == "run_all":
        bench.run_all()
        return
    if name == "declare":
        bench.declare(*arguments[0])
        return
    part, *rest = arguments
    if name == "put":
        number, body = rest
        bench.parts.setdefault(part, shelf()).put(text(part, number, body))
    elif name == "take" and part in bench.parts:
        bench.parts[part].documents.pop(f"{part}/{rest[0]}", None)
    elif name == "drop":
        bench.parts.pop(part, None)
    elif name in {"run", "rebuild"} and part in known_parts(bench, bench.sources[NAME]):
        bench.run_part(part, rebuild=name == "rebuild")


def _assert_as_built_from_nothing(engines: Engines, bench: Shelves, home: Path) -> None:
    store, ledger = engines.lend_store(), engines.lend_ledger()
    parts = {part: shelf(*source.documents.values()) for part, source in bench.parts.items()}
    fresh = Shelves(home, parts, ledger=ledger, store=store)
    fresh.declare(*bench.declared)
    fresh.run_all()
    for table in (tables.document, tables.chunked, tables.chunk):
        assert _rows(bench.ledger, table) == _rows(ledger, table), table.name
    if parts:
        collection = bench.sources[NAME].collection
        assert_same_contents(contents(bench.store, collection), contents(store, collection))
        assert audit(bench.published(NAME), bench.ledger).agrees
    with bench.ledger.reading() as connection:
        rows = connection.execute(sa.select(tables.document.c.document_id, tables.document.c.digest))
        scanned = sum(content_of(*row) for row in rows.tuples()) % (1 << 128)
        assert content_sum(connection, NAME, "texts") == f"{scanned:032x}"
    engines.take_store(store)
    engines.take_ledger(ledger)


def _rows(ledger: Ledger, table: sa.Table) -> list[str]:
    with ledger.reading() as connection:
        return sorted(repr(tuple(row)) for row in connection.execute(sa.select(table)))


def test_a_part_that_is_gone_leaves_the_index_and_is_forgotten(shelves: Shelves) -> None:
    shelves.parts = {
        "a": shelf(text("a", 1, "One.")),
        "b": shelf(text("b", 1, "Two."), text("b", 2, "Three.")),
    }
    shelves.run_all()
    del shelves.parts["b"]
    assert known_parts(shelves, shelves.sources[NAME]) == ["a", "b"]
    assert [each["texts"].removed for each in shelves.run_all()] == [0, 2]
    assert shelves.forgotten == ["b"]
    assert known_parts(shelves, shelves.sources[NAME]) == ["a"]
    assert len(contents(shelves.store, "shelves_chunks")) == 1


def test_a_part_with_a_refused_text_is_parked_by_itself(shelves: Shelves) -> None:
    shelves.parts = {"a": shelf(text("a", 1, "One.")), "b": shelf(text("b", 1, "Two."))}
    shelves.parts["b"].refused["b/1"] = "It cannot be read."
    first, second = shelves.run_all()
    assert (first["texts"].parked, second["texts"].parked) == (0, 1)
    shelves.parts["b"].refused.clear()
    shelves.parts["b"].put(text("b", 1, "Two, mended."))
    assert [each["texts"].parked for each in shelves.run_all()] == [0, 0]


def test_two_parts_must_not_have_documents_with_the_same_id(shelves: Shelves) -> None:
    shelves.parts = {"a": shelf(text("a", 1, "One.")), "b": shelf(text("a", 1, "One too."))}
    shelves.run_part("a")
    with pytest.raises(ConfigurationError, match="part 'b' gives a document 'a/1', and another part has one"):
        shelves.run_part("b")
    assert len(_rows(shelves.ledger, tables.document)) == 1


def test_what_a_part_skips_is_on_record_as_of_its_last_read(shelves: Shelves) -> None:
    shelves.parts = {"a": shelf(text("a", 1, "One.")), "b": shelf()}
    shelves.parts["a"].skipped = [SkippedItem("a/logo.png", "binary", 12, "by its name")]
    shelves.parts["b"].skipped = [SkippedItem("b/x", "too_large")]
    shelves.run_all()
    assert skipped_items(shelves, NAME, "a") == [SkippedItem("a/logo.png", "binary", 12, "by its name")]
    assert skipped_items(shelves, NAME, "b") == [SkippedItem("b/x", "too_large", None, "")]
    shelves.parts["a"].skipped = []
    shelves.parts["a"].put(text("a", 1, "One, changed."))
    shelves.run_part("a")
    assert skipped_items(shelves, NAME, "a") == []
    assert skipped_items(shelves, NAME, "b")


def test_points_carry_the_attributes_that_are_declared_and_no_others(shelves: Shelves) -> None:
    made = text("a", 1, "One.")
    shelves.parts = {"a": shelf(_with(made, colour="red", secret="x"))}
    shelves.run_all()
    [(payload, _, _)] = contents(shelves.store, "shelves_chunks").values()
    assert payload["colour"] == "red"
    assert "secret" not in payload


def test_an_attribute_that_is_declared_later_can_be_filtered_by_after_a_refresh(shelves: Shelves) -> None:
    shelves.parts = {"a": shelf(text("a", 1, "One."), text("a", 2, "Two."))}
    shelves.run_all()
    shelves.declare("colour", "shape")
    shelves.run_all()
    assert len(open_search(shelves, NAME).search("one", where={"shape": ["round"]}).hits) == 2
    assert not any(outcomes.moved for done in shelves.run_all() for outcomes in done.values())


@pytest.mark.parametrize(
    ("attributes", "time", "why"),
    [
        ({"colour": 7}, None, "The attribute colour of a/2 is 7, which is not a keyword"),
        ({"colour": datetime(2026, 1, 31, tzinfo=UTC)}, None, "must be text, a number or a flag"),
        ({"undeclared": float("nan")}, None, "must be text, a number or a flag"),
        ({"undeclared": [1.5, float("-inf")]}, None, "must be text, a number or a flag"),
        ({"weight": {"kg": 1}}, None, "The attribute weight of a/2"),
        ({}, "yesterday", "The time of a/2 is 'yesterday'"),
    ],
)
def test_a_document_with_values_that_cannot_be_found_by_is_parked(
    shelves: Shelves, attributes: Any, time: str | None, why: str
) -> None:
    wrong = replace(text("a", 2, "Two."), attributes=attributes, time=time)
    shelves.parts = {"a": shelf(text("a", 1, "One."), wrong)}
    shelves.run_all()
    [parked] = parked_items(shelves, NAME)
    assert why in parked.error
    assert len(contents(shelves.store, "shelves_chunks")) == 1


def _with(made: Document, **attributes: str) -> Document:
    return replace(made, attributes=attributes)


def test_a_required_condition_is_part_of_every_search(shelves: Shelves) -> None:
    red, blue = (_with(text("a", n, "The oats."), colour=c) for n, c in ((1, "red"), (2, "blue")))
    shelves.parts = {"a": shelf(red, blue)}
    shelves.run_all()
    search = open_search(shelves, NAME)
    assert len(search.search("oats").hits) == 2
    shelves.hidden = (Condition("colour", values=("red",)),)
    for where in ({}, {"colour": ["blue"]}, {"colour": ["red", "blue"]}, {"document_id": ["a/1", "a/2"]}):
        found = {hit.document_id for hit in search.search("oats", where=where).hits}
        assert found <= {"a/1"}, where


def test_supplied_vectors_are_used_only_if_their_shape_and_length_are_right(shelves: Shelves) -> None:
    model = shelves.model
    right = np.zeros(model.dimension, np.float32)
    right[3] = 1
    wrong = {"short": right[:4], "long": right * 2, "nan": right * np.nan}
    bodies = ["right", *wrong]
    shelves.parts = {"a": shelf(*(text("a", n, body) for n, body in enumerate(bodies)))}
    texts = {body: f"a/{n}\n\n{body}" for n, body in enumerate(bodies)}
    vectors = {texts["right"]: right} | {texts[body]: vector for body, vector in wrong.items()}
    shelves.supplied = Supplied(model.identity, vectors)
    shelves.run_all()
    assert sorted(model.embedded) == sorted(texts[body] for body in wrong)
    held = {
        payload["text"]: dense for payload, dense, _ in contents(shelves.store, "shelves_chunks").values()
    }
    assert held[texts["right"]] == pytest.approx(right.tolist())


def test_vectors_of_another_model_are_not_looked_at(shelves: Shelves) -> None:
    shelves.parts = {"a": shelf(text("a", 1, "One."))}
    shelves.supplied = Supplied(ToyModel("another").identity, {})
    shelves.supplied.vectors = _never  # type: ignore[method-assign, assignment]
    shelves.run_all()
    assert len(shelves.model.embedded) == 1


def _never(_texts: Mapping[str, str]) -> dict[str, Float32Array]:
    raise AssertionError("the vectors of another model were asked for")
