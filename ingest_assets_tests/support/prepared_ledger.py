"""New ledgers without running the migrations each time.

The first ledger of a test process on SQLite is migrated, and so is the first on Postgres. Each further new
one gets what the first one got: what it holds then on SQLite, the statements of the migrations on Postgres.
Tests of the ledger itself always migrate.

What belongs here: what a migrated ledger consists of. What does not: migrations and their tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import store

Migrate = Callable[[sa.Connection], None]
_migrated: dict[str, list[str]] = {}  # the statements that make a new ledger, by dialect


def prepare_ledgers(patch: pytest.MonkeyPatch) -> None:
    """For the duration of the patch."""
    migrate = store._upgrade

    def upgrade(connection: sa.Connection) -> None:
        dialect = connection.dialect.name
        if not _is_new(connection):
            migrate(connection)
        elif dialect not in _migrated:
            _migrated[dialect] = (_dump if dialect == "sqlite" else _said)(connection, migrate)
        elif dialect == "sqlite":
            for statement in _migrated[dialect]:
                connection.exec_driver_sql(statement)
        else:
            _driver(connection).cursor().execute(";\n".join(_migrated[dialect]))

    patch.setattr(store, "_upgrade", upgrade)


def _is_new(connection: sa.Connection) -> bool:
    """On Postgres it may share its database with tables of others."""
    found = set(sa.inspect(connection).get_table_names())
    return not found & ({*found} if connection.dialect.name == "sqlite" else {"alembic_version"})


def _dump(connection: sa.Connection, migrate: Migrate) -> list[str]:
    """What it then holds, without the statements that begin and end the transaction."""
    migrate(connection)
    return list(_driver(connection).iterdump())[1:-1]


def _said(connection: sa.Connection, migrate: Migrate) -> list[str]:
    """What was executed and may have changed something."""
    said: list[str] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if not statement.lstrip().lower().startswith("select"):
            said.append(cursor.mogrify(statement, parameters).decode())

    sa.event.listen(connection, "before_cursor_execute", note)
    migrate(connection)
    sa.event.remove(connection, "before_cursor_execute", note)
    return said


def _driver(connection: sa.Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver
