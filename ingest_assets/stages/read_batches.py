"""A source's items in batches, each known by one digest: what is recorded is looked up batch by batch.

What belongs here: where batches end, and which of them are on record. What is done with the items of one that
is not: see `records`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.model import SourceItem, digest_of

# A batch ends after an item whose id says so, one in 256: what comes or goes shifts no batch but its own.
MASK = 0xFF

_batch = tables.read_batch


def batches(items: Iterable[SourceItem], longest: int) -> Iterator[list[SourceItem]]:
    """All items, in their order; at most `longest` in a batch."""
    batch: list[SourceItem] = []
    for item in items:
        batch.append(item)
        if not crc32(item.id.encode("utf-8", "surrogatepass")) & MASK or len(batch) == longest:
            yield batch
            batch = []
    if batch:
        yield batch


def batch_digest(version: str, batch: Sequence[SourceItem]) -> str:
    """Of all ids and digests in it. No id has a NUL in it, and digests are of one length."""
    ids, digests = "\0".join([item.id for item in batch]), "".join([item.digest for item in batch])
    return digest_of(version, ids, digests)


@dataclass(frozen=True, slots=True)
class ReadBatches:
    """The batches on record of one stage of a source: their digests, and their parts in its content."""

    source: str
    stage: str

    def known(self, connection: sa.Connection) -> Mapping[str, int]:
        """All of them."""
        query = sa.select(_batch.c.digest, _batch.c.content).filter_by(source=self.source, stage=self.stage)
        return {row.digest: int(row.content, 16) for row in connection.execute(query)}

    def remember(self, connection: sa.Connection, read: Mapping[str, int]) -> None:
        """Take these in the place of those on record."""
        mine = {"source": self.source, "stage": self.stage}
        connection.execute(_batch.delete().where(*(_batch.c[name] == value for name, value in mine.items())))
        if read:
            rows = [mine | {"digest": digest, "content": f"{read[digest]:032x}"} for digest in sorted(read)]
            connection.execute(_batch.insert(), rows)
