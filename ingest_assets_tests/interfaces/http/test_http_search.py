"""Search over HTTP returns what `ingest search --json` prints, and the score of each leg."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx
import pytest

from ingest_assets_tests.interfaces.http.served import Served, served
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_the_same_as_the_command_line(
    built_once: Home, api: httpx.Client, ingest_here: IngestHere, mode: str
) -> None:
    query = "renewal of the contract"
    asked = {"query": query, "mode": mode, "limit": 5, "filters": {"kind": ["email", "note"]}}
    found = api.post("/search", json=asked).raise_for_status().json()
    parameters = httpx.QueryParams([("query", query), ("mode", mode), ("limit", 5)])
    parameters = parameters.add("filter", "kind=email").add("filter", "kind=note")
    same = api.get("/search", params=parameters).raise_for_status().json()
    arguments = ("--mode", mode, "--limit", "5", "--filter", "kind=email", "--filter", "kind=note", "--json")
    printed = json.loads(ingest_here(built_once, "search", query, *arguments).out)
    legs = {"hybrid": {"dense", "bm25"}, "dense": {"dense"}, "sparse": {"bm25"}}[mode]
    for answer in (found, same):
        assert answer.pop("took_ms") > 0
        for hit in answer["hits"]:
            scores = hit.pop("scores")
            assert scores
            assert set(scores) <= legs
            if mode != "hybrid":
                assert hit["score"] in scores.values()
    del printed["took_ms"]
    assert found == same == printed
    assert len(found["hits"]) == 5


def test_a_single_value_needs_no_list(api: httpx.Client) -> None:
    asked = {"query": "contract", "filters": {"kind": "email", "since": "2020-01-01"}}
    hits = api.post("/search", json=asked).raise_for_status().json()["hits"]
    assert {hit["kind"] for hit in hits} == {"email"}


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin", None])
def test_days_are_whole_days_in_the_zone_that_is_asked_for(api: httpx.Client, zone: str | None) -> None:
    asked = {"query": "contract", "mode": "dense", "limit": 1000, "filters": {"kind": "email"}}
    every = api.post("/search", json=asked).raise_for_status().json()["hits"]
    days = defaultdict(set)
    for hit in every:
        local = datetime.fromisoformat(hit["time"]).astimezone(ZoneInfo(zone or "UTC"))
        days[local.date()].add(hit["document_id"])
    day = max(days, key=lambda each: (len(days[each]), each))
    filters = {"kind": "email", "since": f"{day}", "until": f"{day}"}
    body = asked | {"filters": filters} | ({"time_zone": zone} if zone else {})
    found = api.post("/search", json=body).raise_for_status().json()["hits"]
    assert {hit["document_id"] for hit in found} == days[day]
    parameters = httpx.QueryParams([("query", "contract"), ("mode", "dense"), ("limit", 1000)])
    for name, value in filters.items():
        parameters = parameters.add("filter", f"{name}={value}")
    if zone:
        parameters = parameters.add("time_zone", zone)
    same = api.get("/search", params=parameters).raise_for_status().json()["hits"]
    assert [hit["document_id"] for hit in same] == [hit["document_id"] for hit in found]


def test_a_zone_that_there_is_not_is_refused(api: httpx.Client) -> None:
    answer = api.post("/search", json={"query": "contract", "time_zone": "Europe/Atlantis"})
    assert answer.status_code == 400
    assert "Europe/Atlantis" in answer.text


def test_nothing_found_is_an_answer(api: httpx.Client) -> None:
    found = api.get("/search", params={"query": "contract", "filter": "kind=nothing"})
    assert found.raise_for_status().json()["hits"] == []


def test_concurrent_searches_get_their_own_answers(open_server: Served) -> None:
    words = ["contract", "renewal", "price", "invoice", "meeting", "outage", "security", "delivery"]
    with open_server.client() as client, ThreadPoolExecutor(8) as threads:
        alone = {word: _ids(client, word) for word in words}
        together = list(threads.map(lambda word: (word, _ids(client, word)), words * 10))
    assert all(alone[word] == ids for word, ids in together)


def test_what_is_published_while_the_server_runs_is_found(built: Home) -> None:
    with served(built) as server, server.client() as client:
        before = client.get("/search", params={"query": "contract", "limit": 1000}).json()
        built.edit(deletes=5)
        assert built.refresh().success
        after = client.get("/search", params={"query": "contract", "limit": 1000}).json()
        documents = {hit["document_id"] for hit in before["hits"]}
        assert len(documents) - len({hit["document_id"] for hit in after["hits"]}) == 5
        assert built.build().success
        assert client.get("/search", params={"query": "contract"}).json()["generation"] == 2
        assert client.get("/status").json()["sources"]["crm"]["generation"] == 2


def test_nothing_to_search_yet(empty: Home) -> None:
    with served(empty) as server, server.client() as client:
        answer = client.get("/search", params={"query": "contract"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "not_published"
        assert client.get("/ready").status_code == 503
        assert client.get("/status").json()["sources"]["crm"]["generation"] is None


def test_a_model_other_than_that_of_the_index(built: Home) -> None:
    other = built.with_settings(spark_control_url="http://127.0.0.1:9", ingest_dense_dimension=8)
    with served(other, ingest_embed_max_attempts=1) as server, server.client() as client:
        answer = client.get("/search", params={"query": "contract"})
        assert answer.status_code == 503
        assert str(built.path) not in answer.text
        assert client.get("/search", params={"query": "contract", "mode": "sparse"}).status_code == 200
        parts = client.get("/ready").json()["parts"]
        assert (parts["dense_model"]["state"], parts["ledger"]["state"]) == ("failed", "ok")


def _ids(client: httpx.Client, word: str) -> list[str]:
    answer = client.post("/search", json={"query": word}).raise_for_status().json()
    assert answer["query"] == word
    return [hit["chunk_id"] for hit in answer["hits"]]
