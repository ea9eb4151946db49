"""Sources that are personal are so however their names are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.cache import redis_cache
from ingest_assets.ledger import Ledger
from ingest_assets.queries.search import open_search
from ingest_assets.sources.spool.personal import source_key
from ingest_assets.sources.spool.settings import NAME, SpoolSettings
from ingest_assets.sources.spool.settling import settle
from ingest_assets.sources.spool.trigger import due
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.support.redis_server import RedisServer, free_port, redis_server

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
SAME = [
    "HR",
    "\ufeffhr",
    "hr\u200b",
    "h\u00adr",
    "\uff28\uff32",
    " hr\t",
    "h\u034fr",
    "h\ufe0fr",
    "h\U000e0101r",
]
SAME_OF_TWO = ["hr dept", "HR  Dept", "hr\u00a0dept", "hr\u2003\u200bdept", "\u200bHR\n\u3164dept "]
OTHERS = ["hrx", "h r", "hrdept", "dept", ""]


@pytest.mark.parametrize("written", [*SAME, *SAME_OF_TWO])
def test_names_that_look_the_same_are_the_same(written: str) -> None:
    for given_as in ("hr,HR Dept", "\uff48\uff52,hr\u3000 dept"):
        assert SpoolSettings(spool_pii_sources=given_as).is_personal(written)


@pytest.mark.parametrize("written", OTHERS)
def test_others_are_not(written: str) -> None:
    assert not SpoolSettings(spool_pii_sources="hr,HR Dept,\u200b").is_personal(written)


@given(
    name=st.text(max_size=9),
    hidden=st.sampled_from("\u200b\ufeff\u2060\u00ad\x00\ufe0f"),
    at=st.integers(0, 9),
)
def test_hidden_characters_make_no_difference(name: str, hidden: str, at: int) -> None:
    key = source_key(name)
    assert source_key(key) == key
    assert source_key(name[:at] + hidden + name[at:]) == key


@both
@pytest.mark.parametrize("later", [False, True], ids=["before", "later"])
@pytest.mark.parametrize("of_record", [False, True], ids=["envelope", "record"])
def test_nothing_of_them_is_indexed(tmp_path: Path, ledger: Ledger, later: bool, of_record: bool) -> None:
    def write(bench: SpoolBench) -> None:
        for number, name in enumerate([*SAME, *SAME_OF_TWO]):
            record = {"text": f"secret {number}"}
            if of_record:
                bench.write([record | {"source": name}, "plain"])
            else:
                bench.write([record], source=name)
        bench.write(["open"], source="hrx")

    if later:
        with SpoolBench(tmp_path, ledger=ledger) as bench:
            write(bench)
            bench.run_all()
            assert "secret 0" in bench.texts().values()
    with SpoolBench(tmp_path, ledger=ledger, spool_pii_sources="hr,HR Dept") as bench:
        if not later:
            write(bench)
        bench.run_all()
        assert list(bench.texts().values()) == ["open"]
        locked = [row.gate for row in bench.batches().values() if row.pii]
        assert locked == ["locked"] * len([*SAME, *SAME_OF_TWO])


@both
@pytest.mark.parametrize("by", ["a tick", "a run"])
def test_answers_from_before_leave_redis_once_it_is_back(
    tmp_path: Path, ledger: Ledger, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is stopped while the batch becomes personal, and comes back with what it held."""
    monkeypatch.setattr(redis_cache, "PAUSE_S", 0.0)
    port, folder = free_port(), tmp_path / "redis"

    def held(server: RedisServer) -> bytes:
        return b"".join(server.values().values())

    with redis_server(folder, port=port) as server:
        given = server.settings | {"redis_timeout_s": 0.5}
        with SpoolBench(tmp_path, ledger=ledger, **given) as bench:
            bench.write([{"text": "secret crane"}], source="hr")
            bench.run_all()
            assert open_search(bench, NAME).search("crane").hits
        assert b"secret crane" in held(server)
        server.client.save()
    with SpoolBench(tmp_path, ledger=ledger, spool_pii_sources="hr", **given) as bench:
        for _ in range(2):  # nothing but the answers is left to be done
            bench.run_all()
            due(bench)
            assert bench.texts() == {}
            assert not bench.only().purge
        (line,) = [each.read_text() for each in (tmp_path / "logs").glob("failures-*")]
        assert line.count("\n") == line.count("Redis did not answer") == 1
        with redis_server(folder, port=port) as server:
            assert b"secret crane" in held(server)
            if by == "a tick":
                due(bench)
            else:
                settle(bench)
            assert server.values() == {}
