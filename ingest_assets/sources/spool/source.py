"""The records of one batch as a source of documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.fields import FieldType
from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.spool_tables import spool_record as _record
from ingest_assets.ledger.store import fetched
from ingest_assets.model import SkippedItem, SourceItem, digest_of
from ingest_assets.sources.spool.documents import (
    VERSION,
    digest_of_record,
    document_id,
    document_of_record,
)
from ingest_assets.sources.spool.settings import BATCHES, NAME, SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class BatchSource:
    """A batch that was loaded: its records, in order."""

    ledger: Ledger
    batch_tag: str
    fields: dict[str, FieldType]  # the metadata that points carry

    name: str = NAME
    repaired: int = 0
    skipped: Sequence[SkippedItem] = ()

    @property
    def made_with(self) -> str:
        """Of all that documents depend on besides their records."""
        return digest_of(VERSION, *(f"{name}:{kind}" for name, kind in sorted(self.fields.items())))

    def signature(self) -> str | None:
        """The batch's content: a batch never changes."""
        with self.ledger.reading() as connection:
            query = sa.select(_manifest.c.digest, _manifest.c.pii).filter_by(batch_tag=self.batch_tag)
            row = connection.execute(query).one_or_none()
        return None if row is None else digest_of(row.digest, str(row.pii), self.made_with)

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Its records, a page of them in memory at a time."""
        yield self._items()

    def _items(self) -> Iterator[SourceItem]:
        with self.ledger.reading() as connection:
            query = sa.select(_manifest.c.pii, _manifest.c.created_at).filter_by(batch_tag=self.batch_tag)
            batch = connection.execute(query).one()
        after, made_with = -1, self.made_with
        while page := self._page(batch.created_at, after):
            for row in page:
                yield SourceItem(
                    document_id(row.batch_tag, row.number),
                    digest_of_record(row, made_with, pii=batch.pii),
                    partial(document_of_record, row, pii=batch.pii, fields=self.fields),
                    len(row.text),
                )
            after = page[-1].number

    def _page(self, created_at: float, after: int) -> Sequence[Any]:
        # With the time, so that one partition is read, by its primary key.
        mine = (_record.c.created_at == created_at, _record.c.batch_tag == self.batch_tag)
        query = sa.select(*(column for column in _record.c if column.name != "vector"))
        query = query.where(*mine, _record.c.number > after).order_by(_record.c.number).limit(PAGE)
        with self.ledger.reading() as connection:
            return fetched(connection.execute(query))


def fingerprint_of(made_with: str, personal: Iterable[str]) -> str:
    """What documents of batches are recorded with.

    With the sources that are personal, so that batches are looked at again when others are named.
    """
    return digest_of(BATCHES, made_with, *sorted(personal))


def batch_source(bench: Workbench, batch_tag: str) -> BatchSource:
    """The records of a batch, with the metadata that the settings name."""
    return BatchSource(bench.ledger, batch_tag, bench.settings_of(SpoolSettings).metadata_fields)
