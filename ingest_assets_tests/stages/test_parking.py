"""Items that cannot be processed as they are: parked, counted, kept out of the way, and tried again."""

from __future__ import annotations

import pytest

from ingest_assets.model import ConfigurationError, NotPublishedError, UnavailableError
from ingest_assets.queries.status import source_status
from ingest_assets.stages.collection import IncompleteError
from ingest_assets.stages.parked import parked_items
from ingest_assets_tests.support.small_parts import ToyBench, ToyModel, contents, document, dump

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def _parked(bench: ToyBench) -> list[tuple[str, str, int]]:
    return [(item.stage, item.item_id, item.attempts) for item in parked_items(bench, "crm")]


def _texts(bench: ToyBench, key: str) -> list[str]:
    held = contents(bench.store).values()
    return sorted(payload["text"] for payload, _, _ in held if payload["document_id"] == key)


@both
def test_an_item_that_cannot_be_rendered_is_parked_and_the_rest_goes_on(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"notes/{n}", f"Note {n}") for n in range(3)))
    bench.toy.refused["notes/1"] = "too long, by far"
    outcomes = bench.refresh()
    assert (outcomes["records"].added, outcomes["records"].parked) == (2, 1)
    (item,) = parked_items(bench, "crm")
    assert (item.stage, item.item_id, item.error) == ("records", "notes/1", "too long, by far")
    assert source_status(bench, "crm").parked == 1
    assert _texts(bench, "notes/1") == []


@both
def test_the_last_good_row_stays(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "Good."))
    bench.refresh()
    bench.toy.put(document("notes/1", "Bad."))
    bench.toy.refused["notes/1"] = "no"
    outcomes = bench.refresh()["records"]
    assert (outcomes.changed, outcomes.removed, outcomes.parked) == (0, 0, 1)
    assert _texts(bench, "notes/1") == ["notes/1\n\nGood."]


@both
def test_it_is_tried_again_only_when_it_changed_or_on_request(bench: ToyBench) -> None:
    bench.toy.signed = False  # so that every run reads the source
    bench.toy.put(document("notes/1", "One."))
    bench.toy.refused["notes/1"] = "no"
    for _ in range(3):
        bench.refresh()
    assert bench.toy.rendered == ["notes/1"]
    bench.refresh(retry_parked=True)
    assert _parked(bench) == [("records", "notes/1", 2)]
    bench.toy.put(document("notes/1", "Two."))
    bench.refresh()
    assert _parked(bench) == [("records", "notes/1", 3)]
    del bench.toy.refused["notes/1"]
    assert bench.refresh()["records"].parked == 0
    assert _parked(bench) == []
    assert _texts(bench, "notes/1") == ["notes/1\n\nTwo."]


@both
def test_it_is_no_longer_parked_once_it_is_changed_back(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "Good."))
    bench.refresh()
    bench.toy.put(document("notes/1", "Bad."))
    bench.toy.refused["notes/1"] = "no"
    bench.refresh()
    bench.toy.put(document("notes/1", "Good."))
    bench.toy.refused.clear()
    outcomes = bench.refresh()["records"]
    assert (outcomes.moved, outcomes.unchanged, outcomes.parked) == (0, 1, 0)


@both
def test_what_vanishes_from_the_source_is_no_longer_parked(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "One."), document("notes/2", "Poison."))
    bench.toy.refused["notes/1"] = "no"
    bench.model.refuses = lambda text: "Poison" in text
    bench.refresh()
    assert {item[0] for item in _parked(bench)} == {"records", "dense_vectors"}
    bench.toy.documents.clear()
    bench.refresh()
    assert _parked(bench) == []


@both
def test_one_bad_text_among_many_is_isolated(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"notes/{n}", f"Text {n}") for n in range(200)))
    bench.model.refuses = lambda text: "Text 77" in text
    outcomes = bench.refresh()
    assert (outcomes["dense_vectors"].added, outcomes["dense_vectors"].parked) == (199, 1)
    assert bench.model.calls <= 2 * 8 + 2  # 2 log2(200)
    assert sorted(bench.model.embedded) == sorted(set(bench.model.embedded))
    (item,) = parked_items(bench, "crm")
    assert "refuses a text" in item.error
    assert "Text 77" in item.error
    assert outcomes["collection"].added == 199
    calls = bench.model.calls
    bench.toy.put(document("notes/new", "A new one."))
    bench.refresh()
    assert bench.model.calls == calls + 1
    bench.model.refuses = lambda _text: False
    assert bench.refresh(retry_parked=True)["collection"].added == 1
    assert _parked(bench) == []


@both
def test_a_model_that_refuses_everything_parks_nothing(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"notes/{n}", f"Text {n}") for n in range(20)))
    bench.model.refuses = lambda _text: True
    with pytest.raises(ConfigurationError, match="toy:1:16 refuses every text"):
        bench.refresh()
    assert _parked(bench) == []


@both
def test_many_bad_texts_are_not_taken_for_a_bad_model(bench: ToyBench) -> None:
    """Not even when they alone are tried again, as in a rebuild."""
    bench.toy.put(*(document(f"notes/{n}", f"Poison {n}") for n in range(25)))
    bench.toy.put(document("notes/good", "Good."))
    bench.model.refuses = lambda text: "Poison" in text
    assert bench.refresh()["dense_vectors"].parked == 25
    assert bench.refresh(rebuild=True)["dense_vectors"].parked == 25
    assert _texts(bench, "notes/good") == ["notes/good\n\nGood."]


@both
def test_a_model_that_is_down_loses_nothing(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "Old."))
    bench.refresh()
    held = contents(bench.store)
    bench.toy.put(document("notes/1", "New."))
    bench.model.available = False
    with pytest.raises(UnavailableError):
        bench.refresh()
    assert _parked(bench) == []
    with pytest.raises(IncompleteError, match=r"1 chunks have no vectors.*crm/dense_vectors"):
        bench.do("collection")
    assert contents(bench.store) == held
    bench.model.available = True
    bench.refresh()
    assert _texts(bench, "notes/1") == ["notes/1\n\nNew."]


@both
def test_a_document_keeps_its_points_until_its_new_ones_can_be_made(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "Old text."), document("notes/2", "Other."))
    bench.refresh()
    bench.toy.put(document("notes/1", "Poison."), document("notes/2", "Other, changed."))
    bench.model.refuses = lambda text: "Poison" in text
    bench.refresh()
    assert _texts(bench, "notes/1") == ["notes/1\n\nOld text."]
    assert _texts(bench, "notes/2") == ["notes/2\n\nOther, changed."]
    bench.toy.put(document("notes/1", "New text."))
    bench.refresh()
    assert _texts(bench, "notes/1") == ["notes/1\n\nNew text."]


@both
def test_a_collection_without_its_vectors_is_not_published(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "One."))
    bench.do("records")
    bench.do("chunks")
    with pytest.raises(IncompleteError, match="crm/dense_vectors"):
        bench.do("collection")
    with pytest.raises(NotPublishedError):
        contents(bench.store)
    bench.refresh()
    assert len(contents(bench.store)) == 1


@both
def test_another_model_gets_a_new_generation_which_is_then_switched_to(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "One."))
    bench.refresh()
    held = contents(bench.store)
    bench.model.revision = "2"
    with pytest.raises(IncompleteError):
        bench.do("collection")
    assert contents(bench.store) == held
    assert source_status(bench, "crm").generation == 1
    bench.refresh()
    assert source_status(bench, "crm").generation == 2
    assert contents(bench.store) != held
    assert bench.store.generations("crm_chunks") == [1, 2]


@both
def test_texts_parked_under_another_model_still_need_vectors(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "Poison."))
    bench.model.refuses = lambda text: "Poison" in text
    bench.refresh()
    bench.model.revision = "2"
    with pytest.raises(IncompleteError):
        bench.do("collection")


@both
def test_vectors_of_forgotten_models_can_be_made_again(bench: ToyBench) -> None:
    """A model was tried, and the old one was used to build again; then the new one is wanted after all."""
    bench.toy.put(document("notes/1", "One."))
    bench.refresh()
    bench.model.revision = "2"
    bench.do("dense_vectors")
    bench.model.revision = "1"
    bench.do("collection", rebuild=True)
    bench.model.revision = "2"
    bench.refresh()
    models = {row[0] for row in dump(bench.ledger)["dense_vector"]}
    assert len(models) == 2
    assert contents(bench.store)


@both
def test_equal_texts_are_embedded_once(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"notes/{n}", "The same.", title="Same") for n in range(9)))
    assert bench.refresh()["dense_vectors"].added == 1
    assert len(bench.model.embedded) == 1
    assert len(contents(bench.store)) == 9


def test_the_toy_model_is_a_model() -> None:
    model = ToyModel()
    (vector,) = model.embed(["One two."])
    assert vector.tolist() == model.embed_query("one TWO").tolist()
    assert abs(float(vector @ vector) - 1) < 1e-6
