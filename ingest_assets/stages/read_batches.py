"""A source's items in batches, each known by one digest: what is recorded is looked up batch by batch.

What belongs here: where batches end, and which of them are on record. What does not: what is done with the
items of one that is not (see `records`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.model import SourceItem, digest_of

# A batch ends after an item whose id hashes to 0 under this mask, one in 256, so that an item that is added
# or removed changes only its own batch.
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
    """Digest of all ids and digests in a batch. No id contains a NUL, and all digests have one length."""
    ids, digests = "\0".join([item.id for item in batch]), "".join([item.digest for item in batch])
    return digest_of(version, ids, digests)


@dataclass(frozen=True, slots=True)
class ReadBatches:
    """The recorded batches of one stage of a source: their digests, and their shares of its content."""

    source: str
    stage: str
    part: str = ""

    @property
    def _mine(self) -> dict[str, str]:
        return {"source": self.source, "stage": self.stage, "part": self.part}

    def known(self, connection: sa.Connection) -> Mapping[str, int]:
        """All of them, by digest."""
        query = sa.select(_batch.c.digest, _batch.c.content).filter_by(**self._mine)
        return {row.digest: int(row.content, 16) for row in connection.execute(query)}

    def remember(self, connection: sa.Connection, read: Mapping[str, int]) -> None:
        """Replace the recorded batches with these."""
        mine = self._mine
        connection.execute(_batch.delete().where(*(_batch.c[name] == value for name, value in mine.items())))
        if read:
            rows = [mine | {"digest": digest, "content": f"{read[digest]:032x}"} for digest in sorted(read)]
            connection.execute(_batch.insert(), rows)
