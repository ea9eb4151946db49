"""Answers with the cache are those without it, whatever writers and Redis do meanwhile."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.cache import redis_cache
from ingest_assets.cache.lookups import LOOKUPS
from ingest_assets.fields import Condition
from ingest_assets.ledger import tables
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.queries.answers import CleanHits
from ingest_assets.queries.search import Hits, QueryError, Searcher, open_search
from ingest_assets.redaction import keep_secret
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.sources.registry import Sources
from ingest_assets_tests.support.engines import Engines
from ingest_assets_tests.support.redis_server import RedisServer, noise, redis_server, stranger
from ingest_assets_tests.support.small_parts import ToyBench, ToyModel, document

WORDS = ("crane", "heron", "stork", "rail")
PLAIN = f"rag:q:{hashlib.sha1(b'crane').hexdigest()}:10"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as one:
        yield one


class Bench(ToyBench):
    """A toy bench with a cache, whose source hides what it is told to hide."""

    def __init__(self, home: Path, **given: Any) -> None:
        super().__init__(home, **given)
        self.required: list[Condition] = []
        self.hidden: list[str] = []
        source = replace(
            CRM,
            required=lambda _bench: self.required,
            hidden=lambda _bench: self.hidden,
            hidden_by="kind",
            attributes=(*CRM.attributes, "pii"),
        )
        self.sources = Sources([source])

    def with_cache(self, query: str, **asked: Any) -> Hits:
        return open_search(self, "crm").search(query, **asked)

    def without(self, query: str, **asked: Any) -> Hits:
        return open_search(self, "crm", cached=False).search(query, **asked)

    def both(self, query: str, **asked: Any) -> Hits:
        """The answer, which is the same with the cache and without."""
        found = self.with_cache(query, **asked)
        assert same(found, self.without(query, **asked))
        return found

    @property
    def lookups(self) -> dict[str, int]:
        """Since the last time."""
        return LOOKUPS.take()


def same(one: Hits, other: Hits) -> bool:
    return replace(one, took_ms=0) == replace(other, took_ms=0)


@pytest.fixture(params=[True, False], ids=["embedded", "server"])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    one = Engines(embedded=request.param)
    yield one
    one.close()


@pytest.fixture
def bench(engines: Engines, server: RedisServer, tmp_path: Path) -> Iterator[Bench]:
    server.client.flushall()
    store = engines.lend_store()
    with Bench(tmp_path, store=store, **server.settings) as bench:
        for n, word in enumerate(WORDS):
            bench.toy.put(document(f"notes/{n}", f"{word} by the water", kind=f"kind{n % 2}"))
        bench.refresh()
        LOOKUPS.take()
        yield bench
    engines.take_store(store)


def test_the_second_answer_comes_from_the_cache(bench: Bench, server: RedisServer) -> None:
    first = bench.both("crane")
    assert first.hits
    assert bench.lookups == {"miss": 1}
    assert list(server.values()) == [PLAIN.encode()]
    assert 3_590 <= server.client.ttl(PLAIN) <= 3_600
    second = bench.both("crane")
    assert bench.lookups == {"hit": 1}
    assert same(first, second)
    assert second.to_dict(scores=True)["hits"] == first.to_dict(scores=True)["hits"]
    assert second.took_ms >= 0


def test_an_answer_from_the_cache_says_what_is_an_older_version_by_now(bench: Bench) -> None:
    """The index, and so what an answer counts for, is the same throughout."""
    assert bench.both("crane").hits[0].stale is None
    bench.toy.put(document("notes/0", "A heron by the sea"))
    bench.toy.refused["notes/0"] = "too large"
    assert bench.do("records").parked == 1
    bench.lookups  # noqa: B018 - counts from here on
    stale = bench.both("crane").hits[0].stale
    assert bench.lookups == {"hit": 1}
    assert stale == "This is an older version: the newer one was refused (too large)."
    bench.toy.put(document("notes/0", "crane by the water", kind="kind0"))
    bench.toy.refused.clear()
    bench.do("records")
    assert bench.both("crane").hits[0].stale is None
    assert bench.lookups == {"hit": 1}


def test_an_answer_needs_neither_model_nor_engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.with_cache("crane")
    monkeypatch.setattr(Searcher, "search", None)
    assert same(bench.with_cache("crane"), first)


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "dense"},
        {"mode": "sparse"},
        {"limit": 1},
        {"where": {"kind": ["kind0"]}},
        {"where": {"kind": ["kind1"]}},
        {"where": {"kind": []}},
        {"mode": "dense", "where": {"kind": ["kind1"]}},
    ],
)
def test_every_question_has_a_key_of_its_own(
    bench: Bench, server: RedisServer, asked: dict[str, Any]
) -> None:
    plain = bench.both("crane")
    other = bench.both("crane", **asked)
    assert bench.lookups == {"miss": 2}
    assert len(server.values()) == 2
    assert same(bench.both("crane", **asked), other)
    assert same(bench.both("crane"), plain)
    assert bench.lookups == {"hit": 2}
    rest = {key.decode() for key in server.values()} - {PLAIN}
    assert all(key.startswith(f"rag:q:{hashlib.sha1(b'crane').hexdigest()}:") for key in rest)


def test_wrong_questions_are_refused_as_without(bench: Bench) -> None:
    for asked in ({"query": " "}, {"query": "a", "mode": "x"}, {"query": "a", "limit": 0}):
        with pytest.raises(QueryError):
            bench.with_cache(**asked)
    with pytest.raises(QueryError, match="Cannot filter by colour"):
        bench.with_cache("a", where={"colour": ["red"]})
    assert bench.lookups == {}


def test_a_change_of_the_index_is_seen_at_once(bench: Bench) -> None:
    before = bench.both("crane")
    bench.toy.put(document("notes/9", "crane and crane"))
    bench.refresh()
    after = bench.both("crane")
    assert "notes/9" in {hit.document_id for hit in after.hits}
    del bench.toy.documents["notes/9"]
    bench.refresh()
    again = bench.both("crane")
    # A server's BM25 counts a removed point among those with a term until it has compacted the segment.
    assert [hit.document_id for hit in again.hits] == [hit.document_id for hit in before.hits]
    bench.refresh(rebuild=True)
    assert bench.both("crane").generation == before.generation + 1


def test_a_refresh_that_changes_nothing_keeps_the_answers(bench: Bench) -> None:
    bench.both("crane")
    bench.refresh()
    bench.both("crane")
    assert bench.lookups == {"miss": 1, "hit": 1}


def test_another_model(bench: Bench) -> None:
    bench.both("crane")
    bench.model = bench.__dict__["dense_model"] = ToyModel("2")
    bench.searches.clear()  # as in another process
    with pytest.raises(ConfigurationError, match="was built by the dense model"):
        bench.without("crane")
    with pytest.raises(ConfigurationError, match="was built by the dense model"):
        bench.with_cache("crane")
    assert bench.both("crane", mode="sparse").hits


def test_what_is_hidden_is_hidden_at_once(bench: Bench) -> None:
    everything = bench.both("water")
    assert {hit.kind for hit in everything.hits} == {"kind0", "kind1"}
    bench.hidden = ["kind0"]
    assert {hit.kind for hit in bench.both("water").hits} == {"kind1"}
    bench.hidden = ["kind0", "kind1"]
    assert not bench.both("water").hits
    bench.hidden, bench.required = [], [Condition("kind", values=("kind0",))]
    assert {hit.kind for hit in bench.both("water").hits} == {"kind0"}
    bench.required = []
    assert same(bench.both("water"), everything)


@pytest.mark.parametrize("change", ["hidden", "points", "generation"])
def test_what_changes_while_an_answer_is_made_keeps_it_out(
    bench: Bench, server: RedisServer, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    real = Searcher.search

    def slow(self: Searcher, query: str, **asked: Any) -> Hits:
        found = real(self, query, **asked)
        if change == "hidden":
            bench.hidden = ["kind0"]
        else:
            bench.toy.put(document("notes/8", f"another crane {change}"))
            bench.refresh(rebuild=change == "generation")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Searcher, "search", slow)
        bench.with_cache("crane")
    assert not server.values()
    bench.both("crane")


def test_a_writer_that_dies_between_two_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before it touches points until what it wrote is recorded, nothing is kept and nothing counts."""
    bench.both("crane")
    bench.toy.put(document("notes/9", "crane and crane"))
    for stage in CRM.stage_names[:-1]:
        bench.do(stage)
    died = []

    def dies(*_given: Any, **_named: Any) -> None:
        died.append(1)
        raise UnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("ingest_assets.stages.collection._Work._record", dies)
        with suppress(UnavailableError):
            bench.do("collection")
    assert died
    bench.lookups  # noqa: B018 - from now on
    assert "notes/9" in {hit.document_id for hit in bench.both("crane").hits}
    bench.both("crane")
    assert bench.lookups == {}
    bench.refresh()
    bench.both("crane")
    bench.both("crane")
    assert bench.lookups == {"miss": 1, "hit": 1}


def test_answers_about_people_are_kept_nowhere(bench: Bench, server: RedisServer) -> None:
    bench.toy.put(replace(document("notes/7", "stork with a name"), attributes={"pii": True}))
    bench.refresh()
    found = bench.both("stork")
    assert any(hit.attributes.get("pii") for hit in found.hits)
    bench.both("stork")
    assert bench.lookups == {"miss": 2}
    assert not server.values()


def test_answers_with_a_secret_are_kept_nowhere(bench: Bench, server: RedisServer) -> None:
    secret = "a-secret-of-ours-" + "q" * 12
    bench.toy.put(document("notes/7", f"stork {secret}"))
    bench.refresh()
    keep_secret(secret)
    assert secret in "".join(hit.text for hit in bench.both("stork").hits)
    assert not server.values()


def test_an_answer_that_was_kept_before_a_secret_was_known_is_not_given_again(bench: Bench) -> None:
    """It would be taken for one without secrets."""
    secret = "a-secret-known-later-" + "r" * 12
    bench.toy.put(document("notes/8", f"stork {secret}"))
    bench.refresh()
    assert not isinstance(bench.both("stork"), CleanHits)
    assert isinstance(bench.both("stork"), CleanHits)
    bench.lookups  # noqa: B018 - forgets those so far
    keep_secret(secret)
    found = [bench.both("stork") for _ in range(2)]
    assert not any(isinstance(each, CleanHits) for each in found)
    assert bench.lookups == {"miss": 2}


def test_an_index_while_the_ledger_does_not_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bench.both("crane")

    def down() -> None:
        raise UnavailableError("down")

    monkeypatch.setattr(bench.ledger, "reading", down)
    assert same(bench.both("crane"), found)


def test_another_installation_shares_redis(
    bench: Bench, engines: Engines, server: RedisServer, tmp_path: Path
) -> None:
    """The same names and the same numbers: each sees its own answers only."""
    store = engines.lend_store()
    with Bench(tmp_path / "other", store=store, **server.settings) as other:
        other.toy.put(document("notes/0", "a crane of others"))
        other.refresh()
        for _ in range(2):
            assert len(bench.both("crane").hits) == 4
            assert len(other.both("crane").hits) == 1
        assert "hit" not in bench.lookups
    engines.take_store(store)


# --- A Redis that cannot be trusted ---------------------------------------------------------------


def swapped(values: dict[bytes, bytes], chance: random.Random) -> dict[bytes, bytes]:
    """Every value under another key."""
    shuffled = list(values.values())
    chance.shuffle(shuffled)
    return dict(zip(values, shuffled, strict=True))


def broken(values: dict[bytes, bytes], chance: random.Random) -> dict[bytes, bytes]:
    """One byte of each is another."""
    spoilt = {}
    for key, value in values.items():
        at = chance.randrange(len(value))
        spoilt[key] = value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :]
    return spoilt


def cut(values: dict[bytes, bytes], chance: random.Random) -> dict[bytes, bytes]:
    return {key: value[: chance.randrange(len(value))] for key, value in values.items()}


def random_bytes(values: dict[bytes, bytes], chance: random.Random) -> dict[bytes, bytes]:
    return {key: chance.randbytes(chance.randrange(200)) for key in values}


LIES: tuple[Callable[[dict[bytes, bytes], random.Random], dict[bytes, bytes]], ...] = (
    swapped,
    broken,
    cut,
    random_bytes,
)


@pytest.mark.parametrize("lie", LIES)
def test_a_redis_that_lies_is_not_believed(
    bench: Bench, server: RedisServer, lie: Callable[[dict[bytes, bytes], random.Random], dict[bytes, bytes]]
) -> None:
    chance = random.Random(1)
    for _ in range(20):
        for word in WORDS:
            bench.both(word)
            bench.both(word, mode="dense")
        server.client.mset(lie(server.values(), chance))
    for word in WORDS:
        bench.both(word)
    assert bench.lookups["foreign"] > 20


def test_old_values_are_not_believed(bench: Bench, server: RedisServer) -> None:
    bench.both("crane")
    old = server.values()
    bench.toy.put(document("notes/9", "crane and crane"))
    bench.refresh()
    bench.both("crane")
    server.client.mset(old)
    assert len(bench.both("crane").hits) == 5


def test_an_answer_moved_to_another_question_is_foreign(bench: Bench, server: RedisServer) -> None:
    """Its state is the right one: only the key is not."""
    bench.both("crane")
    bench.both("heron")
    bench.lookups  # noqa: B018 - from now on
    server.client.copy(PLAIN, f"rag:q:{hashlib.sha1(b'heron').hexdigest()}:10", replace=True)
    assert bench.both("heron").hits[0].document_id == "notes/1"
    assert bench.lookups == {"foreign": 1}


def test_values_of_another_type_and_size(bench: Bench, server: RedisServer) -> None:
    server.client.rpush(PLAIN, "1")
    bench.both("crane")
    server.client.delete(PLAIN)
    server.client.set(PLAIN, b"ia1\0" + b"x" * (3 << 20))
    bench.both("crane")
    assert bench.lookups == {"unavailable": 2}
    bench.both("crane")
    assert bench.lookups == {"hit": 1}


def test_redis_flushed_killed_and_replaced(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_cache, "PAUSE_S", 0.0)
    store = engines.lend_store()
    with redis_server(tmp_path / "redis") as server:
        settings = server.settings | {"redis_timeout_s": 0.2}
        with Bench(tmp_path, store=store, **settings) as bench:
            bench.toy.put(document("notes/1", "crane"))
            bench.refresh()
            first = bench.both("crane")
            server.client.flushall()
            assert same(bench.both("crane"), first)
            server.stop()
            assert same(bench.both("crane"), first)
            with stranger(noise, port=server.port):
                for _ in range(5):
                    assert same(bench.both("crane"), first)
            with redis_server(tmp_path / "again", port=server.port):
                bench.lookups  # noqa: B018 - from now on
                assert same(bench.both("crane"), first)
                assert same(bench.both("crane"), first)
                assert bench.lookups == {"miss": 1, "hit": 1}
    engines.take_store(store)


# --- Any history ----------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(WORDS), st.sampled_from(("dense", "sparse", "hybrid"))),
    st.tuples(st.just("ask"), st.sampled_from(WORDS), st.just("hybrid")),
    st.tuples(st.just("put"), st.integers(0, 5), st.sampled_from(WORDS)),
    st.tuples(st.just("remove"), st.integers(0, 5), st.none()),
    st.tuples(st.just("refresh"), st.booleans(), st.none()),
    st.tuples(st.just("hide"), st.sampled_from(((), ("kind0",), ("kind1",))), st.none()),
    st.tuples(st.just("lie"), st.sampled_from(LIES), st.integers(0, 9)),
    st.tuples(st.just("replay"), st.none(), st.none()),
    st.tuples(st.just("flush"), st.none(), st.none()),
)


class History:
    """A bench, a Redis, and what became of them."""

    def __init__(self, bench: Bench, server: RedisServer) -> None:
        self.bench, self.server = bench, server
        self.old: dict[bytes, bytes] = {}

    def do(self, step: str, one: Any, other: Any) -> None:
        getattr(self, step)(one, other)

    def ask(self, word: Any, mode: Any) -> None:
        self.bench.both(word, mode=mode)
        self.old |= self.server.values()

    def put(self, n: int, word: str) -> None:
        self.bench.toy.put(document(f"notes/{n}", f"{word} {n}", kind=f"kind{n % 2}"))

    def remove(self, n: int, _: None) -> None:
        self.bench.toy.documents.pop(f"notes/{n}", None)

    def refresh(self, rebuild: Any, _: None) -> None:
        self.bench.refresh(rebuild=rebuild)

    def hide(self, kinds: tuple[str, ...], _: None) -> None:
        self.bench.hidden = list(kinds)

    def lie(self, lie: Any, seed: int) -> None:
        if values := self.server.values():
            self.server.client.mset(lie(values, random.Random(seed)))

    def replay(self, _one: None, _other: None) -> None:
        if self.old:
            self.server.client.mset(self.old)

    def flush(self, _one: None, _other: None) -> None:
        self.server.client.flushall()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=5, max_size=20))
def test_any_history(engines: Engines, server: RedisServer, tmp_path: Path, steps: list[Any]) -> None:
    server.client.flushall()
    store, ledger = engines.lend_store(), engines.lend_ledger()
    with Bench(tmp_path, store=store, ledger=ledger, **server.settings) as bench:
        bench.refresh()
        bench.lookups  # noqa: B018 - from now on
        history = History(bench, server)
        for step in steps:
            history.do(*step)
        for word in WORDS:
            bench.both(word)
            bench.both(word)
        assert "hit" in bench.lookups
    engines.take_store(store)
    engines.take_ledger(ledger)


def test_the_secret_is_drawn_once(bench: Bench) -> None:
    bench.both("crane")
    with bench.ledger.reading() as connection:
        secret = connection.scalar(tables.installation.select().with_only_columns(_secret()))
    assert len(bytes.fromhex(str(secret))) == 32
    bench.searches.clear()
    bench.both("crane")
    assert bench.lookups == {"miss": 1, "hit": 1}


def _secret() -> Any:
    return tables.installation.c.cache_secret
