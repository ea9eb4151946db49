"""A chunker that runs in a confined process: a file that kills its parser is one file's outcome.

What belongs here: both ends of the conversation. What does not: how documents are cut (`chunking`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

from ingest_assets.model import Chunk, Chunker, Document, ItemError, UnavailableError
from ingest_assets.sandbox.folder import Child, Sandbox
from ingest_assets.sandbox.process import Confined, ConfinedError

CPU_S = 30.0  # of one document, at most: grammars bound their own work far below it
# More documents than this that kill their parsers, in one run, are an attack; those that did are parked, and
# the next run goes on with the others.
MAX_DEATHS = 20
# A pipe takes 64 KiB without waiting; 16 KiB on some systems.
PIPE = 48 << 10 if sys.platform == "linux" else 12 << 10
BYTES_A_CHARACTER, OVERHEAD = 4, 1_024  # of a document on its way, at most


class ConfinedChunker:
    """Cuts documents as `chunker` does, in a process that is started when first needed."""

    def __init__(self, chunker: Chunker, sandbox: Sandbox, noun: str) -> None:
        """`noun` is what it is called in messages: "the parser of source files"."""
        self._chunker, self._sandbox, self._noun = chunker, sandbox, noun
        self._child: Child | None = None
        self._deaths = 0
        self._expected: deque[Document] = deque()
        self._sent: deque[tuple[Document, int]] = deque()  # unanswered, with their sizes in bytes, at most

    @property
    def source(self) -> str:
        return self._chunker.source

    @property
    def fingerprint(self) -> str:
        return self._chunker.fingerprint

    def expect(self, documents: Sequence[Document]) -> None:
        """What will be cut next, in this order: the process works ahead."""
        self._expected = deque(documents)

    def chunks(self, document: Document) -> list[Chunk]:
        """The chunks of a document, in order.

        Raises ItemError when the process dies of it, or exceeds a bound; UnavailableError when that happened
        to too many.
        """
        if self._deaths > MAX_DEATHS:
            raise UnavailableError(
                f"{self._deaths} documents killed {self._noun}, and are parked. Run it again to go on."
            )
        process = self._started()
        if not self._sent or self._sent[0][0] is not document:
            self._resynchronise()
            process = self._started()
            self._send(process, document)
        self._send_ahead(process)
        try:
            answer = process.receive()
        except ConfinedError as error:
            self._deaths += 1
            self.close()
            raise ItemError(str(error)) from error
        finally:
            if self._sent:
                self._sent.popleft()
        return _checked(answer, document)

    def close(self) -> None:
        """End the process; the next document starts another one."""
        self._sent.clear()
        if self._child is not None:
            self._child.close()
            self._child = None

    def _send(self, process: Confined, document: Document) -> None:
        process.send("chunks", document)
        self._sent.append((document, len(document.body)))
        while self._expected:
            if self._expected.popleft() is document:
                return

    def _send_ahead(self, process: Confined) -> None:
        """Send some of what comes next: as much as a pipe holds, so that neither side waits for the other."""
        waiting = sum(size for _, size in list(self._sent)[1:])
        while self._expected:
            size = _bytes_of(self._expected[0])
            if waiting + size > PIPE:
                return
            document = self._expected.popleft()
            process.send("chunks", document)
            self._sent.append((document, size))
            waiting += size

    def _resynchronise(self) -> None:
        """Forget what was sent ahead, if it is not what is asked for."""
        if self._sent:
            self.close()

    def _started(self) -> Confined:
        if self._child is None:
            limits = self._sandbox.limits
            bounded = replace(limits, cpu_s=min(limits.cpu_s, CPU_S))
            self._child = self._sandbox.start(_Cutting(self._chunker), self._noun, limits=bounded)
        return self._child.process


def _bytes_of(document: Document) -> int:
    """At most what a document takes of the pipe. A file's path is in its id, title, link and attributes."""
    texts = (document.id, document.title, document.uri, document.body, repr(document.attributes))
    return BYTES_A_CHARACTER * sum(map(len, texts)) + OVERHEAD


class _Cutting:
    """The task of the process."""

    def __init__(self, chunker: Chunker) -> None:
        self._chunker = chunker

    def chunks(self, document: Document) -> bytes:
        cut: bytes = _chunk_lists().dump_json(self._chunker.chunks(document))
        return cut


def _checked(answer: bytes, document: Document) -> list[Chunk]:
    """The chunks, which must be ones of the document. Raises ItemError."""
    from pydantic import ValidationError

    try:
        chunks: list[Chunk] = _chunk_lists().validate_json(answer)
    except ValidationError as error:
        raise ItemError("Its parser gave an answer of another form.") from error
    size = len(document.body)
    if any(c.document_id != document.id or not 0 <= c.start <= c.end <= size for c in chunks):
        raise ItemError("Its parser gave chunks that are not of this document.")
    return chunks


@cache
def _chunk_lists() -> Any:
    from pydantic import FailFast, TypeAdapter

    return TypeAdapter(Annotated[list[Chunk], FailFast()])  # each error takes hundreds of bytes
