"""Which system a source's documents were read from. A ledger holds those of one system, not of two in turn.

What belongs here: the record, and the check against it. What does not: what a source reads, which its
definition says.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ConfigurationError

_origin = tables.source_origin
_SAMPLE = ""  # recorded as the origin of sample data


class Origin(NamedTuple):
    """The system that a source reads."""

    name: str  # the same whenever it is the same system; without secrets, because people see it
    kept: bool = True  # False for sample data, which gives way to the real system without a question


class OtherOriginError(ConfigurationError):
    """The settings name another system than the one that the ledger's documents are from."""


def recorded_origin(connection: sa.Connection, source: str) -> str | None:
    """The system that a source was last read from; None if it was none that is kept."""
    return _recorded(connection, source) or None


def holds_sample(connection: sa.Connection, source: str) -> bool:
    """Whether what there is of a source is known to be sample data."""
    return _recorded(connection, source) == _SAMPLE


def _recorded(connection: sa.Connection, source: str) -> str | None:
    name: str | None = connection.scalar(sa.select(_origin.c.origin).filter_by(source=source))
    return name


def require_origin(connection: sa.Connection, source: str, origin: Origin | None) -> None:
    """Raises OtherOriginError if the source was last read from another system."""
    recorded = recorded_origin(connection, source)
    if origin is not None and recorded is not None and recorded != origin.name:
        raise OtherOriginError(
            f"The settings say that {source} reads {origin.name}, but what the ledger has of it is from "
            f"{recorded}. Nothing was changed. Set it back, or use a ledger of your own (INGEST_LEDGER_URL "
            "or INGEST_HOME). If the system has moved, or this one replaces it, run `ingest adopt --source "
            f"{source}`."
        )


def record_origin(connection: sa.Connection, source: str, origin: Origin | None) -> None:
    """Record where a source is read from. Sample data leaves no name."""
    if origin is not None and (origin.kept or _recorded(connection, source) is None):
        upsert(connection, _origin, [{"source": source, "origin": origin.name if origin.kept else _SAMPLE}])
