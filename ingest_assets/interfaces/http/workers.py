"""What runs searches: this process, or worker processes.

The embedded engine and Python hold the interpreter's lock while they work, so threads search no faster than
one of them does. Processes do, and leave the event loop free.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Protocol

from ingest_assets.cache.lookups import LOOKUPS
from ingest_assets.garbage import collect_rarely
from ingest_assets.log_output import send_logs
from ingest_assets.log_records import make_records_safe
from ingest_assets.model import IngestError, UnavailableError
from ingest_assets.queries.answers import CleanHits
from ingest_assets.queries.asked import where_meant, zone_of
from ingest_assets.queries.reach import Reach
from ingest_assets.queries.search import Mode, open_search
from ingest_assets.queries.status import source_meant
from ingest_assets.redaction import redact_values
from ingest_assets.settings import Settings
from ingest_assets.timings import TIMINGS
from ingest_assets.tracing import context_of, flush, span
from ingest_assets.workbench import Workbench

log = logging.getLogger(__name__)
EXIT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search."""

    source: str | None
    query: str
    mode: Mode = "hybrid"
    limit: int = 10
    where: Mapping[str, Sequence[str]] | None = None
    time_zone: str | None = None  # of days in `where`
    cached: bool = True  # the answer may come from the cache
    reach: Reach | None = None  # of the caller
    trace: Mapping[str, str] = field(default_factory=dict)  # what it is a part of (`tracing.context_to_send`)


class Worker(Protocol):
    """Answers one search after another. Used by one thread at a time."""

    def search(self, request: SearchRequest) -> bytes:
        """The hits as JSON. Raises what `SourceSearch.search` raises."""
        ...

    def close(self) -> None:
        """Stop, and close everything that is open."""
        ...


class InProcessWorker:
    """Searches in this process. Opens what it needs on first use, and keeps it open."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def search(self, request: SearchRequest) -> bytes:
        source = source_meant(self._bench, request.source, request.reach)
        zone = zone_of(self._bench, request.time_zone)
        where = where_meant(self._bench, source, request.where or {}, zone)
        with span("answer search", context_of(request.trace), source=source, cached=request.cached):
            hits = open_search(self._bench, source, cached=request.cached).search(
                request.query, mode=request.mode, limit=request.limit, where=where, reach=request.reach
            )
        answer = hits.to_dict(scores=True)
        clean = {"hits": answer.pop("hits")} if isinstance(hits, CleanHits) else {}
        answer = redact_values(answer) | clean
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()

    def close(self) -> None:
        self._bench.close()


class ProcessWorker:
    """Searches in a process of its own, which is started on first use, and restarted after it has died.

    Its lookups in the cache and its timings are counted with this process's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, if one was started."""
        return self._process.pid if self._process else None

    def search(self, request: SearchRequest) -> bytes:
        try:
            answer = self._ask(request)
        except (EOFError, OSError):
            # The process died, perhaps long ago. A search changes nothing, so it is tried again in a new
            # process; once only, because a search that kills two processes would kill a third.
            log.warning("A search process died; starting another one.")
            self.close()
            try:
                answer = self._ask(request)
            except (EOFError, OSError) as error:
                self.close()
                raise UnavailableError("The search process keeps dying.") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # which makes the process exit
        if self._process is not None:
            self._process.join(EXIT_TIMEOUT_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._pipe = self._process = None

    def _ask(self, request: SearchRequest) -> bytes | Exception:
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send(request)
        answer: bytes | Exception
        answer, lookups, timings = self._pipe.recv()
        LOOKUPS.add(lookups)
        TIMINGS.add(timings)
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks that other threads hold
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, self._settings), daemon=True)
        self._process.start()
        theirs.close()  # otherwise we would not notice when the process dies


def _run(pipe: Connection, settings: Settings) -> None:
    """Answer searches until the other end of the pipe is closed."""
    # A signal that stops the server goes to all of its processes. This one finishes the search it is working
    # on, and exits when the server closes the pipe or is gone.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    make_records_safe()
    send_logs(settings.ingest_log_level, settings.ingest_log_format)
    collect_rarely()
    worker = InProcessWorker(Workbench(settings))
    with suppress(EOFError, OSError):
        while True:
            answer = _answer(worker, pipe.recv())
            pipe.send((answer, LOOKUPS.take(), TIMINGS.take()))
    worker.close()
    flush()


def _answer(worker: InProcessWorker, request: SearchRequest) -> bytes | Exception:
    try:
        return worker.search(request)
    except IngestError as error:
        return error
    except Exception:  # whatever it is, the next search may succeed; logged here, where the traceback is
        log.exception("A search failed.")
        return IngestError("A search failed.")
