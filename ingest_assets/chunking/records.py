"""Splits a record into chunks: pieces of its body, each below its header lines or alone."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ingest_assets.chunking.prose import ChunkBudget, split
from ingest_assets.model import Chunk, Document, digest_of

# Bump when the same document gives different chunks.
VERSION = "1"
# The namespace of all chunk ids (UUIDv5): a constant of the product.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ingest-assets:chunk")
# The maximum length of a header and of a value in it, in characters: two hundred participants must not crowd
# out the text.
HEADER_CHARS = 600
VALUE_CHARS = 200


@dataclass(frozen=True, slots=True)
class RecordChunker:
    """Cuts documents of one source."""

    source: str
    budget: ChunkBudget

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints mean equal chunks for equal documents."""
        b = self.budget
        tokenizer = file_digest(b.tokenizer) if b.tokenizer else None
        return digest_of("record-chunker", VERSION, str(b.size), str(b.overlap), b.unit, tokenizer)

    def chunks(self, document: Document) -> list[Chunk]:
        """At least one chunk, in order; a document without a body is its header alone."""
        header = header_of(document)
        if not document.body.strip():
            return [Chunk(chunk_id(self.source, document, "", 0), document.id, 0, 0, 0, header)]
        pieces = pieces_of(self.source, document, self.budget)
        return [replace(piece, text=f"{header}\n\n{piece.text}") for piece in pieces]


@dataclass(frozen=True, slots=True)
class TextChunker:
    """Cuts documents whose chunks are their text and nothing else."""

    source: str
    budget: ChunkBudget

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints mean equal chunks for equal documents."""
        return digest_of("text-chunker", RecordChunker(self.source, self.budget).fingerprint)

    def chunks(self, document: Document) -> list[Chunk]:
        """The pieces of a document's body, in order; none if it is blank."""
        return list(pieces_of(self.source, document, self.budget))


def pieces_of(source: str, document: Document, budget: ChunkBudget) -> Iterator[Chunk]:
    """The pieces of a document's body as chunks, in order.

    A chunk's id is derived from the content of its piece (without what it repeats of the previous one), so
    text inserted above it does not change the id. Pieces of one document with the same content are numbered.
    """
    earlier: Counter[str] = Counter()
    position = 0
    for piece in split(document.body, budget):
        own = document.body[piece.start : piece.end].strip()
        if not own:
            continue
        yield Chunk(
            id=chunk_id(source, document, own, earlier[own]),
            document_id=document.id,
            position=position,
            start=piece.lead,
            end=piece.end,
            text=document.body[piece.lead : piece.end].strip(),
        )
        earlier[own] += 1
        position += 1


def chunk_id(source: str, document: Document, content: str, occurrence: int) -> str:
    """The id of the n-th piece of a document with this content."""
    anchor = digest_of(source, document.id, content, str(occurrence))
    return str(uuid.uuid5(NAMESPACE, anchor))


@lru_cache(maxsize=2)
def file_digest(path: Path) -> str:
    """A digest of a file that does not change while the process runs."""
    return digest_of(path.read_bytes())


def header_is_cut(document: Document) -> bool:
    """Whether the header lines hold less than the document says."""
    whole = [document.title, *(f"{label}: {value}" for label, value in document.context)]
    return header_of(document) != "\n".join(" ".join(line.split()) for line in whole)


def header_of(document: Document) -> str:
    """The lines that give a piece of text its context: the title, then `label: value`."""
    lines = [_shorten(document.title, VALUE_CHARS)]
    room = HEADER_CHARS - len(lines[0])
    for label, value in document.context:
        line = f"{label}: {_shorten(value, VALUE_CHARS)}"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines)


def _shorten(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
