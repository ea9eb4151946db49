"""What a key may read, generations that are not ready, and several nodes of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.collection.marks import Mark
from ingest_assets.ledger.installation import Installation
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.queries.doctor import _store as store_findings
from ingest_assets.queries.status import source_status
from ingest_assets.stopping import patiently
from ingest_assets_tests.collection.faulty_store import (
    ALL,
    NAME,
    ids_in,
    searched_in,
    server,
    store,
    store_at,
)
from ingest_assets_tests.collection.points import ids_of, make_points, write
from ingest_assets_tests.support.faulty_server import Fault, FaultyServer, faulty_server
from ingest_assets_tests.support.small_parts import COLLECTION, ToyBench, document

__all__ = ["server", "store"]  # fixtures


def _publish(url: str, generation: int) -> None:
    one = store_at(url)
    one.create(NAME, generation, 4)
    write(one, NAME, generation, make_points(range(generation)))
    one.publish(NAME, generation)
    one.close()


def test_a_key_that_may_read_the_name_alone(server: FaultyServer) -> None:
    """Such a key sees no generation, and needs no change when the next one is published."""
    reader = store_at(server.url, api_key="k3y-of-qdrant")
    _publish(server.url, 7)
    for generation in (7, 8):
        server.readable = frozenset({NAME})
        assert reader.live(NAME) == generation
        assert searched_in(reader) == ids_of([4])[0]
        assert ids_in(reader) == sorted(ids_of(range(generation)))
        assert (health := reader.health(NAME, generation)) is not None
        assert health.points == generation
        server.readable = None
        _publish(server.url, 8)
    assert reader.live("nothing_chunks") is None
    server.readable = frozenset({f"{NAME}__2"})
    with pytest.raises(ConfigurationError, match=rf"Access to collection {NAME} is required.*QDRANT_API_KEY"):
        reader.live(NAME)
    reader.close()


def test_a_key_of_one_source_satisfies_the_doctor(server: FaultyServer, tmp_path: Path) -> None:
    with ToyBench(tmp_path, store=store_at(server.url, api_key="k3y-of-qdrant")) as bench:
        bench.toy.put(document("notes/1", "A text."))
        bench.refresh()
        server.readable = frozenset({COLLECTION, f"{COLLECTION}-owner"})
        (found,) = store_findings(bench)
        assert (found.state, f"{COLLECTION} generation 1" in found.message) == ("ok", True)


def test_a_generation_without_its_number_is_not_taken_for_none(server: FaultyServer) -> None:
    """As an earlier version made it."""
    owner = Mark(Installation("a" * 32, "here"), "crm", "")
    server.create({"vectors": {}, "metadata": {"ingest_assets": owner.to_json()}}, f"{NAME}__1")
    alias = {"create_alias": {"collection_name": f"{NAME}__1", "alias_name": NAME}}
    server.alias({"actions": [alias]})
    server.readable = frozenset({NAME})
    reader = store_at(server.url, api_key="k3y-of-qdrant")
    with pytest.raises(
        ConfigurationError, match=r"may not see which generation is live.*`ingest build` once"
    ):
        reader.live(NAME)
    reader.close()


DEAD = {"shard_id": 1, "peer_id": 2, "state": "Dead"}


@pytest.mark.parametrize(
    ("shards", "remedy"),
    [([DEAD, DEAD], "2 replicas are Dead.*Bring the nodes back"), ([], "QDRANT_INDEXING_TIMEOUT_S allows")],
)
def test_a_generation_that_is_not_ready_is_not_published(
    server: FaultyServer, shards: list[dict[str, object]], remedy: str
) -> None:
    store = store_at(server.url)
    store.create(NAME, 1, 4)
    server.shards, server.status = shards, "green" if shards else "yellow"
    store._indexing_timeout_s = 0
    with pytest.raises(UnavailableError, match=rf"was not ready within 0 s: .*{remedy}"):
        store.settle(NAME, 1)
    assert store.live(NAME) is None
    store.close()


def test_a_generation_that_failed_is_not_published(server: FaultyServer) -> None:
    store = store_at(server.url)
    store.create(NAME, 1, 4)
    server.status = "red"
    said = rf"Qdrant at {server.url} \({NAME}__1\) failed: red.*See its log. It was not published"
    with pytest.raises(UnavailableError, match=said):
        store.settle(NAME, 1)
    assert store.live(NAME) is None
    store.close()


def test_status_tells_that_points_are_gone_from_the_server(server: FaultyServer, tmp_path: Path) -> None:
    with ToyBench(tmp_path, store=store_at(server.url)) as bench:
        bench.toy.put(*(document(f"notes/{n}", f"Text of note {n}.") for n in range(4)))
        bench.refresh()
        assert source_status(bench, "crm").problem is None
        # As an older snapshot, whose collection has the same name.
        with bench.store.reader(COLLECTION) as reader:
            gone = [key for key, _ in reader.scan()][:1]
            name = f"{COLLECTION}__{reader.generation}"
        server.answer("POST", f"/collections/{name}/points/delete", {"points": gone})
        told = source_status(bench, "crm")
        said = f"Qdrant at {server.url}: {COLLECTION} has 3 points of 4 that were written"
        assert said in (told.problem or "")
        assert "`ingest audit --repair`" in (told.problem or "")
        assert told.store_answers
        server.status = "yellow"  # while it is at work, its count is an estimate
        assert source_status(bench, "crm").problem is None
        server.status = "red"
        assert "is red" in (source_status(bench, "crm").problem or "")
        server.status, server.shards = "green", [DEAD]
        assert "1 replica is Dead. Bring the nodes back" in (source_status(bench, "crm").problem or "")


@pytest.mark.usefixtures("store")
def test_another_node_is_asked_when_one_is_away(server: FaultyServer) -> None:
    away = "http://127.0.0.1:9"
    both = store_at(away, server.url)
    assert searched_in(both) == ids_of([4])[0]
    server.will(ALL)
    assert searched_in(both) == ids_of([4])[0]  # without asking the other one first
    nowhere = store_at(away, "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match="does not answer"):
        nowhere.live(NAME)


def test_a_node_that_lags_behind_is_outvoted() -> None:
    with faulty_server() as first, faulty_server() as second, faulty_server() as third:
        for server, generation in ((first, 3), (second, 4), (third, 4)):
            _publish(server.url, generation)
        store = store_at(first.url, second.url, third.url)
        with patiently():
            assert store.live(NAME) == 4
        assert store.live(NAME) == 3, "a search asks one node"
        held = {}
        for url, node in store.at_each_node().items():
            with node.reader(NAME) as reader:
                held[url] = reader.count()
            node.close()
        assert held == {first.url: 3, second.url: 4, third.url: 4}
        # The first one is asked for a generation that only the others have.
        with store.reader(NAME, 4) as reader:
            assert reader.payloads(ids_of([0]))
        store.close()


def test_a_mark_is_copied_to_the_nodes_that_were_named_since(server: FaultyServer) -> None:
    """As one has it that an earlier version made, or a run that named one node."""
    _publish(server.url, 1)
    server.answer("PUT", f"/collections/{NAME}-owner", {"vectors": {}})
    server.peers = [1, 2, 3]
    server.shards = [{"shard_id": shard, "peer_id": shard, "state": "Active"} for shard in (1, 2)]
    both = store_at(server.url, "http://127.0.0.1:9")
    assert both.layout != store_at(server.url).layout, "a run would not notice"
    assert both.adapt(NAME, 1)
    wanted = [
        {"shard_id": 1, "from_peer_id": 1, "to_peer_id": 2},
        {"shard_id": 2, "from_peer_id": 2, "to_peer_id": 1},
    ]
    assert server.copied == [(f"{NAME}-owner", each) for each in wanted]
    server.copied.clear()
    server.shards.pop()
    server.will("POST .*-owner/cluster", Fault(400, "told to fail"))
    assert both.adapt(NAME, 1), "what cannot be copied now does not fail the run"
    assert store_at(server.url).adapt(NAME, 1)
    assert server.copied == []


def test_an_old_server_is_named(server: FaultyServer) -> None:
    for version, said in (("1.15.4", "1.16 or newer is needed"), ("7.0.0", "upgrade Ingest Assets")):
        server.version = version
        with pytest.raises(ConfigurationError, match=f"is version {version}.*{said}"):
            store_at(server.url).live(NAME)
