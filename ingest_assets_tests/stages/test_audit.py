"""Damage done to a collection behind our back: each kind is found, and repaired without embedding."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest_assets.collection.base import Points, Store
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.collection.owned import NotOursError
from ingest_assets.collection.server import ServerStore
from ingest_assets.model import NotPublishedError, UnavailableError
from ingest_assets.queries.status import source_status, status
from ingest_assets.stages.adoption import adopt
from ingest_assets.stages.audit import Audit, accept_observed, audit
from ingest_assets.stages.collection import IncompleteError
from ingest_assets_tests.collection.points import dense, ids_of, sparse_of, write
from ingest_assets_tests.support.comparing import assert_same_contents
from ingest_assets_tests.support.engines import STORES, client_of, local_store, new_store
from ingest_assets_tests.support.small_parts import COLLECTION, DIMENSION, ToyBench, contents, document


@pytest.fixture(params=STORES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ToyBench]:
    store = new_store(request.param, tmp_path)
    with ToyBench(tmp_path, store=store) as bench:
        bench.toy.put(*(document(f"notes/{n}", f"Text of note {n}.") for n in range(10)))
        bench.refresh()
        yield bench
    bench.store.close()


def _audit(bench: ToyBench) -> Audit:
    return audit(bench.collection("crm"), bench.ledger)


def _repair(bench: ToyBench) -> None:
    accept_observed(bench.collection("crm"), bench.ledger, 5)
    bench.do("collection")


def _some(store: Store) -> str:
    return min(contents(store))


def _lose(store: Store) -> None:
    with store.writer(COLLECTION, 1) as writer:
        writer.delete([_some(store)])
        writer.commit()


def _add_orphan(store: Store) -> None:
    payload = {"document_id": "notes/gone", "digest": "x" * 64, "text": "An orphan."}
    with store.writer(COLLECTION, 1) as writer:
        writer.upsert(Points(ids_of([1]), dense(1, DIMENSION)[None], sparse_of([5]), [payload]))
        writer.commit()


def _make_stale(store: Store) -> None:
    key = _some(store)
    payload: dict[str, Any] = contents(store)[key][0] | {"digest": "y" * 80, "text": "Another text."}
    with store.writer(COLLECTION, 1) as writer:
        writer.upsert(Points([key], dense(1, DIMENSION)[None], sparse_of([5]), [payload]))
        writer.commit()


def _empty_payload(store: Store) -> None:
    with store.writer(COLLECTION, 1) as writer:
        writer.upsert(Points([_some(store)], dense(1, DIMENSION)[None], sparse_of([5]), [{}]))
        writer.commit()


def _take_sparse(store: Store) -> None:
    key = _some(store)
    payload, vector, _ = contents(store)[key]
    if isinstance(store, ServerStore):
        from qdrant_client import models

        point = models.PointStruct(id=key, vector={"dense": vector}, payload=payload)
        client_of(store).upsert(f"{COLLECTION}__1", [point], wait=True)
        return
    import qdrant_edge as edge

    with store.writer(COLLECTION, 1) as writer:
        shard = writer._open()._shard  # type: ignore[attr-defined]  # the interface writes both vectors or neither
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(key, {"dense": vector}, payload)]))
        writer.commit()


DAMAGE: dict[str, tuple[Callable[[Store], None], Audit]] = {
    "missing": (_lose, Audit(10, 9, 1, 0, 0, 0)),
    "orphaned": (_add_orphan, Audit(10, 11, 0, 1, 0, 0)),
    "stale": (_make_stale, Audit(10, 10, 0, 0, 1, 0)),
    "payload": (_empty_payload, Audit(10, 10, 0, 0, 1, 0)),
    "without sparse": (_take_sparse, Audit(10, 10, 0, 0, 0, 1)),
}


def test_what_was_built_agrees(bench: ToyBench) -> None:
    found = _audit(bench)
    assert found == Audit(10, 10, 0, 0, 0, 0)
    assert found.agrees
    assert set(found.to_dict()) == {
        "expected", "present", "missing", "orphaned", "stale", "without_sparse",
    }  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_repaired(bench: ToyBench, kind: str) -> None:
    before, calls = contents(bench.store), bench.model.calls
    inflict, expected = DAMAGE[kind]
    inflict(bench.engine)
    assert _audit(bench) == expected
    assert not expected.agrees
    assert bench.do("collection").moved == 0  # the ledger cannot know
    _repair(bench)
    assert _audit(bench) == Audit(10, 10, 0, 0, 0, 0)
    assert_same_contents(contents(bench.store), before)
    assert bench.model.calls == calls


def test_all_damage_at_once(bench: ToyBench) -> None:
    before, calls = contents(bench.store), bench.model.calls
    for kind in ("without sparse", "orphaned"):
        DAMAGE[kind][0](bench.engine)
    with bench.store.writer(COLLECTION, 1) as writer:
        writer.delete(sorted(before)[5:7])
        writer.commit()
    assert _audit(bench) == Audit(10, 9, 2, 1, 0, 1)
    _repair(bench)
    assert _audit(bench).agrees
    assert_same_contents(contents(bench.store), before)
    assert bench.model.calls == calls


def test_repairing_a_sound_index_writes_nothing(bench: ToyBench) -> None:
    accept_observed(bench.collection("crm"), bench.ledger, 5)
    assert bench.do("collection").moved == 0


def test_what_differs_at_any_node_is_repaired(bench: ToyBench) -> None:
    """Another store stands for a node whose replicas lack a point, and have one that is nobody's."""
    node = local_store()
    node.create(COLLECTION, 1, DIMENSION)
    for key, (payload, vector, _) in sorted(contents(bench.engine).items())[1:]:
        row = np.array(vector, np.float32)[None]
        write(node, COLLECTION, 1, Points([key], row, sparse_of([5]), [payload]))
    node.publish(COLLECTION, 1)
    _add_orphan(node)
    stage = bench.collection("crm")
    there = replace(stage, store=node)  # type: ignore[arg-type]  # a node is audited whoever owns it
    assert audit(there, bench.ledger) == Audit(10, 10, 1, 1, 0, 0)
    for view in (there, stage):
        accept_observed(view, bench.ledger, 5)
    outcomes = bench.do("collection")
    assert (outcomes.added, outcomes.removed) == (1, 1)
    assert _audit(bench).agrees


def test_an_audit_before_anything_was_built(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        assert _audit(bench) == Audit(0, 0, 0, 0, 0, 0)
        accept_observed(bench.collection("crm"), bench.ledger, 5)
        bench.toy.put(document("notes/1", "A text."))
        bench.do("records")
        bench.do("chunks")
        assert _audit(bench) == Audit(1, 0, 1, 0, 0, 0)


def test_chunks_that_wait_for_vectors_are_missing(bench: ToyBench) -> None:
    bench.toy.put(document("notes/new", "A new one."))
    bench.do("records")
    bench.do("chunks")
    assert _audit(bench) == Audit(11, 10, 1, 0, 0, 0)
    bench.refresh()
    assert _audit(bench).agrees


def test_a_store_that_was_lost_is_built_again(bench: ToyBench, tmp_path: Path) -> None:
    """Right after it was built, when nothing else gives a reason to look."""
    before, calls = contents(bench.store), bench.model.calls
    if isinstance(bench.engine, EmbeddedStore):
        shutil.rmtree(tmp_path / "collections")
    else:
        assert isinstance(bench.engine, ServerStore)
        client_of(bench.engine).delete_collection(f"{COLLECTION}__1")
    with pytest.raises(NotPublishedError):
        contents(bench.store)
    assert _audit(bench) == Audit(10, 0, 10, 0, 0, 0)
    assert bench.refresh()["collection"].added == 10
    assert_same_contents(contents(bench.store), before)
    assert bench.model.calls == calls
    assert _audit(bench).agrees


def test_a_lost_ledger_leads_to_a_new_generation(bench: ToyBench, tmp_path: Path) -> None:
    before = contents(bench.store)
    with ToyBench(tmp_path / "new", source=bench.toy, store=bench.engine) as new:
        with pytest.raises(NotOursError, match="`ingest adopt`"):
            new.refresh()
        assert contents(bench.store) == before
        adopt(new, "crm")
        assert contents(new.store) == before  # found until there is another one
        new.refresh()
        assert new.store.live(COLLECTION) == 2
        assert new.store.generations(COLLECTION) == [2]
        assert_same_contents(contents(new.store), before)
        assert _audit(new).agrees


def test_a_generation_rolled_back_to_by_hand_is_brought_up_to_date(bench: ToyBench) -> None:
    """The generation that is live after the rollback is the one that is kept in step."""
    bench.refresh(rebuild=True)
    bench.toy.put(document("notes/0", "Edited since."))
    bench.refresh()
    wanted = contents(bench.store)
    bench.store.publish(COLLECTION, 1)
    bench.refresh()
    assert bench.store.live(COLLECTION) == 1
    assert_same_contents(contents(bench.store), wanted)
    assert source_status(bench, "crm").generation == 1
    assert _audit(bench).agrees


def test_rebuilds_keep_one_generation_to_roll_back_to(bench: ToyBench) -> None:
    for _ in range(3):
        bench.refresh(rebuild=True)
    assert bench.store.generations(COLLECTION) == [3, 4]
    assert bench.store.live(COLLECTION) == 4


def test_what_a_failed_rebuild_left_is_removed_by_the_next_run(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that run has nothing else to do."""

    def fail(*_: Any) -> None:
        raise UnavailableError("It was not indexed in time.")

    with monkeypatch.context() as patch:
        patch.setattr(type(bench.engine), "settle", fail)
        with pytest.raises(UnavailableError):
            bench.refresh(rebuild=True)
    assert bench.store.generations(COLLECTION) == [1, 2]
    bench.refresh()
    assert bench.store.generations(COLLECTION) == [1]
    assert _audit(bench).agrees
    bench.refresh(rebuild=True)
    assert bench.store.live(COLLECTION) == 3
    assert _audit(bench).agrees


def test_status_of_a_store_that_is_asked(bench: ToyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    told = source_status(bench, "crm")
    if isinstance(bench.engine, EmbeddedStore):
        assert told.store is None
        return
    assert told.store is not None
    assert told.store.startswith("green, 10 points")
    assert isinstance(bench.engine, ServerStore)

    def fail(*_: Any) -> None:
        raise UnavailableError("It is down.")

    monkeypatch.setattr(bench.engine, "health", fail)
    told = source_status(bench, "crm")
    assert (told.store, told.store_answers, told.problem) == (None, False, "It is down.")


def test_status(bench: ToyBench) -> None:
    (crm,) = status(bench)["sources"].values()
    assert set(crm) == {
        "documents", "chunks", "points", "parked", "generation", "fingerprint", "last_success", "store",
        "store_answers", "problem",
    }  # fmt: skip
    assert (crm["documents"], crm["chunks"], crm["points"], crm["parked"]) == (10, 10, 10, 0)
    assert (crm["generation"], crm["problem"]) == (1, None)
    assert crm["fingerprint"] == bench.collection("crm").fingerprint


def test_a_repair_with_a_lost_ledger_does_not_empty_the_index(bench: ToyBench, tmp_path: Path) -> None:
    """An upstream that never ran on a ledger is not an empty one."""
    before = contents(bench.store)
    with ToyBench(tmp_path / "new", source=bench.toy, store=bench.engine) as new:
        with pytest.raises(NotOursError):
            _repair(new)
        adopt(new, "crm")
        with pytest.raises(IncompleteError, match="knows of no successful run of crm/chunks"):
            _repair(new)
        assert new.store.live(COLLECTION) == 1
        assert contents(new.store) == before
        new.refresh()
        assert _audit(new).agrees


def test_a_collection_alone_does_not_publish_chunks_of_other_settings(
    bench: ToyBench, tmp_path: Path
) -> None:
    before = contents(bench.store)
    with ToyBench(tmp_path, source=bench.toy, store=bench.engine, ingest_chunk_size=200) as other:
        with pytest.raises(IncompleteError, match="other INGEST_CHUNK"):
            other.do("collection")
        assert contents(bench.store) == before
        assert bench.store.live(COLLECTION) == 1
        other.refresh()
        assert bench.store.live(COLLECTION) == 2
        assert _audit(other).agrees


def test_records_about_one_store_are_not_trusted_for_another(bench: ToyBench, tmp_path: Path) -> None:
    """One ledger, two stores in turn, as when QDRANT_URL is set and unset again."""
    with ToyBench(tmp_path, source=bench.toy, store=EmbeddedStore(tmp_path / "elsewhere")) as second:
        second.refresh()
        bench.toy.put(document("notes/0", "Edited while the other store was in use."))
        second.refresh()
        wanted = contents(second.store)
        assert _audit(second).agrees
    bench.refresh()
    assert_same_contents(contents(bench.store), wanted)
    assert _audit(bench).agrees


def test_parked_texts_are_not_expected_and_their_documents_keep_their_points(bench: ToyBench) -> None:
    bench.model.refuses = lambda text: "unspeakable" in text
    bench.toy.put(document("notes/0", "Now unspeakable."), document("notes/new", "An unspeakable thing."))
    bench.refresh()
    found = _audit(bench)
    assert found.agrees
    assert (found.expected, found.present) == (9, 10)
    _repair(bench)
    assert _audit(bench) == found
    bench.model.refuses = lambda _text: False
    bench.refresh(retry_parked=True)
    assert _audit(bench) == Audit(11, 11, 0, 0, 0, 0)
