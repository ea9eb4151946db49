"""What is old goes, in pages. What it was good for stays: numbers of events, and what must not come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import alert, ingestion_manifest, manifest_event, spool_event
from ingest_assets.sources.spool import manifest, retention
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.gates import close_gate, open_gate
from ingest_assets.sources.spool.maintenance import maintain
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.notifier.failures import record_failure
from ingest_assets.sources.spool.removing import remove
from ingest_assets_tests.sources.spool.gate_listener import GateListener, listener, settled
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.sources.spool.test_manifest import ROW

__all__ = ["listener"]  # a fixture

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
DAY = 86_400.0
LATER = 401 * DAY  # than SPOOL_HISTORY_DAYS
BY = Decider("ada", "as agreed", "cli")
NewBench = Callable[..., SpoolBench]


@pytest.fixture
def new_bench(tmp_path: Path, ledger: Ledger) -> Iterator[NewBench]:
    """Benches on one ledger, spool and index."""
    first = SpoolBench(tmp_path, ledger=ledger)
    made = [first]

    def new(**given: Any) -> SpoolBench:
        made.append(SpoolBench(tmp_path, ledger=ledger, store=first.engine, **given))
        return made[-1]

    yield new
    for bench in reversed(made):
        bench.close()


def forget(bench: SpoolBench, after_s: float = LATER) -> None:
    retention.forget_history(bench, time.time() + after_s)


def test_a_batch_goes_on_counting_when_its_events_were_forgotten(
    new_bench: NewBench, listener: GateListener
) -> None:
    bench = new_bench(gate_url=listener.url, gate_token="a-token-of-the-gate")
    bench.write(["a secret"], pii=True, batch_tag="letters")
    bench.run_all()
    for _ in range(3):
        open_gate(bench.ledger, "letters", BY)
        bench.run_all()
        forget(bench)
        assert bench.events() == []
        close_gate(bench.ledger, "letters", BY)
        bench.run_all()
    assert listener.keys == [
        "gate.open:letters", "gate.done:letters", "gate.done:letters:2", "gate.done:letters:3"
    ]  # fmt: skip


def test_a_failed_batch_is_not_opened_again_when_its_events_were_forgotten(
    new_bench: NewBench, listener: GateListener
) -> None:
    bench = new_bench(gate_url=listener.url, gate_token="a-token-of-the-gate")
    for _ in range(2):
        (bench.spool.incoming / "broken.msgpack").write_bytes(b"\xc1")
        bench.run_all()
        forget(bench)
    (tag,) = bench.batches()
    assert listener.keys == [f"gate.open:{tag}", f"gate.done:{tag}", f"gate.done:{tag}:2"]


def test_what_has_not_been_heard_stays(new_bench: NewBench) -> None:
    bench = new_bench(gate_url="http://127.0.0.1:9/gate")
    bench.write(["a text"])
    bench.run_all()
    before = [(row.number, row.event, row.state) for row in bench.events()]
    forget(bench)
    assert [(row.number, row.event, row.state) for row in bench.events()] == before
    assert len(before) == 2


def test_batches_that_expired_go_and_those_that_were_removed_stay(new_bench: NewBench) -> None:
    bench = new_bench(spool_retention_days=300)
    path = bench.write(["removed"], batch_tag="removed")
    removed = path.read_bytes()
    bench.write(["kept"], batch_tag="kept")
    old = bench.write(["old"], batch_tag="old", created_at="2024-02-29T12:00:00Z").read_bytes()
    bench.run_all()
    assert sorted(bench.texts().values()) == ["kept", "removed"], "what comes too late is never in the index"
    remove(bench, "removed", BY)
    bench.run_all()
    assert {tag: row.gone for tag, row in bench.batches().items()} == {
        "removed": "removed", "kept": None, "old": "expired"
    }  # fmt: skip
    forget(bench, 399 * DAY)
    assert len(bench.batches()) == 3
    forget(bench)
    assert sorted(bench.batches()) == ["kept", "removed"]
    for name, content in (("a", removed), ("b", old)):
        (bench.spool.incoming / f"{name}.msgpack").write_bytes(content)
    bench.run_all()
    assert list(bench.texts().values()) == ["kept"]
    assert {tag: row.gone for tag, row in bench.batches().items()} == {
        "removed": "removed", "kept": None, "old": "expired"
    }  # fmt: skip
    assert bench.files()["archive"] == [bench.batches()["kept"].file]


@pytest.mark.parametrize("left", [{"file": "a.msgpack"}, {"recorded_with": "leaving"}, {"purge": True}])
def test_a_batch_that_has_not_left_yet_is_not_forgotten(new_bench: NewBench, left: dict[str, Any]) -> None:
    bench = new_bench()
    gone = {"gone": "expired", "gone_at": 1.0, "wanted": False, "status": "failed", "file": ""}
    rows = [ROW | gone | {"recorded_with": None, "batch_tag": tag, "digest": tag} for tag in ("left", "here")]
    rows[1] |= left
    with bench.ledger.transaction() as connection:
        manifest.insert_all(connection, rows)
    forget(bench)
    assert list(bench.batches()) == ["here"]


def test_one_that_the_listener_has_not_heard_of_blocks_no_others(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    bench = new_bench()
    gone = {"gone": "expired", "gone_at": 1.0, "wanted": False, "status": "failed", "file": ""}
    tags = [f"b{n:02}" for n in range(10)]
    with bench.ledger.transaction() as connection:
        manifest.insert_all(connection, [ROW | gone | {"batch_tag": tag, "digest": tag} for tag in tags])
        for tag in tags[:5]:
            outbox.enqueue(
                connection, tag, outbox.DONE, settled(tag, "failed"), gate_url="https://example.com"
            )
    forget(bench)
    assert sorted(bench.batches()) == tags[:5]
    with bench.ledger.transaction() as connection:
        connection.execute(spool_event.update().values(state="delivered"))
    forget(bench)
    assert bench.batches() == {}
    assert bench.events() == []


def test_everything_is_kept_if_that_is_set(new_bench: NewBench, listener: GateListener) -> None:
    bench = new_bench(gate_url=listener.url, gate_token="a-token-of-the-gate", spool_history_days=0)
    bench.write(["old"], created_at="2024-02-29T12:00:00Z")
    bench.run_all()
    later = new_bench(spool_retention_days=300, spool_history_days=0)
    later.run_all()
    forget(later, 10_000 * DAY)
    assert len(later.batches()) == 1
    assert len(later.events()) == 2


def test_maintenance_forgets_announcements_in_pages_and_causes_that_nobody_meets(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 3)
    bench = new_bench()
    rows = [ROW | {"batch_tag": f"b{n}", "digest": f"{n}"} for n in range(10)]
    with bench.ledger.transaction() as connection:
        manifest.insert_all(connection, rows)
    record_failure(bench, batch_tag="", reason="failed", healed=False, message="It failed.", cause="once")
    assert counted(bench, manifest_event) == 10
    maintain(bench, now=time.time() + 8 * DAY, asked=True)
    assert (counted(bench, manifest_event), counted(bench, alert)) == (0, 1)
    maintain(bench, now=time.time() + LATER, asked=True)
    assert (counted(bench, alert), counted(bench, ingestion_manifest)) == (0, 10)


def counted(bench: SpoolBench, table: sa.Table) -> int:
    with bench.ledger.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_page_of_events_takes_as_many_statements_as_one_event(new_bench: NewBench) -> None:
    bench = new_bench()
    counts = []
    for size in (1, 40):
        tags = [f"{size}-{n:02}" for n in range(size)]
        with bench.ledger.transaction() as connection:
            manifest.insert_all(connection, [ROW | {"batch_tag": tag, "digest": tag} for tag in tags])
            for tag in tags:
                body = settled(tag, "success")
                outbox.enqueue(connection, tag, outbox.DONE, body, gate_url="https://example.com")
            connection.execute(spool_event.update().values(state="delivered", next_at=1.0))
        with counting_statements(bench.ledger) as counted_statements:
            assert outbox.forget_delivered(bench.ledger, 2.0, 1_000) == size
        counts.append(len(counted_statements))
        assert {bench.batches()[tag].settlements_forgotten for tag in tags} == {1}
    assert counts[0] == counts[1]


@contextmanager
def counting_statements(ledger: Ledger) -> Iterator[list[str]]:
    """The statements that are executed meanwhile; one that is executed with many rows is one."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        found.append(statement)

    sa.event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", note)
