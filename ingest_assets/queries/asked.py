"""What people type, as the index has it: ids of documents, and the days of a filter.

What belongs here: the one place where every interface takes these from people. What does not: what is done
with them (`search`, `documents`, `directory`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING
from urllib.parse import quote

import sqlalchemy as sa

from ingest_assets.fields import in_zone
from ingest_assets.ledger import tables
from ingest_assets.zones import zone_named

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

_document = tables.document


def spellings(document_id: str) -> tuple[str, ...]:
    """The ids that a text may stand for, the most literal first.

    Keys in ids are percent-encoded, and people type them as they are: companies/Apple Inc. is the document
    companies/Apple%20Inc., and a slash may be part of a key or between two.
    """
    kind, slash, key = document_id.strip().partition("/")
    whole = f"{kind}{slash}{quote(key, safe='', errors='replace')}"
    parts = f"{kind}{slash}{quote(key, safe='/', errors='replace')}"
    return tuple(dict.fromkeys((document_id, whole, parts)))


def document_meant(connection: sa.Connection, source: str, typed: str) -> str:
    """The id of the document of a source that a text stands for; the text itself if there is none."""
    possible = spellings(typed)
    query = sa.select(_document.c.document_id).where(
        _document.c.source == source, _document.c.document_id.in_(possible)
    )
    there = set(connection.scalars(query))
    return next((each for each in possible if each in there), typed)


def zone_of(bench: Workbench, named: str | None) -> tzinfo:
    """The zone of days that are asked for: the one that a request names, else that of the settings, else UTC.

    Raises ValueError for a name of no zone.
    """
    name = named or bench.settings.ingest_time_zone
    return zone_named(name) if name else UTC


def where_meant(
    bench: Workbench, source: str, where: Mapping[str, Sequence[str]], zone: tzinfo | None
) -> dict[str, list[str]]:
    """A filter as a search takes it; days are those of a zone, None being that of this machine."""
    return in_zone(where, bench.sources[source].filter_fields(bench.settings), zone)
