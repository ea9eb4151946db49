"""What people are alerted of: once for each cause, and again when it came back after it had ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import alert, ingestion_manifest
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.failing import unreadable
from ingest_assets.sources.spool.removing import retry
from ingest_assets_tests.sources.spool.gate_listener import GateListener, listener
from ingest_assets_tests.sources.spool.intake_bench import batch
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench

__all__ = ["listener"]  # a fixture

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
BROKEN = b"\xc1"
BY = Decider("ada", "it was mended", "cli")


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger, listener: GateListener) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path, ledger=ledger, alert_webhook_url=listener.url) as bench:
        yield bench


def drop(bench: SpoolBench, *names: str, good: bool = False) -> None:
    for name in names:
        content = batch([{"text": name}], source="desk") if good else BROKEN + name.encode()
        (bench.spool.incoming / f"{name}.msgpack").write_bytes(content)


def causes(bench: SpoolBench) -> set[str]:
    with bench.ledger.reading() as connection:
        return set(connection.scalars(sa.select(alert.c.cause)))


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (
            ["helpdesk-20260131T090000Z-1f2e3d4c", "helpdesk-20260201T000000Z-deadbeef", "helpdesk"],
            "helpdesk",
        ),
        (["batch1", "batch17", "batch-1.0a1b2c3d"], "batch"),
        (["export.e3b0c442", "export_2026_01", "export"], "export"),
        (["a-b-550e8400-e29b-41d4-a716-446655440000", "a-b-7f"], "a-b"),
        (["e3b0c44298fc1c14", "20260131", "550e8400-e29b-41d4-a716-446655440000"], ""),
        (["feedback-facade-1", "feedback-facade-2"], "feedback-facade"),
    ],
)
def test_files_of_one_producer_have_one_cause(names: list[str], kind: str) -> None:
    assert {unreadable(f"{name}.msgpack") for name in names} == {f"spool unreadable {kind}".rstrip()}


@both
def test_what_others_write_ends_no_cause(bench: SpoolBench, listener: GateListener) -> None:
    drop(bench, "helpdesk-1", "helpdesk-2", "crm-20260101")
    bench.run_all()
    assert causes(bench) == {"spool unreadable helpdesk", "spool unreadable crm"}
    drop(bench, "crm-20260102", good=True)
    drop(bench, "helpdesk-3")
    bench.run_all()
    assert causes(bench) == {"spool unreadable helpdesk"}
    assert len(listener.heard) == 2
    drop(bench, "helpdesk-4", good=True)
    drop(bench, "helpdesk-5")
    bench.run_all()  # some can be read, and some cannot: it has not ended
    drop(bench, "crm-20260103")
    bench.run_all()
    assert causes(bench) == {"spool unreadable helpdesk", "spool unreadable crm"}
    assert len(listener.heard) == 3
    drop(bench, "helpdesk-6", good=True)
    bench.run_all()
    drop(bench, "helpdesk-7")
    bench.run_all()
    assert len(listener.heard) == 4
    assert {heard.body["reason"] for heard in listener.heard} == {"failed"}


@both
@pytest.mark.parametrize("how", ["retried", "delivered again"])
def test_a_file_that_is_mended_ends_its_cause(bench: SpoolBench, how: str) -> None:
    drop(bench, "export")
    bench.run_all()
    failed = bench.only()
    assert causes(bench) == {"spool unreadable export"}
    if how == "retried":
        (bench.spool.failed / failed.file).write_bytes(batch([{"text": "mended"}]))
        retry(bench, failed.batch_tag, BY)
    else:
        drop(bench, "export", good=True)
    bench.run_all()
    assert causes(bench) == set()


def test_a_crash_before_the_move_changes_neither_reason_nor_cause(
    bench: SpoolBench, listener: GateListener
) -> None:
    bench.write(["a text"], source="desk", batch_tag="t")
    bench.run_all()
    row = bench.only()
    # As `fail` leaves it when it ends before the file is moved.
    bench.spool.move(row.file, bench.spool.archive, bench.spool.processing)
    with bench.ledger.transaction() as connection:
        failed = {
            "status": "failed",
            "reason": "partition_missing",
            "error": "There was none.",
            "wanted": False,
        }
        connection.execute(ingestion_manifest.update().values(**failed, recorded_with=None))
    bench.run_all()
    assert bench.files()["failed"] == [row.file, f"{row.file}.txt"]
    assert causes(bench) == {"spool partition_missing desk"}
    assert [heard.body["reason"] for heard in listener.heard] == ["partition_missing"]


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_a_partition_that_stays_ends_its_cause_whatever_happens_to_others(bench: SpoolBench) -> None:
    bench.write(["one"], created_at="2024-02-29T12:00:00Z")
    bench.write(["two"], created_at="2024-04-01T12:00:00Z")
    bench.run_all()
    assert causes(bench) >= {"partition 2024-02", "partition 2024-04"}
    bench.write(["three"], created_at="2024-02-28T12:00:00Z")
    bench.write(["four"], created_at="2024-06-01T12:00:00Z")
    bench.run_all()
    assert causes(bench) >= {"partition 2024-04", "partition 2024-06"}
    assert "partition 2024-02" not in causes(bench)
