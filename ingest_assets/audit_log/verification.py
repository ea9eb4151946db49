"""Whether the log of calls is what was written: its chain of digests, its head, and its guards.

Each row's digest follows from its content and the digest before it. Somebody who owns the database
can compute a whole new chain. That shows only to who has kept a digest elsewhere: `expected`.

What belongs here: finding what is wrong, and where. What does not: mending it, which nothing may.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.audit_chain import (
    POSTGRES_FUNCTIONS,
    POSTGRES_TRIGGERS,
    SQLITE_TRIGGERS,
    START,
    digest_after,
)

PAGE = 1_000
MAX_FAULTS = 100  # that are kept; further ones are counted

_log, _head = tables.audit_log, tables.audit_log_head


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong. `number` is the row's, None for what concerns the whole log."""

    kind: Literal["changed", "missing", "cut off", "beyond the head", "not expected", "unguarded"]
    number: int | None
    message: str


@dataclass(slots=True)
class Verification:
    """What was found. `number` and `digest` are the head's: keep them elsewhere, for a later `expected`."""

    rows: int = 0
    number: int = 0
    digest: str = START
    faults: list[Fault] = field(default_factory=list)
    faults_count: int = 0

    @property
    def is_intact(self) -> bool:
        return not self.faults_count

    def add(self, kind: Any, number: int | None, message: str) -> None:
        self.faults_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(kind, number, message))


def verify(ledger: Ledger, expected: str | None = None) -> Verification:
    """Walk the whole log, in pages, while others may append to it.

    `expected` is a digest that an earlier verification gave: it must be the digest of some row.
    """
    found = Verification()
    if not _has_tables(ledger, found):
        return found
    _require_guards(ledger, found)
    with _reading(ledger) as connection:
        # What is appended from now on is left to the next verification.
        head = connection.execute(sa.select(_head).filter_by(id=1)).one_or_none()
        newest = connection.scalar(sa.select(sa.func.max(_log.c.number))) or 0
    if head is not None and not (isinstance(head.number, int) and isinstance(head.digest, str)):
        found.add("changed", None, "The head was changed: it does not hold a number and a digest.")
        head = None
    found.number, found.digest = (head.number, head.digest) if head else (newest, "")
    last, digest = _walk(ledger, found, expected)
    if head is not None:
        _compare_with_head(found, head, last, digest, newest)
    else:
        found.add("cut off", None, "The head is gone: whether rows are missing at the end cannot be told.")
    return found


def _compare_with_head(found: Verification, head: Any, last: int, digest: str, newest: int) -> None:
    if last < head.number:
        found.add(
            "cut off", last + 1, f"The rows {last + 1} to {head.number} are missing: the end was cut off."
        )
    elif digest != head.digest:
        found.add(
            "changed", last, f"The head's digest is not that of row {last}: one of the two was changed."
        )
    if newest > head.number:
        found.add(
            "beyond the head",
            head.number + 1,
            f"The rows {head.number + 1} to {newest} were added without the head.",
        )


def _walk(ledger: Ledger, found: Verification, expected: str | None) -> tuple[int, str]:
    """Check each row up to the head's; returns the last one's number and digest."""
    last, digest, seen = 0, START, expected in (None, START)
    for row in _rows(ledger, found.number):
        if row["digest"] != digest_after(digest, row):
            _add_broken(found, last, row["number"])
        last, digest = row["number"], row["digest"]
        found.rows += 1
        seen = seen or digest == expected
    if not seen:
        found.add(
            "not expected",
            None,
            "No row has the digest that was expected: the log was written anew, or rows were cut off.",
        )
    return last, digest


def _add_broken(found: Verification, before: int, number: int) -> None:
    if number > before + 1:
        gap = f"row {before + 1} is" if number == before + 2 else f"the rows {before + 1} to {number - 1} are"
        found.add("missing", before + 1, f"Before row {number}, {gap} missing, or row {number} was changed.")
    else:
        previous = f", or the digest of row {before} was," if before else ""
        found.add("changed", number, f"Row {number}{previous} changed: its digest does not follow from both.")


def _rows(ledger: Ledger, until: int) -> Iterator[dict[str, Any]]:
    """The rows in order, each page in a transaction of its own."""
    after = None
    while True:
        query = sa.select(_log).where(_log.c.number <= until).order_by(_log.c.number).limit(PAGE)
        if after is not None:
            query = query.where(_log.c.number > after)
        with _reading(ledger) as connection:
            page = connection.execute(query).mappings().all()
        yield from (dict(row) for row in page)
        if len(page) < PAGE:
            return
        after = page[-1]["number"]


@contextmanager
def _reading(ledger: Ledger) -> Iterator[sa.Connection]:
    """As the ledger's, also of texts that are not UTF-8, which only somebody else can have put there."""
    with ledger.reading() as connection:
        raw: Any = connection.connection.dbapi_connection
        if not ledger.is_sqlite:
            yield connection
            return
        before = raw.text_factory
        raw.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        try:
            yield connection
        finally:
            raw.text_factory = before


def _has_tables(ledger: Ledger, found: Verification) -> bool:
    with ledger.reading() as connection:
        inspector = sa.inspect(connection)
        for table in (_log, _head):
            there = inspector.has_table(table.name)
            columns = {column["name"] for column in inspector.get_columns(table.name)} if there else set()
            if columns != set(table.columns.keys()):
                what = "has other columns than it was made with" if there else "is gone"
                found.add("missing", None, f"The table {table.name} {what}.")
    return found.is_intact


def _require_guards(ledger: Ledger, found: Verification) -> None:
    with ledger.reading() as connection:
        changed, others = _sqlite_guards(connection) if ledger.is_sqlite else _postgres_guards(connection)
    for name in changed:
        found.add("unguarded", None, f"The trigger {name} is gone, switched off or was changed.")
    for name in others:  # it could have every new row ignored
        found.add("unguarded", None, f"The trigger {name} is not one of ours.")


def _sqlite_guards(connection: sa.Connection) -> tuple[Sequence[str], Sequence[str]]:
    """The triggers of ours that are not as they should be, and those that are not ours."""
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' "
        "AND lower(tbl_name) IN ('audit_log', 'audit_log_head') ORDER BY name"
    )
    there = {row.name: row.sql for row in connection.execute(sa.text(query))}
    changed = [name for name, statement in SQLITE_TRIGGERS.items() if there.get(name) != statement]
    return changed, [name for name in there if name not in SQLITE_TRIGGERS]


def _postgres_guards(connection: sa.Connection) -> tuple[Sequence[str], Sequence[str]]:
    """As `_sqlite_guards`."""
    query = (
        "SELECT t.tgname AS name, c.relname AS on_table, t.tgenabled IN ('O', 'A') AS enabled, "
        "t.tgtype AS type, t.tgqual IS NOT NULL AS conditional, p.proname AS function, p.prosrc AS body "
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE NOT t.tgisinternal AND c.oid IN (to_regclass('audit_log'), to_regclass('audit_log_head'))"
    )
    there = {
        row.name: (row.on_table, row.enabled, row.type, row.conditional, row.function, row.body)
        for row in connection.execute(sa.text(query))
    }
    changed = [
        name
        for name, (table, when, function) in POSTGRES_TRIGGERS.items()
        if there.get(name)
        != (table, True, _type_of(when), " WHEN " in when, function, POSTGRES_FUNCTIONS[function])
    ]
    return changed, sorted(name for name in there if name not in POSTGRES_TRIGGERS)


def _type_of(when: str) -> int:
    """The bits of pg_trigger.tgtype."""
    bits = {"FOR EACH ROW": 1, "BEFORE": 2, "INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
    return sum(bit for word, bit in bits.items() if word in when)
