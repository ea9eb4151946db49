"""Events are written with what they tell, numbered within their batch, and hold nothing but facts."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import spool_event
from ingest_assets.sources.spool.notifier.outbox import DONE, OPEN, due, enqueue
from ingest_assets_tests.sources.spool.gate_listener import opened, settled

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
URL = "https://gate.example.com"


def rows(ledger: Ledger) -> list[Any]:
    columns = (spool_event.c.batch_tag, spool_event.c.number, spool_event.c.event)
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns[:2]))]


@both
def test_numbers_and_repetitions(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        for tag in ("a", "b"):
            enqueue(connection, tag, OPEN, opened(tag), gate_url=URL)
        enqueue(connection, "a", OPEN, opened("a"), gate_url=URL)
        enqueue(connection, "a", DONE, settled("a", "failed"), gate_url=URL)
        enqueue(connection, "a", OPEN, opened("a"), gate_url=URL)
        enqueue(connection, "a", DONE, settled("a"), gate_url=URL)
        enqueue(connection, "c", OPEN, opened("c"), gate_url=None)
    assert rows(ledger) == [("a", 1, OPEN), ("a", 2, DONE), ("a", 3, DONE), ("b", 1, OPEN)]
    with ledger.reading() as connection:
        assert sorted((row.batch_tag, row.number) for row in due(connection, 1e12, 10)) == [
            ("a", 1),
            ("b", 1),
        ]


@both
def test_what_is_rolled_back_is_not_told(ledger: Ledger) -> None:
    with ledger.session() as connection, connection.begin() as transaction:
        enqueue(connection, "a", OPEN, opened("a"), gate_url=URL)
        transaction.rollback()
    assert rows(ledger) == []


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("gate.shut", opened("a")),
        (OPEN, settled("a")),
        (OPEN, opened("a", text="what a record says")),
        (OPEN, opened("b")),
        (OPEN, opened("a", event=DONE)),
        (OPEN, opened("a", count="3")),
        (OPEN, opened("a", pii=1)),
        (OPEN, opened("a", ts=1_700_000_000.0)),
        (DONE, settled("a", "because")),
        (DONE, settled("a", status="queued")),
        (DONE, {"batch_tag": "a"}),
    ],
)
def test_a_body_that_is_none_is_refused(ledger: Ledger, event: str, body: dict[str, Any]) -> None:
    for gate_url in (URL, None):
        with ledger.transaction() as connection, pytest.raises(ValueError, match=r"."):
            enqueue(connection, "a", event, body, gate_url=gate_url)
    assert rows(ledger) == []
