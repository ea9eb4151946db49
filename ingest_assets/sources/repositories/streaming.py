"""A repository as a stream of events: the one implementation behind HTTP streams and serverless functions.

What belongs here: events from a fetched source, file by file through a chunker, and from chunks that are
already recorded. What does not: fetching, where the events go, and the index (a job that fills it runs the
stages).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from ingest_assets.jobs.events import (
    UNKNOWN_LANGUAGE,
    UNREAD_REASON,
    Draft,
    SkipReason,
    chunk_created,
    file_detected,
    file_skipped,
    started,
)
from ingest_assets.model import Chunk, Chunker, Document, ItemError, SkippedItem, SourceItem

# The symbol kind of a chunk for which its chunker gives none: it is just a piece of its file.
DEFAULT_KIND = "module"


class FileSource(Protocol):
    """What is required of a source of files: `sources.repositories.source.RepositorySource`."""

    @property
    def prefix(self) -> str:
        """What precedes a file's path in a document id."""
        ...

    @property
    def commit(self) -> str | None:
        """The commit being read; None before a read, and for a repository without commits."""
        ...

    @property
    def skipped(self) -> Sequence[SkippedItem]:
        """The files that the read has skipped so far."""
        ...

    def read(self) -> AbstractContextManager[Iterator[SourceItem]]: ...


def ingest_events(
    source: FileSource,
    chunker: Chunker | None = None,
    *,
    repo_url: str,
    git_ref: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Generator[Draft, None, None]:
    """A started event, then each file with its chunks, as they are read; holds one file in memory at a time.

    Without a chunker only the files have events: `chunk_events` gives those of their chunks once these exist.
    The completed event is left to whoever ends the job (or to `stream`). `check` is called before each file
    and its chunks, and stops the work by raising. Raises what the source raises, also in the middle.
    """
    with source.read() as items:
        yield started(repo_url, git_ref, source.commit)
        seen = 0
        for item in items:
            check()
            yield from _skips(source.skipped[seen:], source.prefix)
            seen = len(source.skipped)
            yield from _file(item, source.prefix, chunker)
        yield from _skips(source.skipped[seen:], source.prefix)


def chunk_events(
    chunks: Iterable[Chunk], check: Callable[[], None] = lambda: None
) -> Generator[Draft, None, None]:
    """The events of code chunks, whose attributes say which file they are from and where in it."""
    for chunk in chunks:
        check()
        a: Mapping[str, Any] = chunk.attributes
        yield chunk_created(
            chunk.id,
            str(a["path"]),
            str(a["language"]),
            (int(a["start_byte"]), int(a["end_byte"])),
            (str(a["symbol_kind"]), str(a["symbol_name"])),
            # The text begins with the signatures that enclose the chunk: only the rest is content.
            chunk.text[len(chunk.text) - (chunk.end - chunk.start) :],
        )


def _skips(skipped: Iterable[SkippedItem], prefix: str) -> Iterator[Draft]:
    for skip in skipped:
        path = skip.id.removeprefix(prefix)
        yield file_detected(path, size_bytes=skip.size or 0)
        yield file_skipped(path, cast("SkipReason", skip.reason))


def _file(item: SourceItem, prefix: str, chunker: Chunker | None) -> Iterator[Draft]:
    path = item.id.removeprefix(prefix)
    try:
        document = item.render()
    except ItemError:
        yield file_detected(path)
        yield file_skipped(path, UNREAD_REASON)
        return
    language = str(document.attributes.get("language", UNKNOWN_LANGUAGE))
    encoding = str(document.attributes.get("encoding", "utf-8"))
    yield file_detected(path, language, byte_length(document.body, encoding))
    try:
        chunks = chunker.chunks(document) if chunker else ()
    except ItemError:
        yield file_skipped(path, UNREAD_REASON, language)
        return
    for chunk in chunks:
        yield _chunk(chunk, document, path, language, encoding)


def _chunk(chunk: Chunk, document: Document, path: str, language: str, encoding: str) -> Draft:
    attributes: Mapping[str, Any] = chunk.attributes
    content = document.body[chunk.start : chunk.end]
    if "start_byte" in attributes:
        start, end = int(attributes["start_byte"]), int(attributes["end_byte"])
    else:
        start = byte_length(document.body[: chunk.start], encoding)
        end = start + byte_length(content, encoding)
    symbol = (
        str(attributes.get("symbol_kind", DEFAULT_KIND)),
        str(attributes.get("symbol_name", path)),
    )
    language = str(attributes.get("language", language))
    return chunk_created(chunk.id, path, language, (start, end), symbol, content)


def byte_length(text: str, encoding: str) -> int:
    """Length of the text in its file; exact, because a document's text encodes to the file's own bytes."""
    return len(text) if text.isascii() and encoding == "utf-8" else len(text.encode(encoding))
