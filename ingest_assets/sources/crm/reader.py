"""The CRM as a Source: every mapped row of one consistent snapshot, with a digest, rendered on demand.

What belongs here: the stream of items. What does not: opening the file (snapshot), SQL (extract), and how
a row is rendered (render).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ingest_assets.model import Document, ItemError, SkippedItem, SourceItem, digest_of
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sources.crm.extract import Extract, Row
from ingest_assets.sources.crm.mapping import CrmMapping
from ingest_assets.sources.crm.render import Renderer
from ingest_assets.sources.crm.signature import beside, file_signature, size_of
from ingest_assets.sources.crm.snapshot import open_snapshot, unavailable

# Of a document on its way, at most: a control character takes six in JSON.
BYTES_A_CHARACTER = 8


class CrmSource:
    """A CRM in one SQLite file. It is only read, and its writers are never blocked.

    `max_document_chars` limits the text and bytes of one row; a longer row is an item that cannot be
    rendered. `busy_timeout_s` bounds the wait for a lock.
    """

    name = "crm"
    noun = "the reader of the CRM"

    def __init__(
        self,
        path: Path,
        mapping: CrmMapping,
        *,
        max_document_chars: int = 5_000_000,
        busy_timeout_s: float = 5.0,
    ) -> None:
        self.path = path
        self.mapping = mapping
        self.max_document_chars = max_document_chars
        self.busy_timeout_s = busy_timeout_s
        self.skipped: Sequence[SkippedItem] = ()  # every mapped row is a document
        self.repaired = 0  # documents rendered since the last read began whose text had to be cleaned

    def inside(self) -> CrmSource:
        """The same: a CRM is a path and a mapping. A process of its own has another working directory."""
        inside = CrmSource(self.path.absolute(), self.mapping, max_document_chars=self.max_document_chars)
        inside.busy_timeout_s = self.busy_timeout_s
        return inside

    def grants(self) -> Grants:
        """The file, and what SQLite keeps beside it, as far as it is there now."""
        real = Path(os.path.realpath(self.path))
        there = [each for each in map(partial(beside, real), ("", "-wal", "-journal")) if each.exists()]
        # Readers record in the index of a log which part of it they still need.
        index = beside(real, "-shm")
        return Grants(read=tuple(there), write=(index,) if index.exists() else ())

    def bounds(self, given: Limits) -> Limits:
        """As given, and room for a copy of the file, which some states of it require, and for a long row."""
        real = Path(os.path.realpath(self.path))
        copy = size_of(real) + size_of(beside(real, "-wal"))
        answer = BYTES_A_CHARACTER * self.max_document_chars
        return replace(
            given,
            file_bytes=given.file_bytes + 2 * copy,
            answer_bytes=max(given.answer_bytes, answer),
        )

    def facts(self) -> Mapping[str, Any]:
        """None: items and what was skipped say all."""
        return {}

    def damaged(self) -> None:
        """Nothing is kept of it that could be."""

    def note(self, facts: Mapping[str, Any]) -> None:
        """There are none."""

    def signature(self) -> str | None:
        """Differs after every commit to the file, and for another mapping. See `signature`."""
        file = file_signature(self.path)
        return None if file is None else digest_of(file, self.mapping.digest, str(self.max_document_chars))

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every mapped row. Ids are the kind's name and the key, "people/42", each part percent-encoded.

        Tables, columns and keys are checked before the first item. Memory does not grow with the rows.
        Raises SourceUnavailableError when the file cannot be read to its end, ConfigurationError when it
        does not fit the mapping.
        """
        with open_snapshot(self.path, self.busy_timeout_s) as connection:
            self.repaired = 0
            try:
                extracts = [Extract(entry, self.mapping, connection) for entry in self.mapping.documents]
            except sqlite3.Error as error:
                raise unavailable(self.path, error) from error
            with closing(self._items(extracts)) as items:
                yield items

    def _items(self, extracts: Sequence[Extract]) -> Generator[SourceItem, None, None]:
        try:
            for extract in extracts:
                yield from self._items_of(extract)
        except sqlite3.Error as error:
            raise unavailable(self.path, error) from error

    def _items_of(self, extract: Extract) -> Iterator[SourceItem]:
        renderer = Renderer(extract)
        limit = self.max_document_chars
        for row in extract.rows():
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
