"""The embedding endpoint's vectors, tested against a real server that behaves well or badly."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest_assets.embedding import DenseSpec, dense_model
from ingest_assets.embedding.endpoint import batches
from ingest_assets.model import ConfigurationError, IngestError, ItemError
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench
from ingest_assets_tests.embedding import texts_for_tests as texts
from ingest_assets_tests.embedding.endpoint_server import (
    DIMENSION,
    KEY,
    Endpoint,
    Reply,
    good_answer,
    model_at,
    serving,
    unit_of,
)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


def data(change: Callable[[list[dict[str, Any]]], object]) -> Reply:
    """A reply whose `data` is what `change` makes of the right one."""
    return Reply(body=lambda body: {"data": change(good_answer(body)["data"])})


def first_vector(vector: object) -> Reply:
    return data(lambda items: [{**items[0], "embedding": vector}, *items[1:]])


def test_canonical_vector(endpoint: Endpoint) -> None:
    model = model_at(endpoint)
    vectors = model.embed([texts.CANONICAL, "b"])
    expected = [-0.60438, -0.22979, 0.42271, -0.31877, 0.11678]
    np.testing.assert_allclose(vectors[0, :5], expected, atol=1e-4)
    np.testing.assert_allclose(vectors[1], unit_of("b"), atol=1e-6)
    assert vectors.dtype == np.float32
    assert endpoint.requests == [{"model": "m", "input": [texts.CANONICAL, "b"]}]
    assert endpoint.paths == ["/v1/embeddings"]
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert model.identity == "endpoint:m:8:utf8-l2-1"


def test_odd_texts(endpoint: Endpoint) -> None:
    texts.check_odd_texts(model_at(endpoint))


def test_no_texts_need_no_request(endpoint: Endpoint) -> None:
    assert model_at(endpoint).embed([]).shape == (0, DIMENSION)
    assert endpoint.requests == []


def test_dimension_is_asked_for_once_when_it_is_not_set(endpoint: Endpoint) -> None:
    model = model_at(endpoint, dimension=None)
    assert (model.dimension, model.dimension) == (DIMENSION, DIMENSION)
    assert len(endpoint.requests) == 1
    endpoint.then(data(lambda items: [{"index": 0, "embedding": [1, 2]}]))
    with pytest.raises(ConfigurationError, match="gives 2 dimensions where 8 are expected"):
        model.embed(["x"])


@pytest.mark.parametrize("suffix", ["/v1", "/v1/", "/"])
def test_the_url_may_be_written_in_several_ways(endpoint: Endpoint, suffix: str) -> None:
    model_at(endpoint, url=endpoint.url + suffix).embed(["x"])
    assert endpoint.paths == ["/v1/embeddings"]


def test_shuffled_answers_are_put_in_order(endpoint: Endpoint) -> None:
    endpoint.then(data(lambda items: items[::-1]))
    vectors = model_at(endpoint).embed(["a", "b", "c"])
    np.testing.assert_allclose(vectors, [unit_of(t) for t in "abc"], atol=1e-6)


def test_requests_are_bounded_by_texts_and_characters(endpoint: Endpoint) -> None:
    model = model_at(endpoint, batch_count=3, batch_chars=10, concurrency=1)
    given_texts = ["a", "b", "c", "d", "eeeeee", "ffffff", "g" * 20, "h"]
    vectors = model.embed(given_texts)
    sent = [request["input"] for request in endpoint.requests]
    assert sent == [["a", "b", "c"], ["d", "eeeeee"], ["ffffff"], ["g" * 20], ["h"]]
    np.testing.assert_allclose(vectors, [unit_of(t) for t in given_texts], atol=1e-6)


@given(st.lists(st.text(max_size=8)), st.integers(1, 5), st.integers(1, 20))
def test_batches_keep_order_and_bounds(items: list[str], count: int, chars: int) -> None:
    made = list(batches(items, count, chars))
    assert [text for batch in made for text in batch] == items
    for batch in made:
        assert 1 <= len(batch) <= count
        assert len(batch) == 1 or sum(map(len, batch)) <= chars


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (data(lambda items: items[:-1]), ItemError, "1 vectors for 2 texts"),
        (data(lambda items: [{**item, "index": 0} for item in items]), ItemError, "one to one"),
        (data(lambda items: [{**item, "index": ["0"]} for item in items]), ItemError, "one to one"),
        (first_vector([float("nan")] * DIMENSION), ItemError, "NaN"),
        (first_vector([float("inf")] * DIMENSION), ItemError, "NaN"),
        (first_vector([None] * DIMENSION), ItemError, "NaN"),
        (first_vector([1e300] * DIMENSION), ItemError, "NaN"),
        (first_vector([10**400] * DIMENSION), ItemError, "other than numbers"),
        (first_vector(["x"] * DIMENSION), ItemError, "other than numbers"),
        (first_vector([[1.0]] * DIMENSION), ItemError, "numbers"),
        (first_vector([0.0] * DIMENSION), ItemError, "zeros"),
        (first_vector([1e-300] * DIMENSION), ItemError, "zeros"),
        (first_vector([1.0] * 5), ConfigurationError, "gives 5 dimensions where 8 are expected"),
        (first_vector([]), ConfigurationError, "gives 0 dimensions"),
        (first_vector("base64"), ConfigurationError, "like an embedding endpoint"),
        (Reply(body=lambda _: {"models": []}), ConfigurationError, "like an embedding endpoint"),
        (Reply(body=lambda _: [1, 2]), ConfigurationError, "like an embedding endpoint"),
        (Reply(body=lambda _: "<html>Welcome</html>"), ConfigurationError, "JSON"),
        (Reply(body=lambda _: "[" * 100_000), ConfigurationError, "JSON"),
        (Reply(body=lambda _: b"\xff\xfe\x00"), ConfigurationError, "JSON"),
        (Reply(headers={"Content-Encoding": "gzip"}), ConfigurationError, "decompressed"),
    ],
)
def test_bad_answers_are_refused_at_once(
    endpoint: Endpoint, reply: Reply, error: type[IngestError], message: str
) -> None:
    with pytest.raises(error, match=message):
        model_at(endpoint.then(reply)).embed(["a", "b"])
    assert len(endpoint.requests) == 1


def test_one_model_serves_many_requests_and_survives_close(endpoint: Endpoint) -> None:
    model = model_at(endpoint)
    model.embed_query("a")
    model.close()
    model.close()
    np.testing.assert_allclose(model.embed_query("b"), unit_of("b"), atol=1e-6)


def test_a_workbench_that_is_closed_keeps_no_connection(endpoint: Endpoint, tmp_path: Path) -> None:
    """A process that watches opens one for each of its runs."""
    settings = Settings(
        _env_file=None,
        ingest_home=tmp_path,
        spark_control_url=endpoint.url,
        ingest_dense_dimension=DIMENSION,
    )
    with Workbench(settings) as bench:
        bench.dense_model.embed(["A text."])
        assert _connections_to(endpoint) == 1
    assert _connections_to(endpoint) == 0


def _connections_to(endpoint: Endpoint) -> int:
    """Those of this process that are open."""
    port = urlsplit(endpoint.url).port
    ends = psutil.Process().net_connections("tcp")
    return sum(
        bool(each.raddr) and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
        for each in ends
    )


def test_the_list_of_endpoints(endpoint: Endpoint) -> None:
    model = model_at(endpoint)
    with pytest.raises(ConfigurationError, match="404"):
        model.list_endpoints()
    endpoint.by_path["/api/endpoints"] = {"endpoints": [{"name": "a", "url": "u"}, "b"]}
    assert model.list_endpoints() == [{"name": "a", "url": "u"}, {"name": "b"}]
    endpoint.by_path["/api/endpoints"] = "nothing"
    with pytest.raises(ConfigurationError, match="list"):
        model.list_endpoints()


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_the_key_is_never_shown(endpoint: Endpoint, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    spec = DenseSpec(
        kind="endpoint",
        model="m",
        url=endpoint.url.replace("//", "//someone:hidden-pw@"),
        api_key=SecretStr(KEY),
        max_attempts=1,
    )
    endpoint.then(Reply(status, body=lambda _: said))
    with pytest.raises(IngestError) as caught:
        dense_model(spec).embed(["a"])
    shown = (
        f"{caught.value!s} {caught.value!r} {spec!r} {dense_model(spec)!r} {vars(caught.value)} {caplog.text}"
    )
    assert KEY not in shown
    assert "hidden-pw" not in shown
    assert "Traceback" not in caplog.text


def test_name_and_password_in_the_url_are_used_if_there_is_no_key(endpoint: Endpoint) -> None:
    model_at(endpoint, url=endpoint.url.replace("//", "//me:p%40ss@"), api_key=None).embed(["a"])
    assert endpoint.headers[0]["authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize(
    "changes",
    [
        {"url": None},
        {"url": "endpoint.example"},
        {"url": "ftp://endpoint.example"},
        {"url": "https://endpoint.example/?key=1"},
        {"url": "https://endpoint.example:port"},
        {"url": "https://[::1"},
        {"api_key": SecretStr("two words")},
        {"api_key": SecretStr("line\nbreak")},
        {"model": None},
    ],
)
def test_unusable_choices(changes: dict[str, Any]) -> None:
    spec = {"kind": "endpoint", "model": "m", "url": "https://endpoint.example"} | changes
    with pytest.raises(ConfigurationError):
        dense_model(DenseSpec(**spec))
