"""What was read is not read again, until something has changed, whoever changed it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
_origin = tables.source_origin
OTHER = """
import sys
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
ledger = Ledger(sys.argv[1])
with ledger.transaction() as connection:
    upsert(connection, tables.source_origin, [{"source": "desk", "origin": "of another process"}])
ledger.close()
"""


def origin_of(ledger: Ledger) -> str | None:
    with ledger.reading() as connection:
        return connection.scalar(sa.select(_origin.c.origin).filter_by(source="desk"))


def write(ledger: Ledger, origin: str) -> None:
    with ledger.transaction() as connection:
        upsert(connection, _origin, [{"source": "desk", "origin": origin}])


@both
def test_every_change_is_seen(open_ledger: Callable[[], Ledger], ledger_url: str) -> None:
    ledger, other = open_ledger(), open_ledger()

    def seen() -> str | None:
        return ledger.remembered("origin", partial(origin_of, ledger))

    assert seen() is None
    for n in range(3):
        write(ledger, f"own {n}")
        assert seen() == f"own {n}"
        write(other, f"other {n}")
        assert seen() == f"other {n}"
    subprocess.run([sys.executable, "-c", OTHER, ledger_url], check=True)
    assert seen() == "of another process"
    with suppress(ZeroDivisionError), ledger.transaction() as connection:
        connection.execute(_origin.delete())
        assert seen() == "of another process", "it is not committed"
        raise ZeroDivisionError
    assert seen() == "of another process"


def test_it_is_not_read_again_while_nothing_changes(ledger: Ledger) -> None:
    reads: list[str] = []

    def seen(key: str) -> str:
        return ledger.remembered(key, lambda: reads.append(key) or key)  # type: ignore[func-returns-value]

    for _ in range(3):
        assert (seen("a"), seen("b")) == ("a", "b")
    assert reads == ["a", "b"]
    write(ledger, "changed")
    assert seen("a") == "a"
    assert reads == ["a", "b", "a"]


def test_a_change_while_it_is_read_is_seen_by_the_next_one(ledger: Ledger) -> None:
    def read() -> str | None:
        before = origin_of(ledger)
        write(ledger, "new")
        return before

    assert ledger.remembered("origin", read) is None
    assert ledger.remembered("origin", partial(origin_of, ledger)) == "new"


@both
def test_errors_are_raised_and_not_remembered(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        ledger.remembered("x", lambda: 1 // 0)
    assert ledger.remembered("x", lambda: 1) == 1


@both
def test_threads_see_what_was_committed_before_they_asked(ledger: Ledger) -> None:
    write(ledger, "0")
    committed = [0]

    def look(_: int) -> None:
        least = committed[0]
        found = ledger.remembered("origin", partial(origin_of, ledger))
        assert found is not None
        assert int(found) >= least

    with ThreadPoolExecutor(4) as threads:
        looks = []
        for n in range(1, 30):
            looks += [threads.submit(look, n) for _ in range(4)]
            write(ledger, str(n))
            committed[0] = n
        for each in looks:
            each.result()
