"""Limits: too many requests, too many at once, too slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from ingest_assets.interfaces.http import connections
from ingest_assets.interfaces.limits import BURST_S, REMEMBERED, Buckets
from ingest_assets.queries.search import Searcher
from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, served
from ingest_assets_tests.support.built_index import Home


def test_buckets_fill_at_their_rate() -> None:
    now = 0.0
    buckets = Buckets(10, lambda: now)
    assert [buckets.take("a") for _ in range(int(10 * BURST_S))] == [0.0] * 20
    assert buckets.take("a") == pytest.approx(0.1)
    assert buckets.take("b") == 0.0
    now = 0.35
    assert [buckets.take("a") for _ in range(3)] == [0.0] * 3
    assert buckets.take("a") == pytest.approx(0.05)
    for i in range(REMEMBERED + 10):
        buckets.take(str(i))
    assert len(buckets._buckets) == REMEMBERED


def test_a_client_that_sends_too_many_requests_is_told_when_to_retry(built_once: Home) -> None:
    slow: dict[str, Any] = {"ingest_http_rate_per_s": 1.0, "ingest_api_tokens": TOKENS}
    with (
        served(built_once, **slow) as server,
        server.client(READER) as reader,
        server.client(AGENT) as agent,
        server.client() as nobody,
    ):
        assert [reader.get("/status").status_code for _ in range(3)] == [200, 200, 429]
        answer = reader.get("/status")
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "too_many_requests"
        assert agent.get("/status").status_code == 200
        # Guessing tokens is limited as well, by address.
        assert [nobody.get("/status").status_code for _ in range(3)] == [401, 401, 429]
        assert [reader.get("/health").status_code for _ in range(5)] == [200] * 5


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Searches for "slow" do not end until it is set."""
    release, real = Event(), Searcher._legs

    def slow(self: Searcher, query: str, mode: str, generation: int) -> object:
        if query == "slow":
            release.wait(30)
        return real(self, query, mode, generation)  # type: ignore[arg-type]

    monkeypatch.setattr(Searcher, "_legs", slow)
    yield release
    release.set()


def test_searches_beyond_the_queue_are_told_to_retry(built_once: Home, held: Event) -> None:
    limits: dict[str, Any] = {"ingest_http_search_queue": 2}
    with served(built_once, **limits) as server, server.client() as client, ThreadPoolExecutor(3) as threads:
        _wait_until(server.service.pool, 0)  # it warms up
        asked = [threads.submit(client.get, "/search", params={"query": "slow"}) for _ in range(3)]
        _wait_until(server.service.pool, 3)
        refused = client.get("/search", params={"query": "contract"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "busy"
        assert client.get("/health").status_code == 200  # the event loop is free
        assert client.get("/status").status_code == 200
        held.set()
        assert [answer.result().status_code for answer in asked] == [200] * 3
        assert client.get("/search", params={"query": "contract"}).status_code == 200


def test_a_request_that_takes_too_long_is_cancelled(built_once: Home, held: Event) -> None:
    with served(built_once, ingest_http_timeout_s=0.3) as server, server.client() as client:
        _wait_until(server.service.pool, 0)
        answer = client.get("/search", params={"query": "slow"})
        assert answer.status_code == 504
        assert server.service.pool.taken == 1  # its thread is still busy, and counts
        held.set()
        _wait_until(server.service.pool, 0)
        assert client.get("/search", params={"query": "contract"}).status_code == 200
        # A body that never arrives.
        with server.connect() as connection:
            head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: 20\r\n\r\n{")
            assert connection.recv(100).startswith(b"HTTP/1.1 504")


def test_a_silent_client_is_disconnected(built_once: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.3)
    with served(built_once) as server:
        for said in (b"", b"GET /heal"):
            with server.connect() as connection:
                connection.sendall(said)
                assert connection.recv(100) == b""


def _wait_until(pool: object, taken: int) -> None:
    deadline = time.monotonic() + 10
    while pool.taken != taken:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.01)
