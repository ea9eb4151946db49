"""Source files, parsed by their grammars in a confined process, which must never die of one.

What belongs here: the text of a file in any language.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ingest_assets.chunking.code.chunker import CodeChunker
from ingest_assets.chunking.prose import ChunkBudget
from ingest_assets.model import Document, IngestError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.chunking import ConfinedChunker
from ingest_assets_tests.chunking.code.samples import SAMPLES
from ingest_assets_tests.fuzz.target import Parse, Place, Target

_LANGUAGES = sorted(SAMPLES)
_BUDGET = 400  # characters: small, so that small files are cut


@contextmanager
def _chunking(place: Place) -> Iterator[Parse]:
    """The first byte says the language. The chunks cover the text, in order, and no two share a character."""
    box = Sandbox(place.folder)
    chunker = ConfinedChunker(CodeChunker("files", ChunkBudget(_BUDGET)), box, "the parser of source files")

    def parse(data: bytes) -> None:
        language = _LANGUAGES[data[0] % len(_LANGUAGES)] if data else _LANGUAGES[0]
        body = data[1:].decode("utf-8", "replace")
        try:
            chunks = chunker.chunks(
                Document(
                    id="f", kind="file", title="f", uri="", time=None, context=(), body=body,
                    attributes={"path": "f", "language": language, "encoding": "utf-8"},
                )
            )  # fmt: skip
        except IngestError as error:
            raise AssertionError("The parser died of a file, or exceeded a bound.") from error
        at = 0
        for chunk in chunks:
            assert not body[at : chunk.start].strip()
            assert at <= chunk.start <= chunk.end
            at = chunk.end
        assert not body[at:].strip()

    try:
        yield parse
    finally:
        chunker.close()
        box.close()


def _sources() -> list[bytes]:
    return [bytes([number]) + SAMPLES[name][0].encode() for number, name in enumerate(_LANGUAGES)]


TARGETS = (
    Target(
        name="source_files",
        open=_chunking,
        seeds=_sources,
        tokens=(b"{", b"}", b"(", b")", b"[", b"]", b'"', b"'", b"`", b"/*", b"*/", b"//", b"#", b"<", b">",
                b"<<EOF\n", b"\\", b"\n", b"\t", b"    ", b"class ", b"def ", b"\xef\xbb\xbf",
                b"\xf0\x9f\xa6\x80", b"\r", b"${", b"<?php", b"```", b"---\n", b"\xc2\x85", b"\xe2\x80\xa8",
                b"\x0c", b"\x1c"),
        brief=120,
    ),
)  # fmt: skip
