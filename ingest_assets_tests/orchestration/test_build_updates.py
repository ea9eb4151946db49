"""Who listens is told of every run that changed an index, and a run does not need anybody to listen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingest_assets.cache.lookups import LOOKUPS
from ingest_assets.queries.search import open_search
from ingest_assets_tests.support.built_index import DOCUMENTS, Home
from ingest_assets_tests.support.redis_server import RedisServer, free_port, redis_server


def told(listener: Any) -> list[dict[str, Any]]:
    """What was published since the last time."""
    messages = []
    while (message := listener.get_message(timeout=1)) is not None:
        if message["type"] == "message":
            messages.append(json.loads(message["data"]))
    return messages


def listening(server: RedisServer) -> Any:
    listener = server.client.pubsub()  # type: ignore[no-untyped-call]
    listener.subscribe("builds")
    assert told(listener) == []
    return listener


def test_runs_that_change_an_index_are_told(empty: Home, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        home = empty.with_settings(**server.settings, redis_build_channel="builds")
        listener = listening(server)
        assert home.build().success
        (build,) = told(listener)
        assert build["type"] == "build"
        assert build["content"] == {
            "source": "crm", "generation": 1, "added": DOCUMENTS, "changed": 0, "removed": 0
        }  # fmt: skip
        assert home.refresh().success
        assert told(listener) == [], "it moved nothing"
        LOOKUPS.take()
        with home.bench() as bench:
            before = open_search(bench, "crm").search("renewal", limit=100)
            assert open_search(bench, "crm").search("renewal", limit=100).hits == before.hits
            assert LOOKUPS.take() == {"hit": 1, "miss": 1}
            home.edit(deletes=2)
            assert home.refresh().success
            (update,) = told(listener)
            assert (update["content"]["generation"], update["content"]["removed"]) == (1, 2)
            search = open_search(bench, "crm", cached=False)
            assert (
                open_search(bench, "crm").search("renewal", limit=100).hits
                == search.search("renewal", limit=100).hits
            )
        assert home.build().success
        assert told(listener)[0]["content"]["generation"] == 2
        listener.close()


def test_a_run_needs_no_redis(built: Home) -> None:
    home = built.with_settings(redis_host="127.0.0.1", redis_port=free_port())
    home.edit(deletes=1)
    assert home.refresh().success
