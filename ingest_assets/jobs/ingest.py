"""A repository as a stream of events: the one implementation behind HTTP streams and serverless functions.

What belongs here: a source that was fetched, file by file, through a chunker, and chunks that are on record
already. What does not: fetching, where the events go, and the index (a job that fills it runs the stages).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Protocol

from ingest_assets.jobs.events import (
    COMPLETED,
    UNKNOWN_LANGUAGE,
    Context,
    Draft,
    Event,
    SkipReason,
    Tally,
    chunk_created,
    completed,
    file_detected,
    file_skipped,
    seal,
    started,
)
from ingest_assets.model import Chunk, Document, IngestError, ItemError, SourceItem

# Of a chunk that its chunker tells nothing about: it is a piece of its file.
DEFAULT_KIND = "module"


class Skipped(Protocol):
    """A file that the source passes over: `sources.repositories.tree.Skip`."""

    @property
    def path(self) -> str: ...
    @property
    def reason(self) -> SkipReason: ...
    @property
    def size(self) -> int | None: ...


class FileSource(Protocol):
    """What is asked of a source of files: `sources.repositories.source.RepositorySource`."""

    @property
    def prefix(self) -> str:
        """What stands before a file's path in the ids of its documents."""
        ...

    @property
    def commit(self) -> str | None:
        """That is being read; None before, and for a repository that has none."""
        ...

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Those that the read passed over up to now."""
        ...

    def read(self) -> AbstractContextManager[Iterator[SourceItem]]: ...


class Chunker(Protocol):
    """Cuts a document into pieces. Raises ItemError when it cannot."""

    def chunks(self, document: Document) -> Sequence[Chunk]: ...


def ingest_events(
    source: FileSource,
    chunker: Chunker | None = None,
    *,
    repo_url: str,
    git_ref: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Generator[Draft, None, None]:
    """A started event, then each file with its chunks, as they are read; memory is that of one file.

    Without a chunker it is the files alone: `chunk_events` tells of their chunks once these are made. The
    completed event is for whoever settles the job (or `stream`). `check` is called before every file and its
    chunks, and stops the work by raising. Raises what the source raises, in the middle too.
    """
    with source.read() as items:
        yield started(repo_url, git_ref, source.commit)
        seen = 0
        for item in items:
            check()
            yield from _skips(source.skipped[seen:])
            seen = len(source.skipped)
            yield from _file(item, source.prefix, chunker)
        yield from _skips(source.skipped[seen:])


def chunk_events(
    chunks: Iterable[Chunk], check: Callable[[], None] = lambda: None
) -> Generator[Draft, None, None]:
    """The events of chunks of code, which say themselves of which file they are and where in it."""
    for chunk in chunks:
        check()
        a = chunk.attributes
        yield chunk_created(
            chunk.id,
            str(a["path"]),
            str(a["language"]),
            (int(a["start_byte"]), int(a["end_byte"])),
            (str(a["symbol_kind"]), str(a["symbol_name"])),
            # What encloses a chunk stands before it in its text.
            chunk.text[len(chunk.text) - (chunk.end - chunk.start) :],
        )


def stream(
    drafts: Generator[Draft, None, None], context: Context, clock: Callable[[], float] = time.time
) -> Generator[Event, None, None]:
    """Drafts as events, in order, and a completed event as the last, also when the drafts end in a failure.

    A failure that we understand is in the completed event; any other is in it too, and raised after it.
    Closing the stream closes the drafts, and with them the source.
    """
    begun, tally, sequence = clock(), Tally(), 0
    error: str | None = None
    unforeseen: Exception | None = None
    try:
        with closing(drafts):
            for draft in drafts:
                tally.count(draft)
                yield seal(draft, context, sequence, clock())
                sequence += 1
    except IngestError as failure:
        error = str(failure)
    except Exception as failure:  # noqa: BLE001  # raised again below, when the stream has its end
        error, unforeseen = f"{type(failure).__name__}: {failure}", failure
    yield seal(completed(tally, round((clock() - begun) * 1000), error), context, sequence, clock())
    if unforeseen is not None:
        raise unforeseen


def failure_in(events: Sequence[Event]) -> str | None:
    """Why the job of these events failed; None when it did not, or has not ended."""
    if not events or events[-1]["event_type"] != COMPLETED:
        return None
    error: str | None = events[-1]["payload"]["error"]
    return error


def _skips(skips: Iterable[Skipped]) -> Iterator[Draft]:
    for skip in skips:
        yield file_detected(skip.path, size_bytes=skip.size or 0)
        yield file_skipped(skip.path, skip.reason)


def _file(item: SourceItem, prefix: str, chunker: Chunker | None) -> Iterator[Draft]:
    path = item.id.removeprefix(prefix)
    try:
        document = item.render()
    except ItemError:
        yield file_detected(path)
        yield file_skipped(path, "parse_error")
        return
    language = str(document.attributes.get("language", UNKNOWN_LANGUAGE))
    encoding = str(document.attributes.get("encoding", "utf-8"))
    yield file_detected(path, language, _bytes(document.body, encoding))
    try:
        chunks = chunker.chunks(document) if chunker else ()
    except ItemError:
        yield file_skipped(path, "parse_error")
        return
    for chunk in chunks:
        yield _chunk(chunk, document, path, language, encoding)


def _chunk(chunk: Chunk, document: Document, path: str, language: str, encoding: str) -> Draft:
    attributes: Mapping[str, str | int] = chunk.attributes
    content = document.body[chunk.start : chunk.end]
    if "start_byte" in attributes:
        start, end = int(attributes["start_byte"]), int(attributes["end_byte"])
    else:
        start = _bytes(document.body[: chunk.start], encoding)
        end = start + _bytes(content, encoding)
    symbol = (
        str(attributes.get("symbol_kind", DEFAULT_KIND)),
        str(attributes.get("symbol_name", path)),
    )
    language = str(attributes.get("language", language))
    return chunk_created(chunk.id, path, language, (start, end), symbol, content)


def _bytes(text: str, encoding: str) -> int:
    """How long the text is in its file; exact, because a document's text encodes to the file's bytes."""
    return len(text) if text.isascii() and encoding == "utf-8" else len(text.encode(encoding))
