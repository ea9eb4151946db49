"""Which documents people mean by the ids that they type.

Keys in ids are percent-encoded, and people type them as they are: companies/Apple Inc. is the document
companies/Apple%20Inc., and a slash may be part of a key or between two.

What belongs here: looking ids up. What does not: what is done with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.ledger.store import batched

_document = tables.document
_AT_ONCE = 1_000  # ids of a query


def spellings(document_id: str) -> tuple[str, ...]:
    """The ids that a text may stand for, the most literal first."""
    kind, slash, key = document_id.strip().partition("/")
    whole = f"{kind}{slash}{quote(key, safe='', errors='replace')}"
    parts = f"{kind}{slash}{quote(key, safe='/', errors='replace')}"
    return tuple(dict.fromkeys((document_id, whole, parts)))


def document_meant(connection: sa.Connection, source: str, typed: str) -> str:
    """The id of the document of a source that a text stands for; the text itself if there is none."""
    return documents_meant(connection, source, [typed]).get(typed, typed)


def documents_meant(connection: sa.Connection, source: str, typed: Iterable[str]) -> Mapping[str, str]:
    """The ids of the documents of a source that texts stand for, by text, as far as there are some.

    A text that can only stand for itself is not looked up, and not among them.
    """
    possible = {text: found for text in typed if len(found := spellings(text)) > 1}
    wanted = {each for found in possible.values() for each in found}
    there: set[str] = set()
    for ids in batched(sorted(wanted), _AT_ONCE):
        query = sa.select(_document.c.document_id).where(
            _document.c.source == source, _document.c.document_id.in_(ids)
        )
        there.update(connection.scalars(query))
    return {
        text: next(each for each in found if each in there)
        for text, found in possible.items()
        if not there.isdisjoint(found)
    }
