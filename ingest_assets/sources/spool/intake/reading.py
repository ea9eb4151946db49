"""Files to facts and records: read here as bytes, parsed in a confined process, and checked here again.

The process gets the bytes through its pipe and may open no file, so that what is wrong with one batch cannot
reach another. One process parses all batches that are read one after the other.

What belongs here: the side that asks. What does not: the format (`envelope`), and what a file is (`take`).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic_core import from_json

from ingest_assets.ahead import StartedAhead
from ingest_assets.model import ItemError, UnavailableError
from ingest_assets.sandbox import ConfinedError, Sandbox
from ingest_assets.sandbox.folder import Child
from ingest_assets.sandbox.limits import MIB
from ingest_assets.sources.spool.intake import parsing
from ingest_assets.sources.spool.intake.content import Content, stand_in, unreadable
from ingest_assets.sources.spool.intake.envelope import Bounds
from ingest_assets.sources.spool.intake.errors import BatchError, UnfinishedError
from ingest_assets.sources.spool.intake.facts import (
    NOT_FINITE,
    OTHER_DIMENSION,
    Facts,
    Known,
    Record,
    Scan,
    with_finite_vectors,
)
from ingest_assets.sources.spool.intake.parsing import OTHER_FORM
from ingest_assets.sources.spool.intake.stream import PIECE
from ingest_assets.sources.spool.places import open_regular
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.stopping import ASKED_EVERY_S, go_on, unchecked

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

PAGE = 1_000  # records that are given at once, at most
AHEAD = 4  # pieces of a batch that are parsed before their records are asked for, at most
PAGE_WEIGHT = 8 << 20  # characters of their texts, about
_METADATA_WEIGHT = 8  # characters of text that take as much memory as one of metadata, which becomes objects
CPU_S = 60.0  # of a piece of a batch, at most: it takes a fraction of a second
# More batches than this that kill their parsers, in one run, are an attack.
MAX_DEATHS = 20
_NOUN = "the parser of batches"
_started_ahead: StartedAhead[BatchReader] = StartedAhead("reader of batches")
_DAY_S = 86_400
_FLOAT_BYTES = 4


class BatchReader:
    """Reads batches, one after the other, with one confined process. To be closed."""

    def __init__(
        self, sandbox: Sandbox, settings: SpoolSettings, check: Callable[[], None] | None = None
    ) -> None:
        """`check` is called now and then while a batch is read, and ends that by raising."""
        self._sandbox, self._settings, self._check = sandbox, settings, check
        self._bounds = Bounds(
            settings.spool_max_records,
            settings.spool_max_text_chars,
            settings.personal_sources,
            vectors=bool(settings.spool_vectors_model),
            wanted=False,
        )
        self._child: Child | None = None
        self._deaths = 0
        self._ahead: _Ahead | None = None

    @classmethod
    def of(cls, bench: Workbench, check: Callable[[], None] | None = None) -> BatchReader:
        """By the settings of a workbench."""
        return cls(bench.sandbox, bench.settings_of(SpoolSettings), check)

    @classmethod
    def ready(cls, bench: Workbench) -> BatchReader:
        """The one that was started ahead in this context, if there is one; else a new one."""
        return _started_ahead.take(lambda each: each.is_running) or cls.of(bench)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._child is not None and self._child.process.is_running

    def start_ahead(self, path: Path) -> None:
        """Begin to scan a file, while others prepare the run that will take it: the next that is `ready`.

        The process ends with the sandbox. Where none can be started, whoever needs one says so.
        """
        with suppress(UnavailableError, OSError):
            self._started()
            thread = ThreadPoolExecutor(1, thread_name_prefix="scan")
            self._ahead = _Ahead(_identity(path), thread.submit(self._scanned_once, path))
            thread.shutdown(wait=False)
            _started_ahead.keep(self)

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def scan(self, path: Path) -> Scan:
        """What a file is. Raises FileNotFoundError; UnavailableError if nothing can be read."""
        if self._ahead is not None and (scan := self._ahead.of(path)) is not None:
            return scan
        scan = self._scanned_once(path)
        # Not every process dies of what it reads: the system may have run out of memory. A second one says.
        return self._scanned_once(path) if isinstance(scan.error, _DiedError) else scan

    def _scanned_once(self, path: Path) -> Scan:
        about = path.lstat()
        try:
            with open_regular(path) as file:
                return self._scanned(file)
        except FileNotFoundError:
            raise
        except OSError as error:
            failed = BatchError(unreadable(error))
            return Scan(stand_in(about), about.st_size, about.st_mtime, None, failed)

    def _scanned(self, file: IO[bytes]) -> Scan:
        about = os.fstat(file.fileno())
        content = self._content(file)
        facts = error = None
        try:
            content.require_size(about.st_size)
            facts = self._facts(content, about)
        except BatchError as found:
            error = found
            content.finish()
        if content.has_changed(about):
            facts, error = None, UnfinishedError("It was written to while it was read.")
        digest = content.digest if content.is_read else stand_in(about)
        return Scan(digest, about.st_size, about.st_mtime, facts, error)

    def _content(self, file: IO[bytes]) -> Content:
        return Content(file, self._settings.spool_max_file_mib * MIB)

    def _facts(self, content: Content, about: os.stat_result) -> Facts:
        *_, last = self._answers(content, about, wanted=False)
        said = parsing.facts_in(last)
        created_at = about.st_mtime if said.created_at is None else said.created_at
        self._require_time(created_at, "its file" if said.created_at is None else "its created_at")
        return Facts(**said._asdict() | {"created_at": created_at})

    def _require_time(self, seconds: float, what: str) -> None:
        s = self._settings
        if not _in_calendar(seconds):
            raise BatchError(f"The time of {what} is in no calendar.")
        days = (seconds - time.time()) / _DAY_S
        if days > s.spool_max_future_days:
            raise BatchError(
                f"The time of {what} lies {days:,.1f} days in the future; {s.spool_max_future_days:,} are "
                "the most (SPOOL_MAX_FUTURE_DAYS)."
            )
        if -days > s.spool_max_past_days:
            raise BatchError(
                f"The time of {what} lies {-days:,.0f} days in the past; {s.spool_max_past_days:,} are the "
                "most (SPOOL_MAX_PAST_DAYS)."
            )

    def records(self, path: Path, known: Known | None = None) -> Iterator[list[Record]]:
        """The records with text of a batch, a page at a time.

        Raises BatchError, possibly midway, if it is not the batch that is `known`, or, without that, cannot
        be read; UnavailableError.
        """
        if known is None:
            scan = self.scan(path)
            if scan.error is not None:
                raise scan.error
            facts = scan.facts
            assert facts is not None
            known = Known(scan.digest, facts.source, facts.dimension, facts.records - facts.skipped)
        after = -1
        try:
            for page in self._pages(path, known, after):
                after = page[-1].number
                yield page
        except _DiedError:  # as when it is scanned
            yield from self._pages(path, known, after)

    def _pages(self, path: Path, known: Known, after: int) -> Iterator[list[Record]]:
        """The records whose numbers come after one."""
        if self._ahead is not None:
            self._ahead.wait()
        try:
            with open_regular(path) as file:
                yield from self._pages_of(self._content(file), os.fstat(file.fileno()), known, after)
        except OSError as error:
            raise BatchError(unreadable(error)) from error

    def _pages_of(
        self, content: Content, about: os.stat_result, known: Known, after: int
    ) -> Iterator[list[Record]]:
        page: list[Record] = []
        count, last, weight = 0, -1, 0
        each = self._answers(content, about, wanted=True)
        with closing(each if about.st_size <= PIECE else _ahead(each)) as answers:
            for found in chain.from_iterable(map(parsing.records_in, answers)):
                if found.number <= last:
                    raise BatchError(OTHER_FORM)
                last, count = found.number, count + 1
                if last <= after:
                    continue
                weight += len(found.text) + _METADATA_WEIGHT * len(found.metadata)
                page.append(self._checked(found, known))
                if len(page) == PAGE or weight >= PAGE_WEIGHT:
                    yield with_finite_vectors(page)
                    page, weight = [], 0
        if page:
            yield with_finite_vectors(page)
        if content.digest != known.digest or content.has_changed(about):
            raise BatchError("It has changed since it was claimed.")
        if count != known.records:
            raise BatchError(OTHER_FORM)

    def _checked(self, found: Any, known: Known) -> Record:
        """A record as it is used. Nothing in what the process says is trusted."""
        try:
            metadata = from_json(found.metadata, allow_inf_nan=False)
        except ValueError:
            metadata = None
        size = len(found.vector or b"")
        length = size // _FLOAT_BYTES if known.dimension is None else known.dimension
        if (
            not isinstance(metadata, dict)
            or not 0 < len(found.text) <= self._settings.spool_max_text_chars
            or "\0" in found.text
            or "\0" in found.source
            or found.number >= self._settings.spool_max_records
            or size % _FLOAT_BYTES
        ):
            raise BatchError(OTHER_FORM)
        wrong = NOT_FINITE if found.is_refused else ""
        if found.vector is not None and size != _FLOAT_BYTES * length:
            wrong = OTHER_DIMENSION
        vector = None if wrong else found.vector
        return Record(found.number, found.source or known.source, found.text, metadata, vector, wrong)

    def _answers(self, content: Content, about: os.stat_result, *, wanted: bool) -> Generator[bytes]:
        """The answer to each piece of a batch, of which there is at least one. Raises BatchError."""
        begin: Bounds | None = self._bounds._replace(wanted=wanted)
        for piece, last in content.pieces():
            answer = self._ask(begin, piece, last)
            begin = None
            if answer == parsing.TRUNCATED:
                raise self._truncated(about)
            yield answer
        if begin is not None:
            raise self._truncated(about)

    def _truncated(self, about: os.stat_result) -> BatchError:
        is_empty = about.st_size == 0
        said = "It is empty." if is_empty else "It ends before the batch does."
        is_recent = abs(time.time() - about.st_mtime) < self._settings.spool_quiet_s
        return UnfinishedError(said) if is_recent else BatchError(said)

    def _ask(self, begin: Bounds | None, piece: bytes, last: bool) -> bytes:  # noqa: FBT001
        if self._deaths > MAX_DEATHS:
            raise UnavailableError(
                f"{self._deaths} batches killed {_NOUN}, and have failed. Run it again to go on."
            )
        try:
            return self._started().process.ask("feed", begin, piece, last, check=self._check)
        except ConfinedError as error:
            self._deaths += 1
            self.close()
            raise _DiedError(str(error)) from error
        except ItemError as error:
            raise BatchError(str(error)) from None

    def _started(self) -> Child:
        if self._child is None:
            given = self._sandbox.limits
            # Quotes and the like take two bytes each in an answer.
            most = 2 * self._bounds.record_bytes + 4 * PIECE
            limits = replace(given, cpu_s=min(given.cpu_s, CPU_S), answer_bytes=max(given.answer_bytes, most))
            self._child = self._sandbox.start(parsing.Parsing(), _NOUN, limits=limits)
        return self._child


def _ahead(answers: Iterator[bytes]) -> Generator[bytes]:
    """The answers; the next ones are made, on another core, while one is worked with."""
    following = unchecked(lambda: next(answers, None))
    thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        asked = deque(thread.submit(following) for _ in range(AHEAD))
        while (answer := _result(asked.popleft())) is not None:
            asked.append(thread.submit(following))
            yield answer
    finally:
        thread.shutdown(cancel_futures=True)


def _result(asked: Future[bytes | None]) -> bytes | None:
    while True:
        go_on()
        if wait([asked], ASKED_EVERY_S).done:
            return asked.result()


@dataclass(slots=True)
class _Ahead:
    """A scan that was begun before it was asked for. Meanwhile the process can be asked nothing else."""

    identity: tuple[int, ...]  # of the file
    scan: Future[Scan]

    def wait(self) -> None:
        """Until the process can be asked."""
        while not wait([self.scan], ASKED_EVERY_S).done:
            go_on()

    def of(self, path: Path) -> Scan | None:
        """The scan, if that file is this one and unchanged. What is wrong with a file is looked at again."""
        self.wait()
        if self.scan.exception() is not None or _identity(path) != self.identity:
            return None
        scan = self.scan.result()
        return scan if scan.error is None else None


def _identity(path: Path) -> tuple[int, ...]:
    """Of a file that was perhaps renamed. Raises OSError."""
    about = path.lstat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


class _DiedError(BatchError):
    """The process died while it parsed a batch."""


def _in_calendar(seconds: float) -> bool:
    try:
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return True
