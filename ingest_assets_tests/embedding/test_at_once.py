"""Requests side by side: in order, never more than the bound, which follows what the endpoint can do."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.embedding.at_once import ONE_REFUSAL_S, Concurrency
from ingest_assets.model import ItemError
from ingest_assets.quoting import quotes_allowed, without_quotes
from ingest_assets.stopping import stopped_by
from ingest_assets_tests.embedding.endpoint_server import Reply, good_answer, model_at, serving, unit_of

MOST = 8


class _Counted:
    """An answer that notes how many requests are under way, and waits until it may be given."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self.now = self.most = 0

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self._seconds)
        with self._lock:
            self.now -= 1
        return good_answer(body)


def test_several_requests_are_under_way_and_never_more_than_is_allowed() -> None:
    counted = _Counted(0.05)
    with serving() as endpoint:
        endpoint.usual = Reply(body=counted)
        texts = [f"text {n}" for n in range(60)]
        model = model_at(endpoint, batch_count=2, concurrency=5)
        vectors = model.embed(texts)
    np.testing.assert_allclose(vectors, [unit_of(text) for text in texts], atol=1e-6)
    assert 2 <= counted.most <= 5
    assert sorted(t for request in endpoint.requests for t in request["input"]) == sorted(texts)


def test_one_at_a_time_if_the_settings_say_so() -> None:
    counted = _Counted(0.01)
    with serving() as endpoint:
        endpoint.usual = Reply(body=counted)
        model_at(endpoint, batch_count=1, concurrency=1).embed([f"text {n}" for n in range(8)])
    assert counted.most == 1


def test_a_refused_request_is_raised_and_no_further_ones_are_sent() -> None:
    with serving() as endpoint:
        endpoint.usual = Reply(400, body=lambda _: {"error": "no"})
        with pytest.raises(ItemError, match="answered 400"):
            model_at(endpoint, batch_count=1, concurrency=2).embed([f"text {n}" for n in range(50)])
        assert len(endpoint.requests) <= 2


def test_too_much_is_asked_again_and_less_at_once() -> None:
    with serving() as endpoint:
        endpoint.then(*[Reply(429, headers={"Retry-After": "0"})] * 2)
        model = model_at(endpoint, batch_count=1, concurrency=MOST)
        vectors = model.embed(list("abcdef"))
        assert len(endpoint.requests) == len("abcdef") + 2
    np.testing.assert_allclose(vectors, [unit_of(text) for text in "abcdef"], atol=1e-6)


@given(st.lists(st.sampled_from([0.0, 1.0, 3.0, 10.0, None])), st.integers(1, MOST))
def test_the_bound_stays_within_the_settings(events: list[float | None], most: int) -> None:
    concurrency = Concurrency(most)
    for seconds in events:
        if seconds is None:
            concurrency.refused()
        else:
            concurrency.answered(seconds, concurrency.bound)
        assert 1 <= concurrency.bound <= most


@pytest.mark.parametrize(("at_a_time", "least", "most"), [(1, 1, 3), (3, 2, 5), (20, 5, MOST)])
def test_as_many_as_the_server_works_on_at_a_time(at_a_time: int, least: int, most: int) -> None:
    bounds = _bounds(Concurrency(MOST), at_a_time)
    assert least <= min(bounds)
    assert max(bounds) <= most
    assert max(bounds) > 1 or at_a_time == 1


def test_a_server_that_works_on_fewer_than_before_is_asked_less() -> None:
    concurrency = Concurrency(MOST)
    assert max(_bounds(concurrency, at_a_time=MOST)) == MOST
    assert max(_bounds(concurrency, at_a_time=2)) <= 5
    assert max(_bounds(concurrency, at_a_time=MOST)) == MOST


def test_a_server_that_takes_longer_for_each_is_asked_as_much_as_before() -> None:
    concurrency = Concurrency(MOST)
    _bounds(concurrency, at_a_time=MOST)
    assert min(_bounds(concurrency, at_a_time=MOST, seconds=30.0)) >= MOST // 2


def test_refusals_of_requests_that_were_under_way_together_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("ingest_assets.embedding.at_once.time.monotonic", lambda: now[0])
    concurrency = Concurrency(MOST)
    while concurrency.bound < MOST:
        concurrency.answered(1.0, concurrency.bound)
    for _ in range(5):
        concurrency.refused()
    assert concurrency.bound == MOST // 2
    now[0] += ONE_REFUSAL_S
    concurrency.refused()
    assert concurrency.bound == MOST // 4
    assert max(_bounds(concurrency, at_a_time=MOST)) == MOST


def test_a_check_ends_the_wait() -> None:
    class _StopError(Exception):
        pass

    def check() -> None:
        raise _StopError

    never = threading.Event()
    with pytest.raises(_StopError), stopped_by(check):
        Concurrency(MOST).each(lambda _: never.wait(60), [1, 2, 3])
    never.set()


def test_what_may_not_be_quoted_is_not_quoted_by_requests_either() -> None:
    with without_quotes():
        assert Concurrency(MOST).each(lambda _: quotes_allowed(), [1, 2, 3]) == [False] * 3
    assert Concurrency(MOST).each(lambda _: quotes_allowed(), [1, 2, 3]) == [True] * 3


def _bounds(concurrency: Concurrency, at_a_time: int, seconds: float = 1.0) -> list[int]:
    """The bounds that it uses for a server which works on some requests at a time, once it knows it."""
    found: list[int] = []
    for _ in range(600):
        found.append(concurrency.bound)
        concurrency.answered(seconds * max(1.0, concurrency.bound / at_a_time), concurrency.bound)
    return found[300:]
