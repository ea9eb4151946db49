"""Building and searching with an embedding endpoint, one that works and one that does not."""

from __future__ import annotations

import json
from typing import Any

from ingest_assets_tests.embedding.endpoint_server import (
    DIMENSION,
    KEY,
    Endpoint,
    Reply,
    good_answer,
    serving,
)
from ingest_assets_tests.support.built_index import DOCUMENTS, Home, ingest
from ingest_assets_tests.support.fixtures import IngestHere


def through(home: Home, endpoint: Endpoint) -> Home:
    return home.with_settings(
        spark_control_url=endpoint.url, spark_control_api_key=KEY, ingest_embed_batch_count=16
    )


def with_nan_for(word: str) -> Reply:
    """An answer with NaN in the vector of every text that contains a word."""

    def body(request: dict[str, Any]) -> dict[str, Any]:
        answer = good_answer(request)
        for item, text in zip(answer["data"], request["input"], strict=True):
            if word in text:
                item["embedding"][0] = float("nan")
        return answer

    return Reply(body=body)


def of_dimension(dimension: int) -> Reply:
    def body(request: dict[str, Any]) -> dict[str, Any]:
        data = [{"index": i, "embedding": [1.0] * dimension} for i, _ in enumerate(request["input"])]
        return {"data": data}

    return Reply(body=body)


def test_build_search_and_refresh_through_an_endpoint(empty: Home, ingest_here: IngestHere) -> None:
    with serving() as endpoint:
        home = through(empty, endpoint)
        said = ingest(home, "build")
        assert said.status == 0, said.everything
        texts = {text for request in endpoint.requests for text in request["input"]}
        assert len(texts) >= DOCUMENTS
        assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
        assert KEY not in said.everything
        found = json.loads(ingest_here(home, "search", "renewal", "--mode", "dense", "--json").out)
        assert found["hits"]

        endpoint.requests.clear()
        touched = home.edit(changes=2)
        report = json.loads(ingest_here(home, "refresh", "--json").out)
        assert report["assets"]["crm/records"]["changed"] == len(touched)
        # The first request asks for the dimension.
        embedded = [text for request in endpoint.requests for text in request["input"]]
        assert 1 <= len([text for text in embedded if text != "dimension"]) <= 4

        # A new generation does not embed anything again.
        endpoint.requests.clear()
        assert ingest_here(home, "build").status == 0
        assert [text for request in endpoint.requests for text in request["input"]] == ["dimension"]


def test_a_text_that_the_endpoint_cannot_embed_is_parked_and_the_rest_indexed(
    empty: Home, ingest_here: IngestHere
) -> None:
    import sqlite3

    with sqlite3.connect(empty.crm) as crm:
        crm.execute("UPDATE interactions SET body = 'A poisonous text.' WHERE id = 3")
    with serving() as endpoint:
        home = through(empty, endpoint).with_settings(ingest_dense_dimension=DIMENSION)
        endpoint.then(*[with_nan_for("poisonous")] * 40)
        built = ingest_here(home, "build", "--json")
        assert built.status == 3, built.everything
        report = json.loads(built.out)
        assert report["assets"]["crm/dense_vectors"]["parked"] == report["parked"] == 1
        assert report["assets"]["crm/dense_vectors"]["added"] == DOCUMENTS - 1
        assert report["assets"]["crm/collection"]["added"] == DOCUMENTS - 1
        (item,) = json.loads(ingest_here(home, "parked", "--json").out)["parked"]
        assert item["stage"] == "dense_vectors"
        assert "NaN" in item["error"]
        assert "Text: " in item["error"]
        shown = ingest_here(home, "parked").out
        assert item["item_id"] in shown
        assert ingest_here(home, "search", "renewal").status == 0

        # The endpoint works again. The text is retried only when asked for.
        endpoint.replies.clear()
        assert ingest_here(home, "refresh").status == 3
        mended = ingest_here(home, "refresh", "--retry-parked", "--json")
        assert mended.status == 0, mended.everything
        assert json.loads(mended.out)["assets"]["crm/collection"]["added"] == 1
        assert ingest_here(home, "parked").out.strip() == "Nothing is parked."
        assert ingest_here(home, "audit").status == 0


def test_an_endpoint_whose_dimension_changed_fails_the_run_and_leaves_the_index_alone(
    empty: Home, ingest_here: IngestHere
) -> None:
    with serving() as endpoint:
        home = through(empty, endpoint).with_settings(ingest_dense_dimension=DIMENSION)
        assert ingest_here(home, "build").status == 0
        before = json.loads(ingest_here(home, "status", "--json").out)["sources"]["crm"]
        home.edit(changes=3)
        endpoint.then(*[of_dimension(DIMENSION + 4)] * 10)
        said = ingest_here(home, "refresh")
        assert said.status == 1
        assert f"gives {DIMENSION + 4} dimensions where {DIMENSION} are expected" in said.out
        assert "crm__dense_vectors: " in said.out
        words = ingest_here(home, "search", "renewal", "--mode", "sparse", "--json")
        assert json.loads(words.out)["hits"]
        meaning = ingest_here(home, "search", "renewal")
        assert meaning.status == 2
        assert "dimensions" in meaning.err
        after = json.loads(ingest_here(home, "status", "--json").out)["sources"]["crm"]
        assert (after["generation"], after["points"]) == (before["generation"], before["points"])
        endpoint.replies.clear()
        assert ingest_here(home, "refresh").status == 0
        assert ingest_here(home, "audit").status == 0
