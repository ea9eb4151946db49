"""A server that fails for a while, or for good, and what is written and said then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from ingest_assets.collection.server import ServerStore
from ingest_assets.model import ConfigurationError, IngestError, ItemError, UnavailableError
from ingest_assets.stages.audit import audit
from ingest_assets.stopping import patiently, stopped_by
from ingest_assets_tests.collection.faulty_store import (
    NAME,
    SEARCH,
    WRITE,
    counted_in,
    ids_in,
    searched_in,
    server,
    store,
    store_at,
)
from ingest_assets_tests.collection.points import ids_of, make_points, write
from ingest_assets_tests.support.faulty_server import Fault, FaultyServer
from ingest_assets_tests.support.small_parts import COLLECTION, ToyBench, document

__all__ = ["server", "store"]  # fixtures


PASSING = {
    "cut before": Fault(),
    "cut after": Fault(effect="after"),
    "cut in the middle": Fault(effect="half"),
    "silent": Fault(wait_s=1.5, effect="after"),
    "rate limit": Fault(429),
    "rate limit with a time": Fault(429, headers=(("Retry-After", "1"),)),
    "bad gateway": Fault(502),
    "half, then an error": Fault(500, effect="half"),
    "restarting": Fault(503),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_run_outlasts_what_passes(server: FaultyServer, store: ServerStore, fault: Fault) -> None:
    server.will(WRITE, fault, fault)
    with patiently():
        write(store, NAME, 1, make_points(range(10, 600)))
    assert server.faults == []
    assert ids_in(store) == sorted(ids_of(range(600)))


def test_a_run_gives_up_when_its_time_is_over(server: FaultyServer) -> None:
    store = store_at(server.url, retry_s=0.5)
    store.create(NAME, 1, 4)
    server.will(WRITE, *[Fault(503, "no leader")] * 1_000)
    with (
        pytest.raises(
            UnavailableError, match=rf"Qdrant at {server.url} \({NAME}__1\) answered 503"
        ) as caught,
        patiently(),
    ):
        write(store, NAME, 1, make_points(range(10)))
    assert "no leader" in str(caught.value)
    assert len(server.faults) < 999, "it was not repeated"


def test_a_cancelled_run_does_not_wait(server: FaultyServer, store: ServerStore) -> None:
    class CancelledError(Exception): ...

    asked = iter(range(100))

    def check() -> None:
        if next(asked) > 3:
            raise CancelledError

    server.will(WRITE, *[Fault(503)] * 1_000)
    with pytest.raises(CancelledError), patiently(), stopped_by(check):
        write(store, NAME, 1, make_points(range(10)))


def test_answers_are_not_compressed(server: FaultyServer, store: ServerStore) -> None:
    """A real server sends a compressed one in two parts, 40 ms apart."""
    searched_in(store)
    assert server.encodings == {"identity"}


def test_a_search_is_repeated_once(server: FaultyServer, store: ServerStore) -> None:
    server.will(SEARCH, Fault())
    assert searched_in(store) == ids_of([4])[0]
    server.will(SEARCH, Fault(503), Fault(503), Fault(503))
    with pytest.raises(UnavailableError):
        searched_in(store)
    assert len(server.faults) == 1


def test_a_silent_server_is_told_with_the_setting(server: FaultyServer, store: ServerStore) -> None:
    server.will(SEARCH, *[Fault(wait_s=1.3)] * 3)
    with pytest.raises(UnavailableError, match=r"did not answer within 1 s.*QDRANT_SEARCH_TIMEOUT_S"):
        searched_in(store)


@pytest.mark.parametrize("headers", [(), (("Retry-After", "60"),)])
def test_a_rate_limit_is_told_in_the_servers_words(
    server: FaultyServer, store: ServerStore, headers: tuple[tuple[str, str], ...]
) -> None:
    server.will(SEARCH, *[Fault(429, "Read rate limit exceeded", headers=headers)] * 3)
    with pytest.raises(UnavailableError, match=r"answered 429: Read rate limit exceeded\. It takes no more"):
        searched_in(store)


REQUESTS = [
    "GET /$", "GET /aliases$", "GET /collections$", "GET /collections/[^/]+$", "GET .*/cluster$",
    "PUT /collections/[^/]+$", "PUT .*/index$", "PUT .*/points$", "PATCH ", "POST /collections/aliases$",
    "DELETE ", "POST .*/points/delete$", "POST .*/query/batch$", "POST .*/count$",
]  # fmt: skip


@pytest.mark.parametrize("effect", ["before", "after"])
def test_a_run_repeats_whatever_was_cut(
    tmp_path: Path, server: FaultyServer, effect: Literal["before", "after"]
) -> None:
    """Three builds, a change and a removal, in which the first request of each kind gets no answer."""
    server.plans = {kind: [Fault() if kind.startswith("GET") else Fault(effect=effect)] for kind in REQUESTS}
    with ToyBench(tmp_path, store=store_at(server.url)) as bench:
        bench.toy.put(*(document(f"notes/{n}", f"Text of note {n}.") for n in range(4)))
        bench.refresh()
        bench.refresh(rebuild=True)
        bench.toy.put(document("notes/0", "Edited since."))
        del bench.toy.documents["notes/1"]
        bench.refresh()
        bench.refresh(rebuild=True)  # which drops the first generation
        assert server.faults == [], server.plans
        assert audit(bench.collection("crm"), bench.ledger).agrees
        assert bench.store.generations(COLLECTION) == [2, 3]
        assert bench.store.live(COLLECTION) == 3
        bench.engine.close()


LASTING: dict[str, tuple[Fault, type[IngestError], str]] = {
    "no key": (Fault(401), ConfigurationError, "answered 401.*Check QDRANT_API_KEY"),
    "a key that may only read": (
        Fault(403, "Global manage access is required"),
        ConfigurationError,
        "manage access is required.*a run one that may manage collections",
    ),
    "a full disk": (Fault(507, "disk"), UnavailableError, "answered 507.*free disk space"),
    "a full disk, in words": (
        Fault(500, "Service internal error: No space left on device"),
        UnavailableError,
        "no room left",
    ),
    "a limit": (Fault(400, "Limit exceeded 9 > 5"), ConfigurationError, "Limit exceeded 9 > 5.*strict mode"),
    "a limit of points": (
        Fault(400, "Wrong input: Max points count limit of 9 reached!"),
        ConfigurationError,
        "count limit of 9 reached!.*strict mode",
    ),
    "a limit of memory": (
        Fault(400, "Wrong input: Resident memory usage is at 9% of total memory. Help: Reduce memory usage"),
        ConfigurationError,
        "Reduce memory usage.*strict mode",
    ),
    "a limit of the disk": (
        Fault(400, "Disk usage is at 91% of total capacity, exceeding the configured limit of 90%."),
        UnavailableError,
        "at 91% of total.*free disk space",
    ),
    "a wrong request": (Fault(422, "vector is no vector"), ItemError, "answered 422: vector is no vector"),
    "a redirect": (Fault(302), ConfigurationError, "set QDRANT_URL to where it leads"),
    "a lost collection": (
        Fault(404, "Not found: Collection"),
        UnavailableError,
        "`ingest refresh` builds it",
    ),
    "a lost method": (Fault(501), ConfigurationError, "too old"),
}


@pytest.mark.parametrize(("fault", "kind", "said"), LASTING.values(), ids=LASTING)
def test_what_does_not_pass_ends_the_run_at_once(
    server: FaultyServer, store: ServerStore, fault: Fault, kind: type[IngestError], said: str
) -> None:
    server.will(WRITE, fault, fault)
    with pytest.raises(kind, match=rf"^Qdrant at {server.url} \({NAME}__1\) .*{said}"), patiently():
        write(store, NAME, 1, make_points(range(10, 20)))
    assert len(server.faults) == 1
    assert ids_in(store) == sorted(ids_of(range(10)))


def test_a_request_of_more_points_than_pass_in_a_minute_is_split(
    server: FaultyServer, store: ServerStore
) -> None:
    server.will(WRITE, Fault(429, "Write rate limit exceeded, … please try to split your request"))
    with patiently():
        write(store, NAME, 1, make_points(range(10, 20)))
    assert ids_in(store) == sorted(ids_of(range(20)))


def test_requests_that_are_too_long_for_a_proxy_are_split(server: FaultyServer, store: ServerStore) -> None:
    server.largest = 20_000
    write(store, NAME, 1, make_points(range(10, 300), text="long " * 100))
    assert ids_in(store) == sorted(ids_of(range(300)))
    with pytest.raises(UnavailableError, match=r"answered 413.*raise that limit"):
        write(store, NAME, 1, make_points([300], text="long " * 10_000))


@pytest.mark.parametrize(
    "strict",
    [
        {"upsert_max_batchsize": 7, "max_query_limit": 3},
        {"search_allow_exact": False},
        {"upsert_max_batchsize": 25, "search_allow_exact": False, "max_query_limit": 50},
    ],
)
def test_limits_of_strict_mode_are_kept(server: FaultyServer, strict: dict[str, object]) -> None:
    server.strict = strict
    store = store_at(server.url)
    store.create(NAME, 1, 4)
    write(store, NAME, 1, make_points(range(60)))
    store.publish(NAME, 1)
    with store.reader(NAME) as reader:
        assert reader.count() == 60
        assert sorted(key for key, _ in reader.scan()) == sorted(ids_of(range(60)))
        assert len(reader.payloads(ids_of(range(60)))) == 60
    store.close()


@pytest.mark.parametrize(
    ("strict", "work"),
    [
        ({"upsert_max_batchsize": 7}, lambda store: write(store, NAME, 1, make_points(range(60, 90)))),
        ({"max_query_limit": 3}, ids_in),
        ({"search_allow_exact": False}, counted_in),
    ],
)
def test_limits_that_were_just_lowered_are_kept_from_the_second_attempt_on(
    server: FaultyServer,
    store: ServerStore,
    strict: dict[str, object],
    work: Callable[[ServerStore], object],
) -> None:
    write(store, NAME, 1, make_points(range(10, 60)))
    assert len(ids_in(store)) == counted_in(store) == 60
    server.strict = strict
    with pytest.raises(ConfigurationError, match=r"strict mode.*try again"):
        work(store)
    work(store)


def test_requests_that_a_proxy_cuts_without_a_word_are_split(
    server: FaultyServer, store: ServerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_assets.collection.server.connection._BACKOFF_S", 0.01)
    server.cuts_above = 100_000
    with patiently():
        write(store, NAME, 1, make_points(range(10, 300), text="long " * 100))
    assert ids_in(store) == sorted(ids_of(range(300)))
