"""Changes of the manifest, and those who follow them."""

from __future__ import annotations

import json
from multiprocessing.connection import wait
from typing import Any

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.sources.spool import manifest

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)

ROW: dict[str, Any] = {
    "digest": "0" * 32,
    "status": "queued",
    "source": "desk",
    "files": '["a.msgpack"]',
    "file": "a.msgpack",
    "total_files": 1,
    "total_bytes": 123,
    "total_records": 2,
    "skipped": 0,
    "processed": 0,
    "created_at": 1_700_000_000.0,
    "queued_at": 1_700_000_001.0,
    "attempts": 0,
    "pii": False,
    "gate": "none",
    "wanted": True,
    "loaded": False,
    "purge": False,
}
FIELDS = {"type", "action", "batch_tag", "status", "total_files", "total_bytes", "timestamp"}


def test_each_change_is_announced_once_in_order(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        manifest.insert(connection, ROW | {"batch_tag": "one"})
    with ledger.transaction() as connection:
        manifest.change(connection, "one", status="processing")
        manifest.mark(connection, "one", loaded=True)

    events = manifest.events_after(ledger, 0, 10)
    assert [(e.sequence, e.body["action"], e.body["status"]) for e in events] == [
        (1, "insert", "queued"),
        (2, "update", "processing"),
    ]
    assert set(events[0].body) == FIELDS
    assert manifest.events_after(ledger, 1, 10) == events[1:]
    assert manifest.newest_event(ledger) == 2


def test_what_is_rolled_back_was_never_announced(ledger: Ledger) -> None:
    def fails() -> None:
        with ledger.transaction() as connection:
            manifest.insert(connection, ROW | {"batch_tag": "one"})
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert manifest.events_after(ledger, 0, 10) == []


def test_postgres_notifies_whoever_listens_when_the_transaction_is_committed(ledger: Ledger) -> None:
    if ledger.is_sqlite:
        assert manifest.newest_event(ledger) == 0  # there it is the same as events alone
        return
    with ledger.engine.connect() as listening:
        listener: Any = listening.connection.dbapi_connection
        listener.set_isolation_level(0)
        listener.cursor().execute(f"LISTEN {manifest.CHANNEL}")
        with ledger.transaction() as connection:
            manifest.insert(connection, ROW | {"batch_tag": "one"})
            assert wait([listener], 0.2) == []
        assert wait([listener], 10)
        listener.poll()
        (notice,) = listener.notifies
    assert json.loads(notice.payload) == manifest.events_after(ledger, 0, 1)[0].body


def test_facts_are_added_to_what_is_known(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        manifest.insert(connection, ROW | {"batch_tag": "one"})
        manifest.note(connection, "one", healed=["2026-01"])
        manifest.note(connection, "one", redelivered=1)
        row = manifest.find(connection, "one")
    assert row is not None
    assert json.loads(row.extra) == {"healed": ["2026-01"], "redelivered": 1}


@pytest.mark.parametrize(
    ("column", "value"), [("status", "done"), ("reason", "because"), ("gate", "ajar"), ("gone", "fishing")]
)
def test_states_that_are_none_are_refused(ledger: Ledger, column: str, value: str) -> None:
    from sqlalchemy.exc import IntegrityError

    def write() -> None:
        with ledger.transaction() as connection:
            manifest.insert(connection, ROW | {"batch_tag": "one", column: value})

    with pytest.raises(IntegrityError):
        write()
