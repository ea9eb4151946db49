"""Search in three modes over what is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.collection.base import ScoredPoint
from ingest_assets.model import ConfigurationError, Identity, NotPublishedError
from ingest_assets.queries.fusion import min_max
from ingest_assets.queries.search import MODES, Mode, Searcher
from ingest_assets_tests.support.engines import STORES, new_store
from ingest_assets_tests.support.small_parts import ToyBench, document


@contextmanager
def _empty(kind: str, home: Path) -> Iterator[ToyBench]:
    store = new_store(kind, home)
    with ToyBench(home, store=store) as bench:
        yield bench
    store.close()


@pytest.fixture(params=STORES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ToyBench]:
    with _empty(request.param, tmp_path) as bench:
        yield bench


@pytest.fixture
def bench(empty: ToyBench) -> ToyBench:
    return _filled(empty)


@pytest.fixture(scope="module", params=STORES)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyBench]:
    """The same as `bench`, for reading only."""
    with _empty(request.param, tmp_path_factory.mktemp("index")) as bench:
        yield _filled(bench)


def _filled(empty: ToyBench) -> ToyBench:
    ada = Identity("person", "Ada", emails=("ada@acme.org",))
    empty.toy.put(
        document("people/1", title="Ada", kind="person", identity=ada),
        document("notes/1", "The crane is broken.", time="2024-03-01T09:00:00Z", refs=["people/1"]),
        document("notes/2", "An invoice for the crane, and the crane again.", time="2024-05-01T09:00:00Z"),
        document("notes/3", "Nothing at all.", kind="email"),
    )
    empty.refresh()
    return empty


def _found(bench: ToyBench, query: str, mode: Mode = "hybrid", **where: list[str]) -> list[str]:
    return [hit.document_id for hit in Searcher(bench, "crm").search(query, mode=mode, where=where).hits]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_published_yet(empty: ToyBench, mode: Mode) -> None:
    with pytest.raises(NotPublishedError, match=r"crm_chunks yet. Run `ingest build`"):
        Searcher(empty, "crm").search("crane", mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_index_has_no_hits(empty: ToyBench, mode: Mode) -> None:
    empty.refresh()
    assert _found(empty, "crane", mode) == []


def test_a_hit_has_all_its_fields(index: ToyBench) -> None:
    answer = Searcher(index, "crm").search("broken crane", limit=1)
    (hit,) = answer.hits
    entity = next(h.entity_ids for h in Searcher(index, "crm").search("Ada", limit=1).hits)
    assert (hit.document_id, hit.title, hit.uri, hit.kind) == ("notes/1", "notes/1", "crm://notes/1", "note")
    assert (hit.time, hit.text) == ("2024-03-01T09:00:00Z", "notes/1\n\nThe crane is broken.")
    assert hit.entity_ids == entity
    assert len(entity) == 1
    out = json.loads(json.dumps(answer.to_dict()))
    assert set(out) == {"query", "source", "mode", "collection", "generation", "took_ms", "hits"}
    assert (out["query"], out["mode"], out["collection"], out["generation"]) == (
        "broken crane", "hybrid", "crm_chunks", 1,
    )  # fmt: skip
    assert set(out["hits"][0]) >= {
        "score", "chunk_id", "document_id", "title", "uri", "kind", "entity_ids", "text",
    }  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_finds_what_it_should(index: ToyBench, mode: Mode) -> None:
    assert _found(index, "The crane is broken", mode)[0] == "notes/1"
    hits = Searcher(index, "crm").search("crane", mode=mode, limit=3).hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_sparse_mode_finds_only_what_has_the_words(index: ToyBench) -> None:
    assert sorted(_found(index, "cranes", "sparse")) == ["notes/1", "notes/2"]
    assert _found(index, "zeppelin", "sparse") == []
    assert len(_found(index, "zeppelin", "dense")) == 4


@pytest.mark.parametrize(("mode", "found"), [("sparse", 0), ("dense", 4), ("hybrid", 4)])
def test_a_query_of_stopwords(index: ToyBench, mode: Mode, found: int) -> None:
    assert len(_found(index, "the of and", mode)) == found


@pytest.mark.parametrize("mode", MODES)
def test_filters(index: ToyBench, mode: Mode) -> None:
    assert set(_found(index, "crane", mode, document_id=["notes/2"])) == {"notes/2"}
    assert set(_found(index, "crane nothing", mode, kind=["email"])) == {"notes/3"}
    assert set(_found(index, "crane", mode, since=["2024-04-01"])) == {"notes/2"}
    assert _found(index, "crane", mode, kind=["note"], until=["2023-01-01"]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": " "}, "query is empty"),
        ({"mode": "fuzzy"}, "no mode 'fuzzy'. Modes: dense, sparse, hybrid"),
        ({"limit": 0}, "limit must be 1 to 1000, not 0"),
        ({"limit": 1_001}, "not 1001"),
        ({"where": {"colour": ["red"]}}, "Cannot filter by colour. Fields: document_id, kind"),
    ],
)
def test_a_wrong_query_is_refused(index: ToyBench, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Searcher(index, "crm").search(**({"query": "crane"} | arguments))


def test_limits(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"more/{n:03d}", f"Crane number {n}") for n in range(150)))
    bench.refresh()
    for limit in (1, 99, 120):
        hits = Searcher(bench, "crm").search("crane", limit=limit).hits
        assert len({hit.chunk_id for hit in hits}) == len(hits) == limit


def test_a_model_that_did_not_build_the_index_is_refused(bench: ToyBench) -> None:
    bench.model.revision = "2"
    for mode in ("dense", "hybrid"):
        with pytest.raises(
            ConfigurationError, match=r"built by the dense model toy:1:16, but the settings name toy:2"
        ):
            _found(bench, "crane", mode)
    assert _found(bench, "broken", "sparse") == ["notes/1"]
    bench.refresh()
    assert _found(bench, "The crane is broken", "dense")[0] == "notes/1"


def test_a_deleted_record_is_not_found(bench: ToyBench) -> None:
    del bench.toy.documents["notes/1"]
    bench.refresh()
    assert "notes/1" not in _found(bench, "The crane is broken")


_legs = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-40, 40).map(float), max_size=8).map(
        lambda scores: sorted((ScoredPoint(k, s) for k, s in scores.items()), key=lambda p: -p.score)
    ),
    min_size=1,
    max_size=3,
)


def _ranking(fused: list[ScoredPoint]) -> list[str]:
    return [point.id for point in sorted(fused, key=lambda point: (-round(point.score, 9), point.id))]


@given(_legs)
def test_fusion(legs: list[list[ScoredPoint]]) -> None:
    fused = min_max(legs, 100)
    assert {point.id for point in fused} == {point.id for leg in legs for point in leg}
    assert len({point.id for point in fused}) == len(fused)
    assert all(-1e-9 <= point.score <= 1 + 1e-9 for point in fused)
    assert fused == sorted(fused, key=lambda point: (-point.score, point.id))
    # Whichever leg comes first; rounded, because the order of additions changes the last bits.
    assert _ranking(min_max(legs[::-1], 100)) == _ranking(fused)
    assert min_max(legs, 2) == fused[:2]
    scaled = [[ScoredPoint(point.id, point.score * 4 + 8) for point in leg] for leg in legs]
    assert {p.id: round(p.score, 9) for p in min_max(scaled, 100)} == {p.id: round(p.score, 9) for p in fused}


def test_fusion_by_hand() -> None:
    dense = [ScoredPoint("a", 0.9), ScoredPoint("b", 0.5), ScoredPoint("c", 0.1)]
    sparse = [ScoredPoint("b", 12.0), ScoredPoint("d", 2.0)]
    assert min_max([dense, sparse], 100) == [
        ScoredPoint("b", 0.75), ScoredPoint("a", 0.5), ScoredPoint("c", 0.0), ScoredPoint("d", 0.0),
    ]  # fmt: skip
    assert min_max([[ScoredPoint("a", 3.0)]], 100) == [ScoredPoint("a", 1.0)]
    tied = [[ScoredPoint("z", 2.0), ScoredPoint("m", 1.0)], [ScoredPoint("b", 9.0), ScoredPoint("y", 4.0)]]
    for legs in (tied, tied[::-1]):
        assert [point.id for point in min_max(legs, 100)] == ["b", "z", "m", "y"], "ties come by id"
    assert min_max([], 100) == []
