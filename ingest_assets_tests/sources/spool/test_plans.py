"""What the spool asks the ledger costs as much as there is to do, however many batches there ever were."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest, manifest_event, spool_event
from ingest_assets.ledger.store import batched
from ingest_assets.sources.spool import gates, manifest, retention, trigger
from ingest_assets.sources.spool.checks import SPOOL_CHECKS
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.maintenance import maintain
from ingest_assets.sources.spool.metadata import batches_metadata
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.notifier.delivery import deliver, redeliver
from ingest_assets.sources.spool.removing import remove, retry
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.sources.spool.test_manifest import ROW
from ingest_assets_tests.support.plans import plan_of, rows_read, statements_of

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
BATCHES = 12_000
TABLES = ("ingestion_manifest", "spool_record", "spool_event", "manifest_event")
MOST = BATCHES // 8  # rows that one statement may look at: pages have up to 1,000
BY = Decider("ada", "as agreed", "cli")
MONTH = 1_700_000_000.0
NOW = time.time()

_gone = {"wanted": False, "file": ""}
# What most batches are like that a run has nothing to do with.
KINDS = [
    {"status": "success", "recorded_with": "f" * 32, "loaded": True},
    {"gate": "locked", "pii": True, "wanted": False},
    {"status": "failed", "wanted": False},
    {"gate": "locked", "pii": True, "gone": "removed", "gone_at": NOW, **_gone},
    {"status": "failed", "gone": "expired", "gone_at": NOW, **_gone},
]


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[SpoolBench]:
    given: dict[str, Any] = {
        "gate_url": "http://127.0.0.1:9/gate",
        "spool_retention_days": 10_000,
        "gate_timeout_s": 1,
    }
    with SpoolBench(tmp_path, ledger=ledger, **given) as bench:
        _fill(ledger)
        yield bench


def _fill(ledger: Ledger) -> None:
    """A long history: of each kind as many."""
    batches, events, news = [], [], []
    for n in range(BATCHES):
        tag = f"b{n * 7919 % BATCHES:07}"
        own = {"batch_tag": tag, "digest": f"{n:032}", "file": f"{tag}.msgpack", "updated_at": NOW}
        none = {"recorded_with": None, "gone": None, "gone_at": None}
        batches.append(ROW | none | own | {"created_at": MONTH + n} | KINDS[n % len(KINDS)])
        event = {
            "batch_tag": tag,
            "number": 1,
            "event": outbox.OPEN,
            "nth": 1,
            "body": "{}",
            "created_at": NOW,
        }
        events.append(event | {"state": "delivered", "attempts": 1, "refused": 0, "next_at": NOW})
        news.append({"sequence": n + 1, "at": NOW, "body": "{}"})
    with ledger.transaction() as connection:
        for table, rows in ((ingestion_manifest, batches), (spool_event, events), (manifest_event, news)):
            for some in batched(rows, 1_000):
                connection.execute(table.insert(), some)
        connection.execute(sa.text("insert into manifest_sequence values (:name, :value)"),
                           {"name": manifest.CHANNEL, "value": BATCHES})  # fmt: skip
    for check in SPOOL_CHECKS:
        manifest.note_seen(ledger, check.name, BATCHES)
    with ledger.transaction() as connection:
        if not ledger.is_sqlite:
            for name in TABLES:
                connection.exec_driver_sql(f"analyze {name}")


def test_what_is_done_costs_as_much_as_there_is_to_do(bench: SpoolBench) -> None:
    with statements_of(bench.ledger) as statements:
        _do_everything(bench)
        list(islice(manifest.recorded_otherwise(bench.ledger, "other", wanted=True, size=256), 4))
        list(islice(manifest.recorded_otherwise(bench.ledger, "other", wanted=False, size=256), 4))
        retention.forget_history(bench, NOW)
    mine = {each: statements[each] for each in statements if any(table in each for table in TABLES)}
    assert len(mine) > 40
    read = {each: rows_read(bench.ledger, each, parameters) for each, parameters in mine.items()}
    too_many = [
        (count, statement, plan_of(bench.ledger, statement, mine[statement]))
        for statement, count in read.items()
        if count > MOST
    ]
    assert not too_many, "\n\n".join(map(str, too_many))


def _do_everything(bench: SpoolBench) -> None:
    """One of everything that the spool does."""
    for n in range(3):
        bench.write([f"a text {n}"], batch_tag=f"new{n}")
    bench.write(["a secret"], pii=True, batch_tag="letters")
    (bench.spool.incoming / "broken.msgpack").write_bytes(b"\xc1")
    trigger.due(bench)
    bench.run_all()
    for move in (gates.open_gate, gates.close_gate):
        move(bench.ledger, "letters", BY)
        trigger.due(bench)
        gates.hidden(bench)
        bench.run_all()
    (broken, *_) = manifest.listed(bench.ledger, "failed", after="broken", limit=1)
    retry(bench, broken.batch_tag, BY)
    remove(bench, "new0", BY)
    bench.run_all()
    deliver(bench, budget_s=1)
    redeliver(bench, BY)
    redeliver(bench, BY, "letters")
    maintain(bench, asked=True)
    for check in filter(None, (each.of_changes for each in SPOOL_CHECKS)):
        assert check(bench, "spool").passed
    outbox.state_of(bench.ledger)
    manifest.events_after(bench.ledger, BATCHES - 10, 10)
    for after in ("", "b0005000"):
        for status in (None, "queued", "success", "failed", "processing"):
            manifest.listed(bench.ledger, status, after=after)
        gates.listed(bench.ledger, "locked", after=after)
        gates.listed(bench.ledger, "open", after=after)


def test_counting_batches_reads_an_index_and_no_row(bench: SpoolBench) -> None:
    _vacuum(bench.ledger)  # an index tells by itself only of pages that were seen to be all visible
    with statements_of(bench.ledger) as statements:
        shown = batches_metadata(bench)
    of_each = BATCHES // len(KINDS)
    assert (shown["batches"], shown["locked"]) == (3 * of_each, of_each)
    ((statement, parameters),) = statements.items()
    plan = plan_of(bench.ledger, statement, parameters)
    assert "COVERING INDEX ix_ingestion_manifest_gone_status_gate_processed" in plan or (
        "Index Only Scan using ix_ingestion_manifest_gone_status_gate_processed" in plan
    )


def test_whether_counts_add_up_is_asked_of_an_index_that_is_empty_if_they_do(bench: SpoolBench) -> None:
    (check,) = (each for each in SPOOL_CHECKS if each.name == "counts_add_up")
    with bench.ledger.transaction() as connection:
        connection.execute(ingestion_manifest.update().values(processed=2))
        connection.execute(ingestion_manifest.update().filter_by(batch_tag="b0000000").values(processed=1))
    _vacuum(bench.ledger)
    with statements_of(bench.ledger) as statements:
        found = check.run(bench, "spool")
    assert (found.passed, found.metadata) == (False, {"found": 1})
    for statement, parameters in statements.items():
        plan = plan_of(bench.ledger, statement, parameters)
        of_those_aside = "ix_ingestion_manifest_gone_status_gate_processed"
        assert "ix_ingestion_manifest_not_added_up" in plan or of_those_aside in plan


def _vacuum(ledger: Ledger) -> None:
    """What Postgres does by itself after many changes."""
    if not ledger.is_sqlite:
        with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("vacuum analyze ingestion_manifest")
