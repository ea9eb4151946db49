"""`ingest watch PATH`: keep one folder of this machine in the index while people work in it.

The system says what changes; a change that can matter is followed by a run, which finds by content what is
different. So nothing depends on what was said of a file, and a burst of changes takes one run. Now and then,
and all the time where the system says nothing, the folder is looked at without being told.

What belongs here: when to run. What does not: which changes matter (the folder's source), and what people see
(`watch`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest_assets.interfaces.cli.watched_runs import Pause, Printed
from ingest_assets.model import IngestError, UnavailableError, digest_of
from ingest_assets.sources.definition import WatchedFolder
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from watchfiles.main import FileChange

    from ingest_assets.interfaces.cli.runs import RunReport

# What changes within this time is taken together, as a program that saves a file changes several things; and
# for how long at most, because something may change all the time.
TOGETHER_MS, LONGEST_MS = 30, 400
# How often it is looked whether the folder is still the same one, and whether to end.
AWAKE_EVERY_S = 0.5
# How often the folder is looked at although no change was seen: the system drops some when there are many.
LOOK_EVERY_S = 60.0
# The same where the system does not say what changes; and how many times as long as a look is waited.
UNTOLD_LOOK_EVERY_S, LOOK_SHARE = 2.0, 4
_WATCHED = "Another process watches this folder already. One at a time is enough: end it first."


@contextmanager
def only_watcher(bench: Workbench, folder: WatchedFolder) -> Iterator[None]:
    """Be the only process that watches a folder. Raises UnavailableError if there is one."""
    with bench.ledger.lock(f"watching-{digest_of(folder.part)}", 0, _watched_already()):
        yield


def _watched_already() -> Callable[[], None]:
    """Called when the lock is held by somebody else, in place of the message for runs."""

    def refuse() -> None:
        raise UnavailableError(_WATCHED)

    return refuse


class FolderWatch:
    """One folder, kept in step until `stop` is set."""

    def __init__(
        self,
        folder: WatchedFolder,
        stop: threading.Event,
        said: Printed,
        refresh: Callable[..., RunReport],
    ) -> None:
        self._folder, self._stop, self._said, self._refresh = folder, stop, said, refresh
        self._pause = Pause()
        self._wanted = ""  # why a run is due, as a clause
        self._seen_leave = False  # whether something was seen to leave the folder since the last run
        self._state: str | None = None  # at the last look
        self._look_at = 0.0  # by `time.monotonic()`
        self._look_every_s = LOOK_EVERY_S

    def run(self) -> None:
        """Wait for changes and follow each with a run, until `stop` is set."""
        self._said.watching(str(self._folder.path))
        for changes in self._occasions():
            self._note(changes)
            if self._wanted and self._pause.is_over:
                self._run()
        self._said.stopped()

    def _note(self, changes: set[FileChange] | None) -> None:
        if changes is None:
            # What left while nobody looked may be on a disk that is away: no run may remove much of it.
            self._wanted, self._seen_leave = self._wanted or "it is watched from now on", False
            self._pause = Pause()
        elif changes:
            if self._folder.concerns({Path(path) for _, path in changes}):
                self._wanted = "files have changed"
                self._seen_leave |= any(kind == _deleted() for kind, _ in changes)
                self._pause.shorten()
        elif not self._wanted and time.monotonic() >= self._look_at:
            self._look()

    def _look(self) -> None:
        """Whether something is different that nobody told of."""
        began = time.monotonic()
        try:
            state = self._folder.state()
        except (IngestError, OSError):
            state = (
                self._state or ""
            )  # if it is gone, that is seen soon; if it cannot be read, a run says why
        if self._state is not None and state != self._state:
            self._wanted = "files have changed"
        self._state = state
        self._look_later(time.monotonic() - began)

    def _look_later(self, took_s: float = 0.0) -> None:
        self._look_at = time.monotonic() + max(self._look_every_s, LOOK_SHARE * took_s)

    def _run(self) -> None:
        from ingest_assets.interfaces.cli.runs import Asked

        why, removed = self._wanted, self._seen_leave
        self._wanted, self._seen_leave = "", False
        began = time.monotonic()
        try:
            report = self._refresh(part=self._folder.part, asked=Asked(allow_removals=removed))
            errors = None if report.success else report.errors
        except (IngestError, OSError) as error:
            errors = [str(error)]
        if errors is not None:
            self._wanted, self._seen_leave = self._wanted or why, self._seen_leave or removed
            self._said.failed(errors, self._pause.begin())
            return
        self._pause = Pause()
        self._look_later()
        self._said.ran(why, report, time.monotonic() - began)

    def _occasions(self) -> Iterator[set[FileChange] | None]:
        """What has changed; nothing, every now and then; None when the folder is there, or there again."""
        gone = False
        while not self._stop.is_set():
            identity = _identity(self._folder.path)
            if identity is not None:
                gone = False
                yield from self._told(identity)
            elif not gone:
                gone = True
                self._said.waiting("The folder is gone. What is indexed of it stays; it is waited for.")
            if gone:
                self._stop.wait(AWAKE_EVERY_S)

    def _told(self, identity: tuple[int, int]) -> Iterator[set[FileChange] | None]:
        """While the folder is this one."""
        self._look_every_s, self._state = LOOK_EVERY_S, None
        first = True
        try:
            for changes in self._changes():
                if _identity(self._folder.path) != identity:
                    return
                # Only now, because what changed before it was watched is told by nobody.
                yield None if first else changes
                first = False
        except (OSError, RuntimeError) as error:  # its own errors are RuntimeErrors
            if _identity(self._folder.path) != identity:
                return
            yield from self._untold(identity, error)

    def _changes(self) -> Iterator[set[FileChange]]:
        from watchfiles import watch as changes

        return changes(
            self._folder.path,
            watch_filter=None,
            debounce=LONGEST_MS,
            step=TOGETHER_MS,
            rust_timeout=int(AWAKE_EVERY_S * 1_000),
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )

    def _untold(self, identity: tuple[int, int], error: Exception) -> Iterator[set[FileChange] | None]:
        """As `_told`, where the system cannot watch so many folders, or not this one."""
        self._look_every_s = UNTOLD_LOOK_EVERY_S
        self._said.waiting(
            f"The system does not say what changes here ({error}), so that the folder is looked at every "
            f"{UNTOLD_LOOK_EVERY_S:g} s, or less often if that takes long."
        )
        yield None
        while not self._stop.wait(AWAKE_EVERY_S) and _identity(self._folder.path) == identity:
            yield set()


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the folder that is there now; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _deleted() -> Any:
    from watchfiles import Change

    return Change.deleted
