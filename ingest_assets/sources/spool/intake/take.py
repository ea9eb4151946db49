"""Taking batches: from `incoming` into `processing`, and a row of the manifest for each.

Every step may be the last one before a crash: what lies in `processing` without a row that says so is read
again by the next run, under its own content, and never together with anything else.

What belongs here: claiming, and doing with a file what was recorded of it. What does not: what is recorded
(`recording`), and what is in a file (`reading`).
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ingest_assets.ledger.store import batched
from ingest_assets.model import UnavailableError
from ingest_assets.sources.spool.failing import put_aside, unreadable
from ingest_assets.sources.spool.files import free
from ingest_assets.sources.spool.intake.errors import BatchError, UnfinishedError
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.intake.recording import Claimed, Recorder, Verdict, known_names
from ingest_assets.sources.spool.intake.tags import claimed_name, climbs, shown
from ingest_assets.sources.spool.places import (
    BeingWrittenError,
    NotMovableError,
    Spool,
    moving,
    remove_thing,
    sync_folder,
)
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.sources.spool.waiting import Found, is_batch, look

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

MOST = 100_000  # files in one run: the oldest; the next run takes the others
# Files that are recorded in one transaction.
GROUP, GROUP_BYTES = 100, 16 << 20
LOOKED_UP = 1_000  # names in one query


@dataclass(slots=True)
class Taken:
    """What became of the files of one run."""

    claimed: int = 0  # new batches, and failed ones that are tried again
    failed: int = 0  # that cannot be read
    redelivered: int = 0  # that are here already, or gone for good
    unfinished: int = 0  # still being written, though they looked whole: the next run looks at them again


@dataclass(frozen=True, slots=True)
class _File:
    """A file to be taken."""

    name: str
    bytes: int
    is_claimed: bool  # by an earlier run, which did not come to record it


def take(bench: Workbench, reader: BatchReader, check: Callable[[], None] | None = None) -> Taken:
    """Claim each whole file in `incoming`, and go on with those that a crash left.

    `check` is called between files, and ends it by raising. The caller holds the source's lock. Raises
    ConfigurationError; UnavailableError if files cannot be moved, or nothing can be read: all others are
    taken, and everything is where it can be found again.
    """
    check = check or (lambda: None)
    spool = Spool.of(bench.settings_of(SpoolSettings))
    spool.prepare()
    with spool.lock(check=check):
        taking = _Taking(bench, spool, reader, check)
        spool.remove_drafts()
        for files in (taking.left_over(), _whole(spool)):
            for group in _groups(files):
                taking.take(group)
    taking.finish()
    return taking.taken


def _whole(spool: Spool) -> Sequence[_File]:
    """The whole files in `incoming`, oldest first."""
    found = (each for each in look(spool) if each is not None and each.is_whole)
    oldest: list[Found] = heapq.nsmallest(MOST, found, key=lambda each: (each.mtime_ns, each.name))
    return [_File(each.name, each.bytes, is_claimed=False) for each in oldest]


def _groups(files: Sequence[_File]) -> Iterator[list[_File]]:
    group: list[_File] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.bytes
        if len(group) == GROUP or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Taking:
    """One run."""

    def __init__(
        self, bench: Workbench, spool: Spool, reader: BatchReader, check: Callable[[], None]
    ) -> None:
        self._bench, self._spool, self._reader, self._check = bench, spool, reader, check
        self._recorder = Recorder(spool, bench.settings_of(SpoolSettings).gate_url)
        self._refused: UnavailableError | None = None  # about some files; the others are taken
        # Causes, of files that could be read, and of others.
        self._read: set[str] = set()
        self._unreadable: set[str] = set()
        self.taken = Taken()

    def left_over(self) -> Sequence[_File]:
        """Files in `processing` that no row of a batch on its way names."""
        left: list[_File] = []
        with os.scandir(self._spool.processing) as entries:
            for some in batched((each for each in entries if is_batch(each.name)), LOOKED_UP):
                with self._bench.ledger.reading() as connection:
                    known = known_names(connection, [each.name for each in some])
                new = (each for each in some if each.name not in known)
                left += [_File(e.name, e.stat(follow_symlinks=False).st_size, is_claimed=True) for e in new]
        return sorted(left, key=lambda file: file.name)

    def take(self, group: Sequence[_File]) -> None:
        """Claim, scan and record some files."""
        failure: UnavailableError | None = None
        claimed: list[Claimed] = []
        for name, file in self._claim(group):
            self._check()
            try:
                claimed += self._scanned(name, file)
            except UnavailableError as error:
                failure = error  # what was scanned is recorded, so that the next run has less to do
                break
        self._record(claimed)
        if failure is not None:
            raise failure

    def finish(self) -> None:
        """Say what could not be done. Raises UnavailableError."""
        from ingest_assets.sources.spool.notifier.failures import end_cause

        for cause in self._read - self._unreadable:
            end_cause(self._bench, cause)
        if self._refused is not None:
            raise self._refused

    def _claim(self, group: Sequence[_File]) -> list[tuple[str, _File]]:
        """Move what is not in `processing` yet. Returns the files with their names there."""
        names = [(file.name, file) for file in group if file.is_claimed]
        new = [file for file in group if not file.is_claimed]
        for file in new:
            try:
                with self._bench.ledger.reading() as connection:
                    name = free(connection, claimed_name(file.name), self._spool.ours)
                self._spool.place(file.name, self._spool.incoming, self._spool.processing, name)
            except FileNotFoundError:  # its producer took it away
                continue
            except BeingWrittenError:
                self.taken.unfinished += 1
                continue
            except NotMovableError as error:  # this one alone: the others can be taken
                self._refused = error
                continue
            names.append((name, file))
        if new:
            with moving(self._spool.processing):
                sync_folder(self._spool.processing)
                sync_folder(self._spool.incoming)
        return names

    def _scanned(self, name: str, file: _File) -> Iterator[Claimed]:
        try:
            scan = self._reader.scan(self._spool.processing / name)
        except FileNotFoundError:  # somebody removed it
            return
        if isinstance(scan.error, UnfinishedError):
            self._put_back(name)
            self.taken.unfinished += 1
            return
        if climbs(name):
            said = "Its name has two dots in a row, as if it led elsewhere. Deliver it under another name."
            scan = replace(scan, facts=None, error=BatchError(said))
        yield Claimed(name, shown(file.name), scan, file.is_claimed)

    def _put_back(self, name: str) -> None:
        """Back to `incoming`, if its name is free; else it stays, and the next run looks at it again."""
        old, new = self._spool.processing / name, self._spool.incoming / name
        # A link, because producers write there, too: renaming would overwrite what came meanwhile.
        with suppress(OSError):
            new.hardlink_to(old)
            old.unlink()

    def _record(self, claimed: Sequence[Claimed]) -> None:
        from ingest_assets.sources.spool.notifier.events_log import log_event

        if not claimed:
            return
        with self._bench.ledger.transaction() as connection:
            verdicts = self._recorder.record(connection, claimed)
        for each, verdict in zip(claimed, verdicts, strict=True):
            try:
                self._move(each, verdict)
            except FileNotFoundError:  # somebody removed it: who reads the batch says so
                pass
            except UnavailableError as error:  # about this one, such as a full disk: the next run does it
                self._refused = error
                log_event(self._bench, "batch.not_moved", batch_tag=verdict.batch_tag)
                continue
            self._count(each, verdict)

    def _move(self, claimed: Claimed, verdict: Verdict) -> None:
        """Do with a file what was recorded of it."""
        if verdict.target == "failed":
            put_aside(
                self._bench,
                self._spool.processing / claimed.name,
                as_name=verdict.as_name,
                batch_tag=verdict.batch_tag,
                error=verdict.error,
                delivered=claimed.delivered,
                cause=verdict.cause,
                reason=verdict.reason,
            )
        elif verdict.as_name not in {"", claimed.name} or verdict.target == "archive":
            folder = self._spool.archive if verdict.target == "archive" else self._spool.processing
            self._spool.move(claimed.name, self._spool.processing, folder, verdict.as_name)
        elif verdict.target == "drop":
            remove_thing(self._spool.processing / claimed.name)

    def _count(self, claimed: Claimed, verdict: Verdict) -> None:
        from ingest_assets.sources.spool.notifier.events_log import log_event

        is_read = claimed.scan.facts is not None
        (self._read if is_read else self._unreadable).add(unreadable(claimed.name))
        if verdict.what != "known":
            count = getattr(self.taken, verdict.what)
            setattr(self.taken, verdict.what, count + 1)
            tag, size = verdict.batch_tag, claimed.scan.bytes
            log_event(self._bench, f"batch.{verdict.what}", batch_tag=tag, bytes=size)
