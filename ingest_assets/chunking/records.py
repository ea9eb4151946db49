"""Splits a record into chunks: each repeats its header lines, followed by a piece of its body."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
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
        """At least one chunk, in order; a document without a body is its header alone.

        A chunk's id is derived from the content of its piece (without what it repeats of the previous
        one), so text inserted above it does not change the id. Pieces of one document with the same
        content are numbered.
        """
        header = header_of(document)
        if not document.body.strip():
            return [Chunk(self._id(document, "", 0), document.id, 0, 0, 0, header)]
        earlier: Counter[str] = Counter()
        chunks: list[Chunk] = []
        for piece in split(document.body, self.budget):
            own = document.body[piece.start : piece.end].strip()
            if not own:
                continue
            text = document.body[piece.lead : piece.end].strip()
            chunks.append(
                Chunk(
                    id=self._id(document, own, earlier[own]),
                    document_id=document.id,
                    position=len(chunks),
                    start=piece.lead,
                    end=piece.end,
                    text=f"{header}\n\n{text}",
                )
            )
            earlier[own] += 1
        return chunks

    def _id(self, document: Document, content: str, occurrence: int) -> str:
        anchor = digest_of(self.source, document.id, content, str(occurrence))
        return str(uuid.uuid5(NAMESPACE, anchor))


@lru_cache(maxsize=2)
def file_digest(path: Path) -> str:
    """A digest of a file that does not change while the process runs."""
    return digest_of(path.read_bytes())


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
