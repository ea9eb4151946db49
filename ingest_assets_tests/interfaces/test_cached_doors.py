"""Every door gives the answers of the cache, and they are those that it gives without one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.cache.lookups import LOOKUPS
from ingest_assets_tests.interfaces.http.served import served
from ingest_assets_tests.interfaces.mcp.agents import serve
from ingest_assets_tests.support.built_index import Home, ingest
from ingest_assets_tests.support.fixtures import IngestHere, built, built_once, ingest_here
from ingest_assets_tests.support.redis_server import PASSWORD, RedisServer, free_port, redis_server

__all__ = ["built", "built_once", "ingest_here"]

QUERY = "renewal of the contract"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        LOOKUPS.take()
        yield server


def alike(answer: dict[str, Any]) -> dict[str, Any]:
    """Without the time that it took."""
    assert answer["took_ms"] >= 0
    return answer | {"took_ms": 0}


def test_programs(built: Home, redis: RedisServer) -> None:
    with served(built) as plain, plain.client() as client:
        wanted = [alike(client.get("/search", params=asked).json()) for asked in ASKED]
        assert "ingest_cache_lookups" not in client.get("/metrics").text
    for workers in (0, 2):
        redis.client.flushall()
        with (
            served(built, **redis.settings, ingest_http_search_workers=workers) as server,
            server.client() as client,
        ):
            before = lookups(client.get("/metrics").text)
            for _ in range(2):
                assert [alike(client.get("/search", params=asked).json()) for asked in ASKED] == wanted
            after = lookups(client.get("/metrics").text)
            assert after["hit"] - before["hit"] >= len(ASKED)
            assert after["miss"] - before["miss"] >= len(ASKED)
            redis.client.flushall()
            assert client.get("/ready").json()["status"] == "ready"
            asked = hashlib.sha1(b"ready").hexdigest()
            assert not [key for key in redis.values() if asked in key.decode()], "it asks the index itself"


ASKED: tuple[dict[str, Any], ...] = (
    {"query": QUERY},
    {"query": QUERY, "mode": "dense", "limit": 3},
    {"query": QUERY, "filter": ["kind=email"]},
    {"query": "Ünïcode ünd \u2603", "limit": 100},
)


def lookups(metrics: str) -> dict[str, float]:
    lines = [line for line in metrics.splitlines() if line.startswith("ingest_cache_lookups_total")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}


def test_agents(built: Home, redis: RedisServer) -> None:
    with serve(built) as plain:
        wanted = [alike(plain.call("search", query=QUERY, **more).ok()) for more in ({}, {"mode": "sparse"})]
    with serve(built.with_settings(**redis.settings)) as server:
        for _ in range(2):
            assert [
                alike(server.call("search", query=QUERY, **more).ok()) for more in ({}, {"mode": "sparse"})
            ] == wanted
    assert LOOKUPS.take() == {"miss": 2, "hit": 2}


def test_people(built: Home, redis: RedisServer, ingest_here: IngestHere) -> None:
    asked = ("search", QUERY, "--json")
    wanted = alike(json.loads(ingest_here(built, *asked).out))
    cached = built.with_settings(**redis.settings)
    for _ in range(2):
        said = ingest_here(cached, *asked)
        assert (alike(json.loads(said.out)), said.err) == (wanted, "")
    assert LOOKUPS.take() == {"miss": 1, "hit": 1}


def test_people_while_redis_is_down(built: Home) -> None:
    down = built.with_settings(redis_host="127.0.0.1", redis_port=free_port(), redis_password=PASSWORD)
    said = ingest(down, "search", QUERY, "--json")
    assert (said.status, len(json.loads(said.out)["hits"])) == (0, 10)
    assert "Redis does not answer" in said.err
    assert PASSWORD not in said.everything


def test_the_doctor_looks_at_redis(built: Home, redis: RedisServer, ingest_here: IngestHere) -> None:
    def found(home: Home) -> dict[str, Any]:
        said = ingest_here(home, "doctor", "--json")
        assert PASSWORD not in said.everything
        return next(each for each in json.loads(said.out)["findings"] if each["name"] == "redis")

    assert found(built)["state"] == "not configured"
    assert found(built.with_settings(**redis.settings))["state"] == "ok"
    refused = found(built.with_settings(**redis.settings | {"redis_password": "of-another-one"}))
    assert (refused["state"], "check REDIS_PASSWORD" in refused["message"]) == ("wrong", True)


def test_the_doctor_says_which_variable_names_the_ledger(built: Home, ingest_here: IngestHere) -> None:
    named = built.with_settings(database_url=f"sqlite:///{built.path / 'ingest' / 'ledger.sqlite'}")
    said = ingest_here(named, "doctor", "--json")
    message = next(each for each in json.loads(said.out)["findings"] if each["name"] == "ledger")["message"]
    assert "(from DATABASE_URL)" in message
