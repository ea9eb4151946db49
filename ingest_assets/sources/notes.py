"""Notes as documents: a source with the notes that people and agents made added to it.

What belongs here: reading notes as a source does. What does not: writing them (`notes`).
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import pages
from ingest_assets.model import Document, SkippedItem, Source, SourceItem, digest_of, when
from ingest_assets.notes import PREFIX, URI

BATCH = 1_000
# Bump when the document of a note is made differently.
VERSION = "1"

_note = tables.note


def notes_remain(ledger: Ledger, source: str, collection: str) -> bool:
    """Whether there are notes, or removed ones that have yet to leave the index of the source."""
    document, point, generation = tables.document, tables.point, tables.generation
    live = sa.and_(generation.c.collection == collection, generation.c.state == "live")
    its_points = sa.and_(point.c.collection == collection, point.c.generation == generation.c.number)
    there = (
        sa.exists(sa.select(_note.c.id)),
        sa.exists().where(document.c.source == source),
        sa.exists().where(live, its_points),
    )
    with ledger.reading() as connection:
        return bool(connection.scalar(sa.select(sa.or_(*there))))


class WithNotes:
    """A source followed by the notes. Whatever the source refuses or cannot read is refused here too."""

    def __init__(self, origin: Source, ledger: Ledger) -> None:
        self._origin, self._ledger = origin, ledger

    @property
    def name(self) -> str:
        return self._origin.name

    @property
    def repaired(self) -> int:
        return self._origin.repaired

    @property
    def skipped(self) -> Sequence[SkippedItem]:
        return self._origin.skipped

    def signature(self) -> str | None:
        """The source's signature and a digest of which notes there are: a note never changes once written."""
        signature = self._origin.signature()
        if signature is None:
            return None
        query = sa.select(_note.c.id, _note.c.at).order_by(_note.c.id)
        with self._ledger.reading() as connection:
            written = [tuple(row) for row in connection.execute(query)]
        return digest_of(signature, VERSION, repr(written))

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every item of the source, then every note."""
        with self._origin.read() as items, closing(self._items()) as notes:
            yield chain(items, notes)

    def _items(self) -> Generator[SourceItem, None, None]:
        for page in pages(self._ledger, sa.select(_note), _note.c.id, BATCH):
            for row in page:
                digest = digest_of(VERSION, *(str(value) for value in row))
                yield SourceItem(PREFIX + row.id, digest, partial(_document, row))


def _document(row: Any) -> Document:
    context = [("About", row.about), ("By", row.author)]
    if row.why != row.text:
        context.append(("Why", row.why))
    return Document(
        id=PREFIX + row.id,
        kind=row.kind,
        title=f"{'Flag' if row.kind == 'flag' else 'Note'} on {row.title}",
        uri=URI + row.id,
        time=when(row.at),
        context=tuple(context),
        body=row.text,
        refs=tuple(json.loads(row.refs)),
    )
