"""Stands in for a CRM where none is configured.

What belongs here: telling a CRM that was never there from one whose setting was lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import ConfigurationError, SkippedItem, SourceItem, digest_of
from ingest_assets.notes import URI


class AbsentCrm:
    """Stands in for a CRM where none is configured: it has no records, so there are only notes.

    If a CRM was indexed before, its setting was lost: that is an error. If it was taken for a CRM without
    records, everything would leave the index, and every run would report success.
    """

    repaired = 0
    skipped: Sequence[SkippedItem] = ()

    def __init__(self, ledger: Ledger, name: str, documents: str) -> None:
        """`name` is the source's name, `documents` that of its first stage."""
        self._ledger, self.name, self._documents = ledger, name, documents

    def signature(self) -> str:
        self.require_no_records()
        return digest_of("no CRM")

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """No items. Checked again, because a reader holds the lock: no other process adds records."""
        self.require_no_records()
        yield iter(())

    def require_no_records(self) -> None:
        """Raises ConfigurationError if the ledger has records of a CRM, even if only parked ones."""
        document, parked = tables.document, tables.parked
        recorded = sa.exists().where(document.c.source == self.name, ~document.c.uri.startswith(URI))
        refused = sa.exists().where(parked.c.source == self.name, parked.c.stage == self._documents)
        with self._ledger.reading() as connection:
            if connection.scalar(sa.select(sa.or_(recorded, refused))):
                raise ConfigurationError(
                    "CRM_DB_PATH is not set, and a CRM was indexed. Set it again: what was indexed stays."
                )
