"""What searches: in this process, or in one of its own.

The embedded engine and Python keep the interpreter to themselves while they work, so threads do not search
faster than one of them does. Processes do, and leave the event loop alone.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from ingest_assets.catalog import SOURCES
from ingest_assets.collector import collect_seldom
from ingest_assets.model import IngestError, UnavailableError
from ingest_assets.search import Searcher
from ingest_assets.search.query import Mode
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

log = logging.getLogger(__name__)
END_S = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search."""

    source: str
    query: str
    mode: Mode = "hybrid"
    limit: int = 10
    where: Mapping[str, Sequence[str]] | None = None


class Worker(Protocol):
    """Answers one search after another. Used by one thread at a time."""

    def search(self, wanted: Wanted) -> bytes:
        """The answer as JSON. Raises what `Searcher.search` raises."""
        ...

    def close(self) -> None:
        """End."""
        ...


class HereWorker:
    """In this process. Opens what it needs on first use, and keeps it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._searchers = {source: Searcher(bench, source) for source in SOURCES}

    def search(self, wanted: Wanted) -> bytes:
        hits = self._searchers[wanted.source].search(
            wanted.query, mode=wanted.mode, limit=wanted.limit, where=wanted.where
        )
        answer = hits.to_dict(scores=True)
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()

    def close(self) -> None:
        self._bench.close()


class ProcessWorker:
    """In a process of its own, which is started on first use, and again when it has died."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if one was started."""
        return self._process.pid if self._process else None

    def search(self, wanted: Wanted) -> bytes:
        try:
            answer = self._ask(wanted)
        except (EOFError, OSError):
            # It died, perhaps long ago. Once more, in a new one: searching changes nothing. Only once: what
            # kills two in a row will kill the third.
            log.warning("A search process has died; another is started.")
            self.close()
            try:
                answer = self._ask(wanted)
            except (EOFError, OSError) as error:
                self.close()
                raise UnavailableError("The search process dies.") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # which tells it to end
        if self._process is not None:
            self._process.join(END_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._pipe = self._process = None

    def _ask(self, wanted: Wanted) -> bytes | Exception:
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send(wanted)
        answer: bytes | Exception = self._pipe.recv()
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks that other threads hold
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, self._settings), daemon=True)
        self._process.start()
        theirs.close()  # else we would not notice that it has died


def _run(pipe: Connection, settings: Settings) -> None:
    """Answer searches until nobody is there to ask."""
    # A signal that ends the server goes to all its processes; this one ends when the server closes the pipe,
    # or is gone, so that searches under way are answered.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="ingest: %(levelname)s: %(message)s")
    collect_seldom()
    worker = HereWorker(Workbench(settings))
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(worker, pipe.recv()))
    worker.close()


def _answer(worker: HereWorker, wanted: Wanted) -> bytes | Exception:
    try:
        return worker.search(wanted)
    except IngestError as error:
        return error
    except Exception:  # whatever it is, the next search may do well; it is logged here, where its trace is
        log.exception("A search failed.")
        return IngestError("A search failed.")
