"""A server that fails for a while, or for good, and what is written and said then."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Literal

import pytest
import trustme

from ingest_assets.collection.base import Leg
from ingest_assets.collection.marks import Mark
from ingest_assets.collection.server import Connection, Endpoint, ServerStore
from ingest_assets.collection.server.tls import Tls
from ingest_assets.ledger.installation import Installation
from ingest_assets.model import ConfigurationError, IngestError, ItemError, UnavailableError
from ingest_assets.queries.doctor import _store as store_findings
from ingest_assets.queries.status import source_status
from ingest_assets.stages.audit import audit
from ingest_assets.stopping import patiently, stopped_by
from ingest_assets_tests.collection.points import dense, ids_of, make_points, write
from ingest_assets_tests.support.faulty_server import Fault, FaultyServer, faulty_server
from ingest_assets_tests.support.small_parts import COLLECTION, ToyBench, document

NAME = "test_chunks"
WRITE, SEARCH, ALL = "PUT .*/points$", "/points/query/batch$", ""


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as one:
        yield one


def _store(*urls: str, **settings: object) -> ServerStore:
    endpoint = replace(Endpoint(urls=urls, retry_s=20, search_timeout_s=1, write_timeout_s=1), **settings)  # type: ignore[arg-type]
    return ServerStore(Connection(endpoint))


@pytest.fixture
def store(server: FaultyServer) -> Iterator[ServerStore]:
    """Generation 1 of ten points, live."""
    one = _store(server.url)
    one.create(NAME, 1, 4)
    write(one, NAME, 1, make_points(range(10)))
    one.publish(NAME, 1)
    yield one
    one.close()


def _ids(store: ServerStore) -> list[str]:
    with store.reader(NAME) as reader:
        return sorted(key for key, _ in reader.scan())


def _search(store: ServerStore) -> str:
    with store.reader(NAME) as reader:
        return reader.query([Leg("dense", dense=dense(4))], limit=1)[0][0].id


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
    assert _ids(store) == sorted(ids_of(range(600)))


def test_a_run_gives_up_when_its_time_is_over(server: FaultyServer) -> None:
    store = _store(server.url, retry_s=0.5)
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
    _search(store)
    assert server.encodings == {"identity"}


def test_a_search_is_repeated_once(server: FaultyServer, store: ServerStore) -> None:
    server.will(SEARCH, Fault())
    assert _search(store) == ids_of([4])[0]
    server.will(SEARCH, Fault(503), Fault(503), Fault(503))
    with pytest.raises(UnavailableError):
        _search(store)
    assert len(server.faults) == 1


def test_a_silent_server_is_told_with_the_setting(server: FaultyServer, store: ServerStore) -> None:
    server.will(SEARCH, *[Fault(wait_s=1.3)] * 3)
    with pytest.raises(UnavailableError, match=r"did not answer within 1 s.*QDRANT_SEARCH_TIMEOUT_S"):
        _search(store)


@pytest.mark.parametrize("headers", [(), (("Retry-After", "60"),)])
def test_a_rate_limit_is_told_in_the_servers_words(
    server: FaultyServer, store: ServerStore, headers: tuple[tuple[str, str], ...]
) -> None:
    server.will(SEARCH, *[Fault(429, "Read rate limit exceeded", headers=headers)] * 3)
    with pytest.raises(UnavailableError, match=r"answered 429: Read rate limit exceeded\. It takes no more"):
        _search(store)


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
    with ToyBench(tmp_path, store=_store(server.url)) as bench:
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
    assert _ids(store) == sorted(ids_of(range(10)))


def test_a_request_of_more_points_than_pass_in_a_minute_is_split(
    server: FaultyServer, store: ServerStore
) -> None:
    server.will(WRITE, Fault(429, "Write rate limit exceeded, … please try to split your request"))
    with patiently():
        write(store, NAME, 1, make_points(range(10, 20)))
    assert _ids(store) == sorted(ids_of(range(20)))


def test_requests_that_are_too_long_for_a_proxy_are_split(server: FaultyServer, store: ServerStore) -> None:
    server.largest = 20_000
    write(store, NAME, 1, make_points(range(10, 300), text="long " * 100))
    assert _ids(store) == sorted(ids_of(range(300)))
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
    store = _store(server.url)
    store.create(NAME, 1, 4)
    write(store, NAME, 1, make_points(range(60)))
    store.publish(NAME, 1)
    with store.reader(NAME) as reader:
        assert reader.count() == 60
        assert sorted(key for key, _ in reader.scan()) == sorted(ids_of(range(60)))
        assert len(reader.payloads(ids_of(range(60)))) == 60
    store.close()


def test_requests_that_a_proxy_cuts_without_a_word_are_split(
    server: FaultyServer, store: ServerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_assets.collection.server.connection._BACKOFF_S", 0.01)
    server.cuts_above = 100_000
    with patiently():
        write(store, NAME, 1, make_points(range(10, 300), text="long " * 100))
    assert _ids(store) == sorted(ids_of(range(300)))


def _publish(url: str, generation: int) -> None:
    one = _store(url)
    one.create(NAME, generation, 4)
    write(one, NAME, generation, make_points(range(generation)))
    one.publish(NAME, generation)
    one.close()


def test_a_key_that_may_read_the_name_alone(server: FaultyServer) -> None:
    """Such a key sees no generation, and needs no change when the next one is published."""
    reader = _store(server.url, api_key="k3y-of-qdrant")
    _publish(server.url, 7)
    for generation in (7, 8):
        server.readable = frozenset({NAME})
        assert reader.live(NAME) == generation
        assert _search(reader) == ids_of([4])[0]
        assert _ids(reader) == sorted(ids_of(range(generation)))
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
    with ToyBench(tmp_path, store=_store(server.url, api_key="k3y-of-qdrant")) as bench:
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
    reader = _store(server.url, api_key="k3y-of-qdrant")
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
    store = _store(server.url)
    store.create(NAME, 1, 4)
    server.shards, server.status = shards, "green" if shards else "yellow"
    store._indexing_timeout_s = 0
    with pytest.raises(UnavailableError, match=rf"was not ready within 0 s: .*{remedy}"):
        store.settle(NAME, 1)
    assert store.live(NAME) is None
    store.close()


def test_a_generation_that_failed_is_not_published(server: FaultyServer) -> None:
    store = _store(server.url)
    store.create(NAME, 1, 4)
    server.status = "red"
    said = rf"Qdrant at {server.url} \({NAME}__1\) failed: red.*See its log. It was not published"
    with pytest.raises(UnavailableError, match=said):
        store.settle(NAME, 1)
    assert store.live(NAME) is None
    store.close()


def test_status_tells_that_points_are_gone_from_the_server(server: FaultyServer, tmp_path: Path) -> None:
    with ToyBench(tmp_path, store=_store(server.url)) as bench:
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
    both = _store(away, server.url)
    assert _search(both) == ids_of([4])[0]
    server.will(ALL)
    assert _search(both) == ids_of([4])[0]  # without asking the other one first
    nowhere = _store(away, "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match="does not answer"):
        nowhere.live(NAME)


def test_a_node_that_lags_behind_is_outvoted() -> None:
    with faulty_server() as first, faulty_server() as second, faulty_server() as third:
        for server, generation in ((first, 3), (second, 4), (third, 4)):
            _publish(server.url, generation)
        store = _store(first.url, second.url, third.url)
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
    both = _store(server.url, "http://127.0.0.1:9")
    assert both.layout != _store(server.url).layout, "a run would not notice"
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
    assert _store(server.url).adapt(NAME, 1)
    assert server.copied == []


def test_an_old_server_is_named(server: FaultyServer) -> None:
    for version, said in (("1.15.4", "1.16 or newer is needed"), ("7.0.0", "upgrade Ingest Assets")):
        server.version = version
        with pytest.raises(ConfigurationError, match=f"is version {version}.*{said}"):
            _store(server.url).live(NAME)


@pytest.mark.parametrize("url", ["http://qdrant.example:6333", "http://10.0.0.7:6333"])
def test_a_key_is_not_sent_unencrypted_to_other_machines(url: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"unencrypted to {url}.*QDRANT_KEY_OVER_HTTP") as caught:
        _store("http://localhost:6333", url, api_key="k3y-of-qdrant")
    assert "k3y" not in str(caught.value)
    _store(url, api_key="k3y-of-qdrant", key_over_http=True)
    _store(url)
    _store(url.replace("http:", "https:"), api_key="k3y-of-qdrant")


class Certificates:
    """An authority, and the files that it issued."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        issued = self.authority.issue_cert("client.example")
        self.client, self.key = folder / "client.pem", folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(str(self.client))
        issued.private_key_pem.write_to_path(str(self.key))

    def serving(self, name: str = "127.0.0.1", not_after: datetime | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name, not_after=not_after).configure_cert(context)
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_an_authority_of_ones_own(certificates: Certificates, tmp_path: Path) -> None:
    with faulty_server(certificates.serving()) as server:
        with pytest.raises(ConfigurationError, match=r"the TLS connection was refused.*QDRANT_CA_FILE"):
            _store(server.url).live(NAME)
        assert _store(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME) is None
        assert _store(server.url, tls=Tls(verify=False)).live(NAME) is None
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        with pytest.raises(ConfigurationError, match="the TLS connection was refused"):
            _store(server.url, tls=Tls(ca_file=other)).live(NAME)


def test_a_server_that_uses_tls_is_not_asked_without() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def alert() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46\r\n")  # as a server answers in TLS

        Thread(target=alert, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=rf"Qdrant at {url} .*has to begin with https://"):
            _store(url).live(NAME)


def test_a_certificate_for_another_host(certificates: Certificates) -> None:
    with (
        faulty_server(certificates.serving("elsewhere.example")) as server,
        pytest.raises(ConfigurationError, match="valid and for this host"),
    ):
        _store(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME)


def test_a_certificate_that_ran_out(certificates: Certificates) -> None:
    context = certificates.serving(not_after=datetime(2020, 1, 1, tzinfo=UTC))
    with (
        faulty_server(context) as server,
        pytest.raises(ConfigurationError, match=r": its certificate ran out on 2020-01-01\. Renew it\.$"),
    ):
        _store(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME)


def test_a_client_certificate(certificates: Certificates) -> None:
    context = certificates.serving()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    with faulty_server(context) as server:
        own = Tls(ca_file=certificates.ca, cert_file=certificates.client, key_file=certificates.key)
        assert _store(server.url, tls=own).live(NAME) is None
        with pytest.raises(IngestError, match=rf"Qdrant at {server.url}"):
            _store(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME)


def test_files_that_are_no_certificates(certificates: Certificates, tmp_path: Path) -> None:
    empty, gone = tmp_path / "empty.pem", tmp_path / "gone.pem"
    empty.touch()
    for tls, expected in (
        (Tls(ca_file=gone), "QDRANT_CA_FILE names"),
        (Tls(cert_file=gone), "QDRANT_CLIENT_CERT_FILE names"),
        (Tls(cert_file=certificates.client, key_file=gone), "QDRANT_CLIENT_KEY_FILE names"),
        (Tls(cert_file=empty, key_file=certificates.key), "not a PEM certificate"),
        (Tls(key_file=certificates.key), "without QDRANT_CLIENT_CERT_FILE"),
        (Tls(ca_file=empty), "empty.pem"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            _store("https://localhost", tls=tls)


ASKING = """
import sys
from ingest_assets.collection.server import Connection, Endpoint
try:
    endpoint = Endpoint(urls=["https://127.0.0.1:9"], grpc_port=int(sys.argv[1]))
    Connection(endpoint).ask("search", "", lambda client: client.get_aliases())
except Exception as error:
    print(error)
"""


def test_certificates_over_grpc(certificates: Certificates) -> None:
    """What answers has the certificate and none of the methods: it says so if the connection is secured."""
    import grpc

    issued = certificates.authority.issue_cert("127.0.0.1")
    pair = (issued.private_key_pem.bytes(), b"".join(each.bytes() for each in issued.cert_chain_pems))
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    for tls, expected in (
        (Tls(ca_file=certificates.ca), "answered 501"),
        (Tls(verify=False), "answered 501"),
        (Tls(), "the TLS connection was refused.*QDRANT_CA_FILE"),
    ):
        connection = Connection(Endpoint(urls=["https://127.0.0.1:9"], grpc_port=port, tls=tls))
        with pytest.raises(ConfigurationError, match=expected) as caught:
            connection.ask("admin", NAME, lambda client: client.get_aliases())
        assert "\n" not in str(caught.value)
        connection.close()
    elsewhere = certificates.authority.issue_cert("elsewhere.example")
    pair = (elsewhere.private_key_pem.bytes(), elsewhere.cert_chain_pems[0].bytes())
    another = grpc.server(ThreadPoolExecutor(1))
    at = another.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    another.start()
    tls = Tls(ca_file=certificates.ca)
    connection = Connection(Endpoint(urls=["https://127.0.0.1:9"], grpc_port=at, tls=tls))
    with pytest.raises(ConfigurationError, match=r"the TLS connection was refused.*for this host"):
        connection.ask("admin", NAME, lambda client: client.get_aliases())
    connection.close()
    another.stop(None)
    # The library prints lines of its own, unless it was told before it was loaded.
    ran = subprocess.run(
        [sys.executable, "-c", ASKING, str(port)], capture_output=True, text=True, timeout=60, check=True
    )
    server.stop(None)
    assert (ran.stderr, len(ran.stdout.splitlines())) == ("", 1)
