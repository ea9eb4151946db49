"""What every store of collections guarantees, on each engine."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from ingest_assets.collection.base import Leg, Payload, Points, Store
from ingest_assets.collection.server import Connection, Endpoint, ServerStore
from ingest_assets.fields import BOUNDS, COMMON_FIELDS, Condition, Range, conditions_of, utc_of
from ingest_assets.model import (
    ConfigurationError,
    Float32Array,
    NotPublishedError,
    SparseVectors,
    UnavailableError,
)
from ingest_assets_tests.collection.points import dense, ids_of, make_points, sparse_of, write
from ingest_assets_tests.support.engines import STORES, client_of, local_store, new_store
from ingest_assets_tests.support.small_parts import contents

NAME = "test_chunks"

FILTERABLE = (*COMMON_FIELDS, *BOUNDS)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    one = new_store(request.param, tmp_path)
    yield one
    one.close()


@pytest.fixture
def published(store: Store) -> Store:
    """Generation 1 with ten points, live."""
    store.create(NAME, 1, 4)
    write(store, NAME, 1, make_points(range(10)))
    store.publish(NAME, 1)
    return store


def _not(field: str, *values: str) -> Condition:
    return Condition(field, values=values, negated=True)


def _since(time: str, *, negated: bool) -> Condition:
    return Condition("time", "time", ranges=(Range(utc_of(time), None),), negated=negated)


def _ids(store: Store, generation: int | None = None) -> list[str]:
    with store.reader(NAME, generation) as reader:
        return sorted(key for key, _ in reader.scan())


def test_nothing_is_there_at_first(store: Store) -> None:
    assert store.live(NAME) is None
    assert store.generations(NAME) == []
    with pytest.raises(NotPublishedError, match=f"{NAME} yet. Run `ingest build`"), store.reader(NAME):
        pass


def test_points_are_read_as_they_were_written(published: Store) -> None:
    points = make_points(range(10))
    held = contents(published, NAME)
    assert sorted(held) == sorted(points.ids)
    for i, key in enumerate(points.ids):
        payload, vector, terms = held[key]
        assert payload == points.payloads[i]
        np.testing.assert_allclose(vector, points.dense[i], atol=1e-6)
        indices, values = points.sparse.row(i)
        assert terms == dict(zip(indices.tolist(), values.tolist(), strict=True))


def test_scan_and_count(published: Store) -> None:
    with published.reader(NAME) as reader:
        assert reader.count() == 10
        assert dict(reader.scan()) == {key: f"digest {n}" for n, key in enumerate(ids_of(range(10)))}
        assert reader.generation == 1


def test_an_update_replaces_and_a_deletion_removes(published: Store) -> None:
    with published.writer(NAME, 1) as writer:
        writer.upsert(make_points([3], text="changed"))
        writer.delete(ids_of([0, 1]))
        writer.delete(ids_of([77]))
        writer.delete([])
        writer.commit()
    held = contents(published, NAME)
    assert sorted(held) == sorted(ids_of(range(2, 10)))
    assert held[ids_of([3])[0]][0]["text"] == "changed"


def test_publishing_switches_generations_in_one_step(published: Store) -> None:
    published.create(NAME, 2, 4)
    write(published, NAME, 2, make_points(range(20, 23)))
    assert published.live(NAME) == 1
    assert _ids(published) == sorted(ids_of(range(10)))
    assert _ids(published, 2) == sorted(ids_of(range(20, 23)))
    published.publish(NAME, 2)
    assert published.live(NAME) == 2
    assert published.generations(NAME) == [1, 2]
    assert _ids(published) == sorted(ids_of(range(20, 23)))
    published.publish(NAME, 1)
    assert _ids(published) == sorted(ids_of(range(10)))


def test_a_dropped_generation_is_gone(published: Store) -> None:
    published.create(NAME, 2, 4)
    published.drop(NAME, 2)
    published.drop(NAME, 7)
    assert published.generations(NAME) == [1]
    assert len(_ids(published)) == 10


def test_a_generation_that_is_created_again_is_empty(published: Store) -> None:
    published.create(NAME, 2, 4)
    write(published, NAME, 2, make_points(range(5)))
    published.create(NAME, 2, 4)
    assert _ids(published, 2) == []


def test_names_that_contain_each_other_are_kept_apart(published: Store) -> None:
    other = f"{NAME}_2"
    published.create(other, 5, 4)
    assert published.generations(NAME) == [1]
    assert published.generations(other) == [5]
    assert published.live(other) is None
    published.drop(other, 5)


def test_both_legs_rank_by_similarity(published: Store) -> None:
    legs = [Leg("dense", dense=dense(4)), Leg("bm25", sparse=sparse_of([1004]))]
    with published.reader(NAME) as reader:
        by_dense, by_terms = reader.query(legs, limit=3)
        only_dense = reader.query(legs[:1], limit=3)
    assert by_dense[0].id == by_terms[0].id == ids_of([4])[0]
    assert by_dense[0].score == pytest.approx(1, abs=1e-5)
    assert len(by_terms) == 1
    assert only_dense == [by_dense]


def test_scores_weigh_rare_terms_more(published: Store) -> None:
    """Term 7 is in every point, 1004 in one: the collection's IDF makes the difference."""
    with published.reader(NAME) as reader:
        rare, common = reader.query(
            [Leg("bm25", sparse=sparse_of([1004])), Leg("bm25", sparse=sparse_of([7]))], limit=1
        )
    assert rare[0].score > common[0].score > 0


def test_no_legs_no_hits(published: Store) -> None:
    with published.reader(NAME) as reader:
        assert reader.query([], limit=3) == []


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"document_id": ["notes/3"]}, [3]),
        ({"document_id": ["notes/3", "notes/5", "notes/77"]}, [3, 5]),
        ({"kind": ["even"]}, [0, 2, 4, 6, 8]),
        ({"entity_ids": ["entity 1"]}, [1, 4, 7]),
        ({"entity_ids": ["entity 1", "entity 0"]}, [0, 1, 3, 4, 6, 7, 9]),
        ({"source": ["crm"]}, list(range(10))),
        ({"source": ["another"]}, []),
        ({"since": ["2024-01-08T00:00:00Z"]}, [7, 8, 9]),
        ({"until": ["2024-01-02T00:00:00Z"]}, [0, 1]),
        ({"since": ["2024-01-03"], "until": ["2024-01-04T01:00:00+01:00"], "kind": ["odd"]}, [3]),
        ({"kind": ["odd"], "entity_ids": ["entity 0"]}, [3, 9]),
        ({"kind": []}, []),
    ],
)
def test_filters(published: Store, where: dict[str, list[str]], found: list[int]) -> None:
    legs = [Leg("dense", dense=dense(0)), Leg("bm25", sparse=sparse_of([7]))]
    with published.reader(NAME) as reader:
        for answer in reader.query(legs, limit=100, where=conditions_of(where, FILTERABLE)):
            assert sorted(point.id for point in answer) == sorted(ids_of(found))


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ([_not("kind", "odd")], [0, 2, 4, 6, 8]),
        ([_not("document_id", "notes/1", "notes/2", "notes/77")], [0, 3, 4, 5, 6, 7, 8, 9]),
        ([_not("entity_ids", "entity 0", "entity 1")], [2, 5, 8]),
        ([_not("absent", "x")], list(range(10))),
        ([_not("kind", "odd"), _not("entity_ids", "entity 0")], [2, 4, 8]),
        ([Condition("kind", values=("odd",)), _not("entity_ids", "entity 0")], [1, 5, 7]),
        ([_since("2024-01-03", negated=True)], [0, 1]),
        ([_since("2024-01-03", negated=True), _not("kind", "even")], [1]),
        ([Condition("broken", "flag", (True,), negated=True)], list(range(10))),
        ([Condition("kind", negated=True)], list(range(10))),
    ],
)
def test_negated_conditions(published: Store, conditions: list[Condition], found: list[int]) -> None:
    legs = [Leg("dense", dense=dense(0)), Leg("bm25", sparse=sparse_of([7]))]
    with published.reader(NAME) as reader:
        for answer in reader.query(legs, limit=100, where=conditions):
            assert sorted(point.id for point in answer) == sorted(ids_of(found))


def test_every_filterable_field_has_a_test() -> None:
    marks: Sequence[pytest.Mark] = test_filters.pytestmark  # type: ignore[attr-defined]
    tested = {field for where, _ in marks[0].args[1] for field in where}
    assert tested == {each.name for each in FILTERABLE}


def test_payloads_of_points_that_exist(published: Store) -> None:
    asked = ids_of([2, 77])
    with published.reader(NAME) as reader:
        assert reader.payloads(asked) == {asked[0]: make_points([2]).payloads[0]}
        assert reader.payloads([]) == {}


def test_points_without_terms(published: Store) -> None:
    """A chunk of stopwords alone has an empty sparse vector, which does not count as missing."""
    write(published, NAME, 1, make_points([50], terms=[]))
    with published.reader(NAME) as reader:
        assert reader.without_sparse() == []
        assert reader.count() == 11
        (answer,) = reader.query([Leg("dense", dense=dense(50))], limit=1)
    assert answer[0].id == ids_of([50])[0]
    assert contents(published, NAME)[answer[0].id][2] == {}


def test_scan_of_more_than_a_page(store: Store) -> None:
    store.create(NAME, 1, 4)
    write(store, NAME, 1, make_points(range(5_300)))
    store.publish(NAME, 1)
    with store.reader(NAME) as reader:
        found = [key for key, _ in reader.scan()]
    assert len(found) == 5_300
    assert set(found) == set(ids_of(range(5_300)))


def test_a_server_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    for grpc_port in (None, port):
        store = ServerStore(Connection(Endpoint(urls=[url], api_key="key", grpc_port=grpc_port)))
        with pytest.raises(
            UnavailableError, match=rf"Qdrant at {url} .*does not answer.*Check QDRANT_URL"
        ) as caught:
            store.live(NAME)
        assert "\n" not in str(caught.value)
        with pytest.raises(UnavailableError), store.reader(NAME):
            pass
        store.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\x80",
        b"<html>",
        b"[" * 100_000,
        b"[]",
        b'{"result": null}',
        b'{"result": {"aliases": 7}, "status": "ok"}',
    ],
)
def test_what_is_not_qdrant_is_told_from_it(answer: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        store = ServerStore(Connection(Endpoint(urls=[url])))
        with pytest.raises(ConfigurationError, match=f"What answers at {url}.* is not Qdrant"):
            store.live(NAME)
        store.close()
        server.shutdown()


def test_a_collection_of_another_program_is_not_replaced() -> None:
    from qdrant_client import models

    store = local_store()
    params = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client_of(store).create_collection(NAME, vectors_config=params)
    with pytest.raises(ConfigurationError, match=rf"Qdrant at .*\({NAME}\).*was not created by"):
        store.create(NAME, 1, 4)
    assert client_of(store).collection_exists(NAME)


def test_an_alias_of_another_program_is_reported() -> None:
    from qdrant_client import models

    store = local_store()
    params = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client_of(store).create_collection("theirs", vectors_config=params)
    alias = models.CreateAlias(collection_name="theirs", alias_name=NAME)
    client_of(store).update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with pytest.raises(ConfigurationError, match=rf"Qdrant at .*\({NAME}\): this alias points to theirs"):
        store.live(NAME)


def test_points_without_a_sparse_vector_are_found(published: Store) -> None:
    """They are written without our store, as another program would."""
    key = ids_of([60])[0]
    payload: Payload = {"digest": "x"}
    vector: Float32Array = dense(60)
    if isinstance(published, ServerStore):
        from qdrant_client import models

        point = models.PointStruct(id=key, vector={"dense": vector.tolist()}, payload=payload)
        client_of(published).upsert(f"{NAME}__1", [point], wait=True)
    else:
        import qdrant_edge as edge

        with published.writer(NAME, 1) as writer:
            shard = writer._open()._shard  # type: ignore[attr-defined]
            one = edge.Point(key, {"dense": vector.tolist()}, payload)
            shard.update(edge.UpdateOperation.upsert_points([one]))
            writer.commit()
    with published.reader(NAME) as reader:
        assert reader.without_sparse() == [key]


def test_an_empty_batch_writes_nothing() -> None:
    none = SparseVectors(np.zeros(1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32))
    empty = Points([], np.zeros((0, 4), np.float32), none, [])
    store = local_store()
    store.create(NAME, 1, 4)
    write(store, NAME, 1, empty)
    assert _ids(store, 1) == []
