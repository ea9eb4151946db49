"""Splits a source file into chunks: one per symbol, with what precedes it; small neighbours share one."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass

from ingest_assets.chunking.code.cut import File, cut
from ingest_assets.chunking.code.parse import versions
from ingest_assets.chunking.code.places import Places
from ingest_assets.chunking.prose import ChunkBudget
from ingest_assets.chunking.records import NAMESPACE, file_digest
from ingest_assets.model import Chunk, Document, digest_of

# Bump when the same file gives different chunks.
VERSION = "2"


@dataclass(frozen=True, slots=True)
class CodeChunker:
    """Cuts the files of one source.

    A file is a document with the attributes `path`, `language` (its GitHub Linguist name) and `encoding`, and
    with `grammar` if it is split as another language is ("text": as prose). The budget's overlap is not used:
    no character is in two chunks.
    """

    source: str
    budget: ChunkBudget

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints mean equal chunks for equal documents."""
        b = self.budget
        tokenizer = file_digest(b.tokenizer) if b.tokenizer else None
        return digest_of("code-chunker", VERSION, str(b.size), b.unit, tokenizer, *versions())

    def chunks(self, document: Document) -> list[Chunk]:
        """The chunks of a file, in order; none for a file without text.

        They cover everything but white space, and no two of them share a character. `text` begins with
        the signatures of what encloses the chunk, followed by the body from `start` to `end`. The path is in
        the attributes only, so that a moved file is not embedded again. An id is derived from the chunk's
        own text, without those signatures, and from the number of equal chunks before it.
        """
        path = str(document.attributes.get("path", document.title))
        language = str(document.attributes.get("language", ""))
        grammar = str(document.attributes.get("grammar", language))
        file = File.of(document.body, path, grammar, self.budget)
        places = Places(document.body, str(document.attributes.get("encoding", "utf-8")))
        earlier: Counter[str] = Counter()
        chunks: list[Chunk] = []
        for part in cut(file, self.budget):
            own = document.body[part.start : part.stop]
            anchor = digest_of(self.source, document.id, own, str(earlier[own]))
            earlier[own] += 1
            chunks.append(
                Chunk(
                    id=str(uuid.uuid5(NAMESPACE, anchor)),
                    document_id=document.id,
                    position=len(chunks),
                    start=part.start,
                    end=part.stop,
                    text="\n".join([*part.scopes, own]),
                    attributes={
                        "symbol_kind": part.kind,
                        "symbol_name": part.name,
                        "context": part.context,
                        "start_byte": places.byte(part.start),
                        "start_line": places.line(part.start),
                        "end_byte": places.byte(part.stop),
                        "end_line": places.line(part.stop),
                    },
                )
            )
        return chunks
