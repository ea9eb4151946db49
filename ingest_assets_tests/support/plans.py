"""What a ledger does to answer: the statements, their plans, and how much each of them reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import Ledger


@contextmanager
def statements_of(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """What the block asks, changes and deletes: the statements, with the values of the last of each."""
    found: dict[str, Any] = {}

    @sa.event.listens_for(ledger.engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            found[statement] = parameters[0] if isinstance(parameters, list) else parameters

    try:
        yield found
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", note)


@contextmanager
def asked_of(ledger: Ledger) -> Iterator[list[str]]:
    """Every statement that the block executes, as often as it does."""
    found: list[str] = []

    @sa.event.listens_for(ledger.engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, _parameters: Any, _x: Any, _many: bool) -> None:
        found.append(statement)

    try:
        yield found
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", note)


def plan_of(ledger: Ledger, statement: str, parameters: Any) -> str:
    with ledger.reading() as connection:
        if ledger.is_sqlite:
            rows = connection.exec_driver_sql(f"explain query plan {statement}", parameters).all()
            return json.dumps([row[-1] for row in rows])
        _as_on_large_tables(connection)
        return json.dumps([row[0] for row in connection.exec_driver_sql(f"explain {statement}", parameters)])


def _as_on_large_tables(connection: sa.Connection) -> None:
    """Here all are small enough to be read at once, and what is planned depends on fresh statistics."""
    for way in ("seqscan", "sort", "bitmapscan"):
        connection.exec_driver_sql(f"set local enable_{way} = off")


STEPS = 10  # of the machine that runs SQLite's statements, about, for a row that is looked at


def rows_read(ledger: Ledger, statement: str, parameters: Any) -> int:
    """How many rows a statement looks at, about. What it changes is undone."""
    with ledger.session() as connection, connection.begin() as transaction:
        found = _steps if ledger.is_sqlite else _rows
        count = found(connection, statement, parameters)
        transaction.rollback()
    return count


class _Asked(NamedTuple):
    statement: str
    parameters: Any
    how: tuple[str, ...]  # what the transaction was told before


def costs_of_pages(ledger: Ledger, pages: Iterable[object], table: sa.TableClause) -> list[int]:
    """How many rows each page of `table` looks at, about, as the database plans it by itself."""
    asked: list[_Asked] = []
    told: list[str] = []

    @sa.event.listens_for(ledger.engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: bool) -> None:
        if statement.startswith("SET LOCAL"):
            told[:] = [statement]
        elif "\n LIMIT " in statement and f"\nFROM {table.name} " in statement:
            asked.append(_Asked(statement, parameters, tuple(told)))
        if not statement.startswith("SET LOCAL"):
            told.clear()

    try:
        for _ in pages:
            pass
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", note)
    return [_cost(ledger, each) for each in asked]


def _cost(ledger: Ledger, asked: _Asked) -> int:
    with ledger.reading() as connection:
        if ledger.is_sqlite:
            return _steps(connection, asked.statement, asked.parameters)
        for statement in asked.how:
            connection.exec_driver_sql(statement)
        explain = f"explain (analyze, format json) {asked.statement}"
        return _rows_of(connection.exec_driver_sql(explain, asked.parameters).scalar_one()[0]["Plan"])


def _steps(connection: sa.Connection, statement: str, parameters: Any) -> int:
    driver: Any = connection.connection.driver_connection
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1

    driver.set_progress_handler(one_more, STEPS)
    try:
        result = connection.exec_driver_sql(statement, parameters)
        if result.returns_rows:
            result.all()
    finally:
        driver.set_progress_handler(None, 0)
    return count


def _rows(connection: sa.Connection, statement: str, parameters: Any) -> int:
    _as_on_large_tables(connection)
    explain = f"explain (analyze, format json) {statement}"
    return _rows_of(connection.exec_driver_sql(explain, parameters).scalar_one()[0]["Plan"])


def _rows_of(plan: dict[str, Any]) -> int:
    removed = sum(count for name, count in plan.items() if name.startswith("Rows Removed"))
    here = (plan["Actual Rows"] + removed) * plan["Actual Loops"] if "Scan" in plan["Node Type"] else 0
    return int(here) + sum(map(_rows_of, plan.get("Plans", [])))
