"""Who a ledger belongs to: one row with an id that nothing else has, and a name for people.

What belongs here: that row. What does not: what is checked against it (see `collection.owned`, and
`stages.origins`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.ledger.store import Ledger, insert_if_absent
from ingest_assets.model import ConfigurationError

_row = tables.installation


def printable(text: str) -> str:
    """A text as it can be stored and printed anywhere: others may have written it, or named a folder."""
    return "".join(char if char.isprintable() else "?" for char in text)


@dataclass(frozen=True, slots=True)
class Installation:
    """One ledger and all who use it. `id` is 32 hex characters; `name`, for people, need not be unique."""

    id: str
    name: str

    def __str__(self) -> str:
        return f'"{self.name}" ({self.id[:8]})'


def installation_of(ledger: Ledger, default_name: str) -> Installation:
    """The installation that a ledger belongs to; a ledger that has none yet gets one."""
    with ledger.reading() as connection:
        found = connection.execute(sa.select(_row.c.id, _row.c.name)).one_or_none()
    if found is None:
        # The id is drawn, not derived: a copy of a folder or of a database must not come by it by itself.
        new = {"number": 1, "id": secrets.token_hex(16), "name": printable(default_name)}
        with ledger.transaction() as connection:
            insert_if_absent(connection, _row, new)
            found = connection.execute(sa.select(_row.c.id, _row.c.name)).one()
    return Installation(found.id, found.name)


def cache_secret_of(ledger: Ledger) -> bytes:
    """What authenticates answers in a cache, which only who reads the ledger knows. 32 bytes.

    Drawn when first asked for. The installation must be known already (`installation_of`).
    """
    query = sa.select(_row.c.cache_secret)
    with ledger.reading() as connection:
        found = connection.scalar(query)
    if not found:
        with ledger.transaction() as connection:
            new = _row.update().where(_row.c.cache_secret == "")  # unless another process was faster
            connection.execute(new.values(cache_secret=secrets.token_hex(32)))
            found = connection.execute(query).scalar_one()
    return bytes.fromhex(found)


def require_name(installation: Installation, named: str) -> None:
    """Raises ConfigurationError if the settings name another installation than the ledger; "" names none."""
    if named and named != installation.name:
        raise ConfigurationError(
            f'INGEST_INSTALLATION_NAME is "{named}", but the ledger belongs to {installation}. Use a ledger '
            "of your own (INGEST_LEDGER_URL or INGEST_HOME), or rename this one with `ingest adopt`."
        )


def rename(connection: sa.Connection, name: str) -> None:
    """Give the installation another name. Its id stays."""
    connection.execute(_row.update().values(name=printable(name)))
