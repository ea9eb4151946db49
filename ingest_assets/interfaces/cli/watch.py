"""`ingest watch`: refresh a source whenever it says that a refresh is due, in this one process.

With a folder, it is that folder which is kept in step (`watch_folder`).

The source is asked as soon as something changes in the folders that it names, and every few seconds besides:
for what shows in no folder (a gate that was opened, a file that has waited long enough), and for file systems
that report no changes.

What belongs here: waiting, and what follows from a run. What does not: when a refresh is due (the source's
`Triggers`), and running it (`runs`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest_assets.interfaces.cli.options import Json, require_source
from ingest_assets.interfaces.cli.watched_runs import Pause, Printed, WatchedRuns
from ingest_assets.model import IngestError
from ingest_assets.settings import load_settings
from ingest_assets.sources.definition import Due, SourceDefinition
from ingest_assets.sources.registry import load_sources
from ingest_assets.terminal import complain
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.interfaces.cli.runs import RunReport

ASKED_EVERY_S = 2.0
# What arrives within this time after a change is looked at together.
TOGETHER_MS = 20

_WATCHABLE = [name for name, source in load_sources().items() if source.triggers.due]
_TAKE_FOLDERS = [
    name for name, source in load_sources().items() if source.partitions and source.partitions.folder
]


def watch(
    path: Annotated[
        Path | None,
        typer.Argument(help="A folder to keep in the index as it stands on disk.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help=f"The source: {', '.join(_WATCHABLE)}. By default the first.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Refresh a source as soon as its settings say that it is due, or a folder as soon as it changes.

    Ends when it is told to (Ctrl-C or SIGTERM). Prints a line for each run. A run that has begun ends before
    the command does; a second signal ends it at once, and the next run goes on from there. A run that failed
    is tried again, after a pause that grows.
    """
    require_source(source)
    if path is not None:
        return _watch_folder(path, source, as_json=json)
    if source is not None and source not in _WATCHABLE:
        folder = " Or give the folder to be watched." if source in _TAKE_FOLDERS else ""
        raise typer.BadParameter(
            f"{source} does not say when a refresh of it is due. Its sensor and its schedule refresh it."
            f"{folder}"
        )
    settings = load_settings()
    with Workbench(settings) as bench, stopped_by_signals() as stop:
        bench.dense_model  # noqa: B018 - raises if the settings are wrong; loads nothing yet
        definition = bench.sources[source or _WATCHABLE[0]]
        bench.require_configured(definition.name)
        with WatchedRuns(settings, definition.name) as runs:
            Watch(bench, definition, stop, Printed(json), runs.run).run()
    return None


def _watch_folder(path: Path, source: str | None, *, as_json: bool) -> None:
    from ingest_assets.interfaces.cli.watch_folder import FolderWatch, only_watcher

    if source not in (None, *_TAKE_FOLDERS):
        raise typer.BadParameter(f"{source} takes no folder.")
    settings = load_settings()
    with Workbench(settings) as bench, stopped_by_signals() as stop:
        bench.dense_model  # noqa: B018 - as above
        definition = bench.sources[source or _TAKE_FOLDERS[0]]
        assert definition.partitions is not None
        assert definition.partitions.folder is not None
        # Links are followed once, now: what is watched is what it leads to.
        folder = definition.partitions.folder(bench, path.resolve())
        with only_watcher(bench, folder), WatchedRuns(settings, definition.name) as runs:
            FolderWatch(folder, stop, Printed(as_json), runs.run).run()


class Watch:
    """One source, watched until `stop` is set."""

    def __init__(
        self,
        bench: Workbench,
        source: SourceDefinition,
        stop: threading.Event,
        said: Printed,
        refresh: Callable[[], RunReport],
    ) -> None:
        assert source.triggers.due is not None
        self._bench, self._source, self._stop, self._said = bench, source, stop, said
        self._due = source.triggers.due
        self._refresh = refresh
        self._done_for: str | None = None  # the key of the last run: each state gets one
        self._pause = Pause()

    def run(self) -> None:
        """Ask, run or wait, until `stop` is set."""
        folders = self._source.triggers.watched(self._bench)
        self._said.watching(self._source.name)
        for _ in _occasions(folders, self._stop):
            while not self._stop.is_set() and (due := self._asked()) is not None:
                self._run(due)
        self._said.stopped()

    def _asked(self) -> Due | None:
        """What a run is due for now; None if there is nothing."""
        if not self._pause.is_over:
            return None
        try:
            due = self._due(self._bench)
        except (IngestError, OSError) as error:  # a ledger or a folder that is away may come back
            self._failed([str(error)])
            return None
        return None if due.key in (None, self._done_for) else due

    def _run(self, due: Due) -> None:
        began = time.monotonic()
        try:
            report = self._refresh()
        except (IngestError, OSError) as error:
            self._failed([str(error)])
            return
        if not report.success:
            self._failed(report.errors)
            return
        self._pause, self._done_for = Pause(), due.key
        self._said.ran(due.reason, report, time.monotonic() - began)

    def _failed(self, errors: Sequence[str]) -> None:
        self._said.failed(errors, self._pause.begin())


def _occasions(folders: Sequence[Path], stop: threading.Event) -> Iterator[Any]:
    """When to ask: now, at each change in the folders, and every few seconds; until `stop` is set."""
    from watchfiles import watch as changes

    yield "now"
    try:
        yield from changes(
            *folders,
            watch_filter=None,
            debounce=TOGETHER_MS * 10,
            step=TOGETHER_MS,
            rust_timeout=int(ASKED_EVERY_S * 1_000),
            yield_on_timeout=True,
            recursive=False,
            stop_event=stop,
            raise_interrupt=False,
        )
    except (OSError, RuntimeError) as error:  # its own errors are RuntimeErrors
        # Too many watches on this system, or a folder that went away: asking by time still works.
        complain(f"ingest: warning: changes are not seen at once, but after {ASKED_EVERY_S:g} s. {error}")
        while not stop.wait(ASKED_EVERY_S):
            yield "later"


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Set by the first SIGTERM or SIGINT; the second one ends the process, as it would have without this."""
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal(*_: Any) -> None:
        stop.set()
        for each in signals:
            signal.signal(each, signal.SIG_DFL)

    before = {each: signal.signal(each, on_signal) for each in signals}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
