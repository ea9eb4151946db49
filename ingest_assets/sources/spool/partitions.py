"""The partitions of the table of records, one for each month, on Postgres. On SQLite there are none.

What belongs here: making, dropping and missing partitions. What does not: which months are kept
(`retention`), and when that is looked after (`maintenance`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import spool_partition, spool_record
from ingest_assets.ledger.store import upsert
from ingest_assets.model import IngestError

_TABLE = spool_record.name
_NO_PARTITION = "23514"  # check_violation, which Postgres also reports for a row that fits no partition


class PartitionMissingError(IngestError):
    """Records have no partition to go to, and it could not be made. `made` are others that were."""

    def __init__(self, message: str, made: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.made = made


def month_of(seconds: float) -> str:
    """The month of a time, in UTC: "2026-01"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m")


def month_after(month: str, count: int = 1) -> str:
    """The month so many months later."""
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 + count, 12)
    return f"{year:04d}-{number + 1:02d}"


def first_second(month: str) -> float:
    """When a month begins."""
    return datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC).timestamp()


def cause(month: str) -> str:
    """What people are alerted of when a month's partition is missing."""
    return f"partition {month}"


def are_used(connection: sa.Connection) -> bool:
    """Whether this ledger has partitions."""
    return connection.dialect.name == "postgresql"


def present(connection: sa.Connection) -> set[str]:
    """The months that have a partition."""
    query = sa.text(
        "select child.relname from pg_inherits join pg_class child on child.oid = inhrelid "
        "where inhparent = to_regclass(:parent)"
    )
    names = connection.scalars(query, {"parent": _TABLE})
    return {name.removeprefix(f"{_TABLE}_").replace("_", "-") for name in names}


def make(connection: sa.Connection, months: Iterable[str]) -> list[str]:
    """Make the partitions of these months that are missing. Returns those that were made.

    Raises PartitionMissingError if one cannot be made; the others are.
    """
    made: list[str] = []
    failure: PartitionMissingError | None = None
    for month in sorted(set(months) - present(connection)):
        low, high = first_second(month), first_second(month_after(month))
        statement = f"create table {_name(month)} partition of {_TABLE} for values from ({low}) to ({high})"
        try:
            with connection.begin_nested():
                connection.execute(sa.text(statement))
        except sa.exc.DatabaseError as error:
            reason = str(error.orig).strip().splitlines()[0]
            failure = failure or PartitionMissingError(
                f"The partition {_name(month)} cannot be made: {reason}. Grant CREATE on the ledger's schema "
                "to its user, or make the partition yourself.",
                made,
            )
        else:
            made.append(month)
    now = time.time()
    upsert(connection, spool_partition, [{"month": month, "made_at": now} for month in made])
    if failure is not None:
        raise failure
    return made


def drop(connection: sa.Connection, months: Iterable[str]) -> list[str]:
    """Drop the partitions of these months. Returns those that were there."""
    dropped = sorted(set(months) & present(connection))
    for month in dropped:
        connection.execute(sa.text(f"drop table {_name(month)}"))
    forget(connection, months)
    return dropped


def forget(connection: sa.Connection, months: Iterable[str]) -> None:
    """Do not miss the partitions of these months."""
    connection.execute(spool_partition.delete().where(spool_partition.c.month.in_(list(months))))


def remember(connection: sa.Connection) -> None:
    """Miss what is there now if it is dropped, whoever made it."""
    if are_used(connection):
        now = time.time()
        unknown = sorted(present(connection) - known(connection))
        upsert(connection, spool_partition, [{"month": month, "made_at": now} for month in unknown])


def known(connection: sa.Connection) -> set[str]:
    """The months whose partition should be there."""
    return set(connection.scalars(sa.select(spool_partition.c.month)))


def lost(connection: sa.Connection) -> set[str]:
    """The months whose partition somebody else has dropped."""
    return known(connection) - present(connection) if are_used(connection) else set()


def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Add records. Returns the months whose partition was missing, and was made.

    Raises PartitionMissingError.
    """
    if not are_used(connection):
        upsert(connection, spool_record, rows)
        return []
    try:
        with connection.begin_nested():
            connection.execute(spool_record.insert(), list(rows))
    except sa.exc.IntegrityError as error:
        if getattr(error.orig, "pgcode", "") != _NO_PARTITION:
            raise
    else:
        return []
    made = make(connection, {month_of(row["created_at"]) for row in rows})
    connection.execute(spool_record.insert(), list(rows))
    return made


def clear(connection: sa.Connection, batch: Any) -> None:
    """Delete the records of a batch."""
    # With the time, so that one partition is read, by its primary key.
    mine = (spool_record.c.created_at == batch.created_at, spool_record.c.batch_tag == batch.batch_tag)
    connection.execute(spool_record.delete().where(*mine))


def _name(month: str) -> str:
    return f"{_TABLE}_{month.replace('-', '_')}"
