"""What is kept in a real Redis, and what becomes of it when Redis is not as it should be."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.cache import cache_of, connection, probing, redis_cache
from ingest_assets.cache.probing import probe
from ingest_assets.cache.redis_cache import RedisCache
from ingest_assets.settings import Settings
from ingest_assets_tests.support.redis_server import (
    PASSWORD,
    RedisServer,
    free_port,
    noise,
    redis_server,
    slow_way_to,
    stranger,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as one:
        yield one


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **{"redis_host": "127.0.0.1"} | given)


@pytest.fixture
def cache(server: RedisServer) -> Iterator[RedisCache]:
    server.client.flushall()
    one = cache_of(settings(**server.settings))
    assert one is not None
    yield one
    one.close()


def test_without_a_host_there_is_none() -> None:
    assert cache_of(Settings(_env_file=None)) is None


@given(key=st.text(), value=JSON)
def test_values_come_back(server: RedisServer, key: str, value: Any) -> None:
    cache = RedisCache(settings(**server.settings))
    assert cache.set_json_namespace("a", key, value)
    assert cache.set_msgpack_namespace("b", key, [value, b"bytes"])
    assert cache.get_json_namespace("a", key) == value
    assert cache.get_msgpack_namespace("b", key) == [value, b"bytes"]
    cache.close()


def test_keys_and_times(server: RedisServer, cache: RedisCache) -> None:
    cache.set_json_namespace("news", "one", {"a": 1})
    cache.set_msgpack_namespace("news", "two", 2, ttl=7)
    one, two = (f"news:{hashlib.md5(key).hexdigest()}" for key in (b"one", b"two"))
    assert json.loads(server.values()[one.encode()]) == {"a": 1}
    assert msgpack.unpackb(server.values()[two.encode()]) == 2
    assert 3_590 <= server.client.ttl(one) <= 3_600
    assert 1 <= server.client.ttl(two) <= 7


def test_a_namespace_is_deleted_and_others_stay(server: RedisServer, cache: RedisCache) -> None:
    for n in range(2_500):
        cache.set_json_namespace("many", str(n), n)
    for ns in ("man", "many2", "other"):
        cache.set_json_namespace(ns, "1", 1)
    cache.put("rag:q:abc:10", b"answer")
    assert cache.delete_namespace("many")
    assert len(server.values()) == 4
    assert cache.forget_answers()
    assert len(server.values()) == 3
    assert b"rag:q:abc:10" not in server.values()


@pytest.mark.parametrize("ns", ["", "a:b", "*", "a b", "rag:q", "x" * 201])
def test_what_is_no_namespace(cache: RedisCache, ns: str) -> None:
    for call in (
        lambda: cache.set_json_namespace(ns, "a", 1),
        lambda: cache.get_msgpack_namespace(ns, "a"),
        lambda: cache.delete_namespace(ns),
    ):
        with pytest.raises(ValueError, match="not the name of a namespace"):
            call()


@pytest.mark.parametrize("value", [b"\xff\x00", b"{", b"[" * 100_000, b"\x91" * 100_000, b"x" * (2 << 20)])
def test_foreign_values_are_absent(server: RedisServer, cache: RedisCache, value: bytes) -> None:
    server.client.set(f"a:{hashlib.md5(b'k').hexdigest()}", value)
    assert cache.get_json_namespace("a", "k") is None
    assert cache.get_msgpack_namespace("a", "k") in (None, 0x7B, 0x5B)  # some bytes are numbers
    assert cache.set_json_namespace("a", "k", 1)
    assert cache.get_json_namespace("a", "k") == 1


def test_values_of_other_types_are_absent(server: RedisServer, cache: RedisCache) -> None:
    key = f"a:{hashlib.md5(b'k').hexdigest()}"
    server.client.rpush(key, "one")
    assert cache.get_json_namespace("a", "k") is None
    assert cache.set_json_namespace("a", "k", 1)
    assert cache.get_json_namespace("a", "k") == 1


def test_what_is_too_large_is_not_kept(server: RedisServer, cache: RedisCache) -> None:
    assert not cache.put("large", b"x" * (connection.MAX_VALUE_BYTES + 1))
    assert cache.put("large", b"x" * connection.MAX_VALUE_BYTES)
    assert cache.get("large") == b"x" * connection.MAX_VALUE_BYTES
    server.client.append("large", b"x")
    assert cache.get("large") is None


def test_a_full_memory_costs_nothing_but_time(server: RedisServer, cache: RedisCache) -> None:
    server.client.config_set("maxmemory", 1)
    try:
        assert not cache.put("a", b"1")
        assert cache.get("a") == b""
    finally:
        server.client.config_set("maxmemory", 0)
    assert cache.put("a", b"1")


def test_news_of_a_build(server: RedisServer, cache: RedisCache) -> None:
    listener = server.client.pubsub()  # type: ignore[no-untyped-call]
    listener.subscribe("build_updates")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    assert cache.publish_build_update({"source": "crm"})
    told = json.loads(listener.get_message(timeout=5)["data"])
    assert datetime.fromisoformat(told.pop("timestamp")).utcoffset() is not None
    assert told == {"type": "build", "content": {"source": "crm"}}
    listener.close()


# --- A Redis that is not as it should be ----------------------------------------------------------


def took(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def test_down_and_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(redis_cache, "PAUSE_S", 0.2)
    port = free_port()
    cache = RedisCache(settings(redis_port=port, redis_password=PASSWORD))
    assert cache.get("a") is None
    assert not cache.put("a", b"1")
    assert not cache.publish_build_update({})
    assert not cache.forget_answers()
    assert caplog.text.count("Searches go on without it") == 1
    with redis_server(tmp_path, port=port) as server:
        time.sleep(0.2)
        assert cache.put("a", b"1")
        assert cache.get("a") == b"1"
        server.stop()
        assert cache.get("a") is None
    with redis_server(tmp_path, port=port):
        assert cache.get("a") is None, "it is left alone for a while"
        time.sleep(0.2)
        assert cache.get("a") == b""
    assert caplog.text.count("Searches go on without it") == 2
    assert PASSWORD not in caplog.text


def test_while_it_is_down_it_is_left_alone() -> None:
    with stranger(lambda _connection, _request: time.sleep(1)) as one:
        cache = RedisCache(settings(redis_port=one.port, redis_timeout_s=0.1))
        assert 0.05 < took(lambda: cache.get("a")) < 0.9
        assert took(lambda: [cache.get("a") for _ in range(1_000)]) < 0.1
        assert one.asked == 1


@pytest.mark.parametrize("password", ["another", None])
def test_a_wrong_password(server: RedisServer, password: str | None) -> None:
    cache = RedisCache(settings(redis_port=server.port, redis_password=password))
    assert cache.get("a") is None
    assert not cache.put("a", b"1")


def _drip(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"$100000\r\n")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.02)


def _flood(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"$1000000000\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def _says(answer: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _request: connection.sendall(answer)


@pytest.mark.parametrize(
    "answer",
    [
        noise,
        _drip,
        _flood,
        _says(b"+OK\r\n" * 50),
        _says(b":7\r\n"),
        _says(b"$-1\r\n"),
        _says(b"$-7\r\n"),
        _says(b"*-1\r\n"),
        _says(b"*2\r\n:1\r\n:2\r\n"),
        _says(b"*1000000000\r\n"),
        _says(b"*1\r\n" * 100_000),
        _says(b"$99999999999999999999999\r\nx"),
        _says(b"$nothing\r\n"),
        _says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        _says(b"-WRONGTYPE no\r\n"),
        _says(b"-LOADING soon\r\n"),
        _says(b"-" + b"E" * 10_000_000),
        _says(b"*2\r\n$1\r\n7\r\n*0\r\n"),  # to SCAN: another page, for ever
        lambda connection, _request: connection.close(),
    ],
)
def test_whatever_answers_costs_time_only(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket, bytes], None]
) -> None:
    monkeypatch.setattr(redis_cache, "PAUSE_S", 0.0)
    monkeypatch.setattr(redis_cache, "MAX_SCAN_S", 0.3)
    with stranger(answer) as one:
        cache = RedisCache(settings(redis_port=one.port, redis_timeout_s=0.3))

        def use() -> None:
            assert isinstance(cache.get("a"), bytes | None)
            assert not cache.get_json_namespace("a", "a")
            assert cache.put("a", b"1") in (True, False)
            assert cache.publish_build_update({}) in (True, False)
            assert cache.delete_namespace("a") in (True, False)

        assert took(use) < 5 * 0.3 + 1.5
        cache.close()


def test_answers_are_bounded_where_hiredis_is_installed_too(tmp_path: Path) -> None:
    """A stand-in for hiredis is enough: the client chooses its parser by that name when it is imported."""
    (tmp_path / "hiredis.py").write_text("__version__ = '3.5.0'\ndef pack_command(*_): ...\n")
    code = (
        "from redis import connection; from ingest_assets.cache.connection import connect; "
        "from ingest_assets.settings import Settings; "
        "pool = connect(Settings(_env_file=None, redis_host='127.0.0.1'), 1).connection_pool; "
        "print(connection.DefaultParser.__name__, type(pool.make_connection()._parser).__name__)"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    said = subprocess.check_output([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path})
    assert said.split() == [b"_HiredisParser", b"_RESP2Parser"]


def test_a_slow_one_is_used_within_its_time(server: RedisServer) -> None:
    server.client.flushall()
    delay = [0.05]
    with slow_way_to(server, lambda: delay[0]) as way:
        cache = RedisCache(settings(redis_port=way.port, redis_timeout_s=0.3))
        assert cache.put("a", b"1")
        assert cache.get("a") == b"1"
        delay[0] = 1.0
        assert took(lambda: cache.get("a")) < 0.9
        assert cache.get("a") is None


def test_an_encrypted_connection(server: RedisServer, tmp_path: Path) -> None:
    server.client.flushall()
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    other, file = tmp_path / "other.pem", tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    trustme.CA().cert_pem.write_to_path(str(other))
    with slow_way_to(server, lambda: 0, tls) as way:
        here = {"redis_port": way.port, "redis_password": PASSWORD, "redis_ssl": True, "redis_timeout_s": 2}
        trusting = RedisCache(settings(**here, redis_ca_file=file))
        assert trusting.put("a", b"1")
        assert trusting.get("a") == b"1"
        assert probe(settings(**here, redis_ca_file=file)).well
        for wrong in ({}, {"redis_ca_file": other}, {"redis_ca_file": tmp_path / "none.pem"}):
            assert RedisCache(settings(**here, **wrong)).get("a") is None
            found = probe(settings(**here, **wrong))
            assert (found.well, "check REDIS_HOST, REDIS_PORT and REDIS_SSL" in found.message) == (
                False,
                True,
            )


def test_threads_share_it(cache: RedisCache) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def use(n: int) -> bool:
        return cache.set_json_namespace("t", str(n), n) and cache.get_json_namespace("t", str(n)) == n

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(400)))


# --- The probe ------------------------------------------------------------------------------------


def test_a_probe_of_one_that_is_well(server: RedisServer) -> None:
    found = probe(settings(**server.settings))
    assert found.well, found.message
    assert "asks for a password" in found.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"redis_password": "another-password"}, "check REDIS_PASSWORD and REDIS_USERNAME"),
        ({"redis_password": None}, "set REDIS_PASSWORD"),
        ({"redis_username": "nobody"}, "check REDIS_PASSWORD and REDIS_USERNAME"),
        ({"redis_ssl": True}, "check REDIS_HOST, REDIS_PORT and REDIS_SSL"),
    ],
)
def test_a_probe_that_is_not_let_in(server: RedisServer, given: dict[str, Any], said: str) -> None:
    found = probe(settings(**server.settings | given))
    assert not found.well
    assert said in found.message
    assert PASSWORD not in found.message
    assert "another-password" not in found.message


def test_a_probe_of_nothing() -> None:
    found = probe(settings(redis_port=free_port()))
    assert (found.well, "does not answer" in found.message) == (False, True)


def test_a_probe_of_one_that_keeps_nothing(server: RedisServer) -> None:
    server.client.config_set("maxmemory", 1)
    try:
        found = probe(settings(**server.settings))
    finally:
        server.client.config_set("maxmemory", 0)
    assert (found.well, "does not keep values" in found.message) == (False, True)


def test_a_probe_of_one_without_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server(tmp_path, password="") as open_one:
        found = probe(settings(**open_one.settings))
        assert (found.well, "asks for no password" in found.message) == (True, True)
        with_one = probe(settings(**open_one.settings, redis_password="set-only-here"))
        assert (with_one.well, "it has no password" in with_one.message) == (False, True)
        monkeypatch.setattr(probing, "is_on_the_internet", lambda _host, _port: True)
        public = probe(settings(**open_one.settings))
        assert (public.well, "asks for no password" in public.message) == (False, True)


def test_a_probe_of_a_public_address(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "is_on_the_internet", lambda _host, _port: True)
    found = probe(settings(**server.settings))
    assert (found.well, "not encrypted" in found.message) == (False, True)
