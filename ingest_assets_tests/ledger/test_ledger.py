"""Transactions, locks, and what differs between SQLite and Postgres."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.installation import Installation, installation_of
from ingest_assets.ledger.store import MAX_BOUND_VALUES, delete_keys, pages, temporary_table, upsert
from ingest_assets.model import UnavailableError

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)

HOLD = """
import sys, time
from ingest_assets.ledger import Ledger
with Ledger(sys.argv[1]).lock(sys.argv[2], 0):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def _holder(url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is told to end, or killed."""
    command = [sys.executable, "-c", HOLD, url, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@both
def test_a_lock_excludes_another_process(ledger: Ledger, ledger_url: str) -> None:
    with _holder(ledger_url, "crm"):
        with pytest.raises(
            UnavailableError, match=r"refreshing crm .* within 0.3 s \(INGEST_LOCK_TIMEOUT_S\)"
        ):
            ledger.lock("crm", 0.3).__enter__()
        with ledger.lock("another", 0):
            pass


@both
def test_a_lock_is_released_when_its_holder_dies(ledger: Ledger, ledger_url: str) -> None:
    with _holder(ledger_url, "crm") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        with ledger.lock("crm", 20):
            assert time.monotonic() - started < 10


@both
def test_a_released_lock_goes_to_a_waiting_process(ledger: Ledger, ledger_url: str) -> None:
    with _holder(ledger_url, "crm") as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        with ledger.lock("crm", 20):
            pass


@both
def test_a_lock_excludes_its_own_process_too(ledger: Ledger) -> None:
    with ledger.lock("crm", 0), pytest.raises(UnavailableError):
        ledger.lock("crm", 0).__enter__()
    with ledger.lock("crm", 0):
        pass


def _row(key: str, digest: str = "0" * 32) -> dict[str, str]:
    return {"source": "crm", "document_id": key, "digest": digest, "fingerprint": "f" * 32}


def _keys(ledger: Ledger) -> list[tuple[str, str]]:
    t = tables.chunked
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(t.c.document_id, t.c.digest).order_by(t.c.document_id)).all()
    return [(row.document_id, row.digest) for row in rows]


@both
def test_upsert_inserts_and_overwrites(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        upsert(connection, tables.chunked, [_row("a"), _row("b")])
        upsert(connection, tables.chunked, [_row("b", "1" * 32), _row("c")])
        upsert(connection, tables.chunked, [])
    assert _keys(ledger) == [("a", "0" * 32), ("b", "1" * 32), ("c", "0" * 32)]


@both
def test_more_keys_than_bound_values_per_statement(ledger: Ledger) -> None:
    keys = [f"{n:06d}" for n in range(MAX_BOUND_VALUES + 10)]
    with ledger.transaction() as connection:
        connection.execute(tables.chunked.insert(), [_row(key) for key in keys])
        delete_keys(connection, tables.chunked, {"source": "crm"}, "document_id", keys[1:])
    assert _keys(ledger) == [(keys[0], "0" * 32)]


@both
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_give_every_row_once(ledger: Ledger, size: int) -> None:
    keys = ["A", "Z", "_", "a", "b/1", "b/10", "b/2", "é", "ü", "中", "\U0001f600"]
    with ledger.transaction() as connection:
        upsert(connection, tables.chunked, [_row(key) for key in keys])
    query = sa.select(tables.chunked.c.document_id)
    found = [list(page) for page in pages(ledger, query, tables.chunked.c.document_id, size)]
    assert sorted(row.document_id for page in found for row in page) == sorted(keys)
    assert all(0 < len(page) <= size for page in found)


@both
def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.transaction() as connection:  # noqa: PT012 - must fail inside the block
        upsert(connection, tables.chunked, [_row("a")])
        _ = 1 / 0
    assert _keys(ledger) == []


@both
def test_temporary_tables_start_empty_and_end_with_the_block(ledger: Ledger) -> None:
    table = sa.Table(
        "scratch", sa.MetaData(), sa.Column("key", sa.String, primary_key=True), prefixes=["TEMPORARY"]
    )
    for _ in range(2):
        with (  # noqa: PT012 - must fail inside the block
            pytest.raises(ZeroDivisionError),
            ledger.session() as session,
            temporary_table(session, table),
        ):
            with session.begin():
                assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0
                session.execute(table.insert(), [{"key": "a"}])
            _ = 1 / 0
    with ledger.reading() as connection:
        assert not sa.inspect(connection).has_table("scratch")


@both
def test_a_reader_is_not_blocked_by_a_writer(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        upsert(connection, tables.chunked, [_row("a")])
        assert _keys(ledger) == []
    assert _keys(ledger) == [("a", "0" * 32)]


@both
def test_a_writer_is_not_blocked_by_a_reader(ledger: Ledger) -> None:
    t = tables.chunked
    with ledger.transaction() as connection:
        upsert(connection, t, [_row("a"), _row("b")])
    with ledger.reading() as reader:
        assert reader.scalar(sa.select(sa.func.count()).select_from(t)) == 2
        started = time.monotonic()
        with ledger.transaction() as connection:
            upsert(connection, t, [_row("c")])
        assert time.monotonic() - started < 5


def test_ledgers_in_two_schemas_do_not_share_locks(ledger_url_of: Callable[[str], str]) -> None:
    here, there = ledger_url_of("postgres"), ledger_url_of("postgres")
    with _holder(here, "crm"):
        with Ledger(there).lock("crm", 0):
            pass
        with pytest.raises(UnavailableError), Ledger(here).lock("crm", 0.3):
            pass


@both
def test_a_ledger_has_one_id_however_many_open_it_first(open_ledger: Callable[[], Ledger]) -> None:
    ledger, together = open_ledger(), Barrier(6)

    def who(n: int) -> Installation:
        together.wait()
        return installation_of(ledger, f"machine {n}\x1b[31m")

    with ThreadPoolExecutor(6) as threads:
        (found,) = set(threads.map(who, range(6)))
    assert re.fullmatch(r"[0-9a-f]{32}", found.id)
    assert found.name.isprintable()
    assert installation_of(open_ledger(), "another") == found


def test_each_ledger_has_an_id_of_its_own(ledger_url_of: Callable[[str], str]) -> None:
    ids = {installation_of(Ledger(ledger_url_of("postgres")), "the same name").id for _ in range(2)}
    assert len(ids) == 2
