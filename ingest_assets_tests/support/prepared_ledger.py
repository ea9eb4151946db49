"""New SQLite ledgers without running the migrations each time.

The first ledger of a test process is migrated, and what it holds then is what every further new one gets,
statement by statement. Tests of the ledger itself, and those on Postgres, always migrate.

What belongs here: what a migrated ledger consists of. What does not: migrations and their tests.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import store

_migrated: list[str] = []  # the statements that make a new ledger


def prepare_ledgers(patch: pytest.MonkeyPatch) -> None:
    """For the duration of the patch."""
    migrate = store._upgrade

    def upgrade(connection: sa.Connection) -> None:
        if connection.dialect.name != "sqlite" or sa.inspect(connection).get_table_names():
            migrate(connection)
        elif _migrated:
            for statement in _migrated:
                connection.exec_driver_sql(statement)
        else:
            migrate(connection)
            _migrated.extend(_dump(connection))

    patch.setattr(store, "_upgrade", upgrade)


def _dump(connection: sa.Connection) -> list[str]:
    """A database as statements, without those that begin and end the transaction."""
    database = connection.connection.driver_connection
    assert database is not None
    return list(database.iterdump())[1:-1]
