"""Partitions of the table of records, on Postgres, and the record of their maintenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import alert, spool_maintenance
from ingest_assets.sources.spool import partitions
from ingest_assets.sources.spool.maintenance import CAUSE, maintain
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)

NOW = datetime(2026, 11, 28, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path, ledger=ledger, spool_partitions_ahead=2) as bench:
        yield bench


def present(ledger: Ledger) -> set[str]:
    with ledger.reading() as connection:
        return partitions.present(connection) if partitions.are_used(connection) else set()


def runs(ledger: Ledger) -> list[Any]:
    with ledger.reading() as connection:
        return list(
            connection.execute(sa.select(spool_maintenance).order_by(spool_maintenance.c.number)).all()
        )


def test_partitions_are_made_ahead_when_that_is_due(bench: SpoolBench) -> None:
    first = maintain(bench, now=NOW)
    assert first is not None
    if bench.ledger.is_sqlite:
        assert (first.wanted, first.made) == ((), ())
    else:
        assert list(first.made) == ["2026-11", "2026-12", "2027-01"]
        assert present(bench.ledger) >= {"2026-11", "2026-12", "2027-01"}
        logged = map(json.loads, bench.settings_of(SpoolSettings).rag_log_file.read_text().splitlines())
        made = [each["month"] for each in logged if each["event"] == "partition.made"]
        assert made == ["2026-11", "2026-12", "2027-01"]
    assert maintain(bench, now=NOW + 60) is None  # not due
    assert maintain(bench, now=NOW - 10 * DAY) is not None  # a clock that was set back puts nothing off
    assert len(runs(bench.ledger)) == 2


def test_old_months_are_dropped_by_the_setting(tmp_path: Path, ledger: Ledger) -> None:
    with SpoolBench(tmp_path, ledger=ledger, spool_retention_days=40) as bench:
        if not ledger.is_sqlite:
            with ledger.transaction() as connection:
                partitions.make(connection, ["2026-08", "2026-09", "2026-10"])
        done = maintain(bench, now=NOW)
        assert done is not None
        if not ledger.is_sqlite:
            assert list(done.dropped) == ["2026-08", "2026-09"]  # 40 days ago it was October
            assert {"2026-08", "2026-09"} & present(ledger) == set()
            with ledger.reading() as connection:
                assert partitions.lost(connection) == set()


def test_what_could_be_made_is_made_and_recorded(bench: SpoolBench) -> None:
    """Somebody else's table has the name of one partition; those before and after it can be made."""
    if bench.ledger.is_sqlite:
        return
    with bench.ledger.transaction() as connection:
        connection.execute(sa.text("create table spool_record_2026_12 (a int)"))
    try:
        done = [maintain(bench, now=NOW + day * DAY) for day in range(3)]
    finally:
        with bench.ledger.transaction() as connection:
            connection.execute(sa.text("drop table spool_record_2026_12"))
    assert [list(each.made) for each in done if each] == [["2026-11", "2027-01"], [], []]
    assert all(each and "spool_record_2026_12" in (each.error or "") for each in done)
    assert json.loads(runs(bench.ledger)[0].made) == ["2026-11", "2027-01"]
    assert present(bench.ledger) >= {"2026-11", "2027-01"}
    with bench.ledger.reading() as connection:
        assert partitions.known(connection) >= {"2026-11", "2027-01"}
        assert connection.scalar(sa.select(alert.c.cause)) == CAUSE, "one was missing in each of three runs"
    maintain(bench, now=NOW + 4 * DAY)
    with bench.ledger.reading() as connection:
        assert connection.scalar(sa.select(alert.c.cause)) is None


def test_people_are_alerted_when_runs_make_nothing_that_is_needed(
    bench: SpoolBench,
) -> None:
    """Postgres refuses: somebody else's table has the name of the partition."""
    if bench.ledger.is_sqlite:
        maintain(bench, now=NOW)
        assert runs(bench.ledger)[0].wanted == "[]"
        return
    with bench.ledger.transaction() as connection:
        for month in ("2026_11", "2026_12", "2027_01"):
            connection.execute(sa.text(f"create table spool_record_{month} (a int)"))

    def alerted() -> bool:
        with bench.ledger.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(alert)) == 1

    try:
        for day in range(3):
            assert not alerted()
            done = maintain(bench, now=NOW + day * DAY)
            assert done is not None
            assert done.error
        assert alerted()
    finally:
        with bench.ledger.transaction() as connection:
            for month in ("2026_11", "2026_12", "2027_01"):
                connection.execute(sa.text(f"drop table spool_record_{month}"))
    done = maintain(bench, now=NOW + 4 * DAY)
    assert done is not None
    assert done.made
    assert not alerted()
