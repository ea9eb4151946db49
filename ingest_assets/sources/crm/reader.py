"""The CRM as a Source: every mapped row of one consistent snapshot, with a digest, rendered on demand.

What belongs here: the stream of items. What does not: opening the database (databases), SQL (extract), and
how a row is rendered (render).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ingest_assets.model import Document, ItemError, SkippedItem, SourceItem, digest_of
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sources.crm.databases import CrmDatabase, Row
from ingest_assets.sources.crm.databases.sqlite import SqliteFile
from ingest_assets.sources.crm.extract import Extract
from ingest_assets.sources.crm.mapping import CrmMapping
from ingest_assets.sources.crm.render import Renderer

# Of a document on its way, at most: a control character takes six in JSON.
BYTES_A_CHARACTER = 8


class CrmSource:
    """A CRM. It is only read, and its writers are never blocked.

    `max_document_chars` limits the text and bytes of one row; a longer row is an item that cannot be
    rendered.
    """

    name = "crm"
    noun = "the reader of the CRM"

    def __init__(
        self,
        database: CrmDatabase | Path,
        mapping: CrmMapping,
        *,
        max_document_chars: int = 5_000_000,
        busy_timeout_s: float = 5.0,
    ) -> None:
        """A path is that of an SQLite file, and `busy_timeout_s` bounds the wait for a lock on it."""
        self.database = SqliteFile(database, busy_timeout_s) if isinstance(database, Path) else database
        self.mapping = mapping
        self.max_document_chars = max_document_chars
        self.skipped: Sequence[SkippedItem] = ()  # every mapped row is a document
        self.repaired = 0  # documents rendered since the last read began whose text had to be cleaned

    def inside(self) -> CrmSource:
        """The same: a CRM is a place and a mapping."""
        return CrmSource(self.database.inside(), self.mapping, max_document_chars=self.max_document_chars)

    def grants(self) -> Grants:
        return self.database.grants()

    def connect(self) -> None:
        self.database.connect()

    def bounds(self, given: Limits) -> Limits:
        """As the database needs, and room for a long row."""
        limits = self.database.bounds(given)
        answer = BYTES_A_CHARACTER * self.max_document_chars
        return replace(limits, answer_bytes=max(limits.answer_bytes, answer))

    def facts(self) -> Mapping[str, Any]:
        """None: items and what was skipped say all."""
        return {}

    def damaged(self) -> None:
        """Nothing is kept of it that could be."""

    def note(self, facts: Mapping[str, Any]) -> None:
        """There are none."""

    def signature(self) -> str | None:
        """Differs whenever the database may have changed, and for another mapping."""
        state = self.database.signature()
        return None if state is None else digest_of(state, self.mapping.digest, str(self.max_document_chars))

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every mapped row. Ids are the kind's name and the key, "people/42", each part percent-encoded.

        Tables, columns and keys are checked before the first item. Memory does not grow with the rows.
        Raises SourceUnavailableError when the database cannot be read to its end, ConfigurationError when it
        does not fit the mapping.
        """
        with self.database.snapshot() as snapshot:
            self.repaired = 0
            extracts = [Extract(entry, self.mapping, snapshot) for entry in self.mapping.documents]
            with closing(self._items(extracts)) as items:
                yield items

    def _items(self, extracts: Sequence[Extract]) -> Generator[SourceItem, None, None]:
        for extract in extracts:
            yield from self.items_of(extract)

    def items_of(self, extract: Extract, most: int | None = None) -> Generator[SourceItem]:
        """The rows of one kind, or the first of them."""
        renderer = Renderer(extract)
        limit = self.max_document_chars
        for row in extract.rows(most):
            framed = extract.frame(row)
            document_id = extract.id_of(row)
            if len(framed) > limit and (size := _size(row)) > limit:
                # The limit is part of the digest, so that the item is tried again when it is raised; and the
                # row is not kept, because items may be collected before they are rendered.
                digest = digest_of(framed, f"over {limit}")
                yield SourceItem(document_id, digest, partial(_refuse, document_id, size, limit))
            else:
                digest = digest_of(framed)
                render = partial(self._render, renderer, document_id, row)
                yield SourceItem(document_id, digest, render, len(framed))

    def _render(self, renderer: Renderer, document_id: str, row: Row) -> Document:
        rendered = renderer.render(document_id, row)
        self.repaired += rendered.repaired
        return rendered.document


def _size(row: Row) -> int:
    """Characters of text, and bytes of other data, in a row."""
    text = sum(len(cell.decode(errors="replace")) for cell in row if isinstance(cell, bytearray))
    return text + sum(len(cell) for cell in row if isinstance(cell, bytes))


def _refuse(document_id: str, size: int, limit: int) -> NoReturn:
    raise ItemError(
        f"{document_id}: {size:,} characters, and CRM_MAX_DOCUMENT_CHARS allows {limit:,}. "
        "Shorten the record, or raise the limit."
    )
