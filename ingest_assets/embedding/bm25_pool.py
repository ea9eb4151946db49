"""BM25 on every core: worker processes, fed in order and bounded in flight.

What belongs here: starting, feeding and ending the workers, and what a worker does. They are plain child
processes of the interpreter rather than a `multiprocessing` pool, because those import the program's main
module again (the orchestrator's takes seconds), cannot be started from daemonic processes, and outlive a
parent that is killed. These end when their standard input does.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import IO, cast

from ingest_assets.model import SparseVectors

log = logging.getLogger(__name__)

Documents = Callable[[Sequence[str]], SparseVectors]
_AHEAD = 3  # batches a worker: one in work, one waiting, one done, so that none of them waits for the reader


def available_cores() -> int:
    """The cores this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stream(batches: Iterable[Sequence[str]], workers: int, here: Documents) -> Iterator[SparseVectors]:
    """The rows of every batch, in order, from `workers` processes. `here` does a batch whose worker died.

    At most 3 batches a worker are read ahead of what was taken. The workers end with the iterator.
    """
    pool = _Pool(workers, here)
    waiting: deque[Future[SparseVectors]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(batch))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.close()


class _Pool:
    """A thread for each worker process: it writes a batch, reads the answer, and takes the next batch."""

    def __init__(self, workers: int, here: Documents) -> None:
        self._here = here
        self._closing = False
        self._processes = [_start_worker() for _ in range(workers)]
        self._idle: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="bm25")

    def submit(self, batch: Sequence[str]) -> Future[SparseVectors]:
        return self._threads.submit(self._ask, list(batch))

    def _ask(self, batch: list[str]) -> SparseVectors:
        process = self._idle.get()
        try:
            if process is not None:
                return _exchange(process, batch)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            # The worker was killed, for want of memory for example. The batch is done here instead, with the
            # same result, and the stream goes on with fewer workers.
            if self._closing:
                raise
            log.warning("A BM25 worker process ended early (%s); going on without it.", type(error).__name__)
            process = None
        finally:
            self._idle.put(process)
        return self._here(batch)

    def close(self) -> None:
        """Ends the workers at once. They hold nothing that could be lost."""
        self._closing = True
        for process in self._processes:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.communicate()


def _start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # the command is a constant
        [sys.executable, "-c", f"from {__name__} import work; work()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def _exchange(process: subprocess.Popen[bytes], batch: list[str]) -> SparseVectors:
    sink, source = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    pickle.dump(batch, sink, protocol=5)
    sink.flush()
    rows: SparseVectors = pickle.load(source)  # noqa: S301  # our own child's, over a pipe that only it holds
    return rows


def work() -> None:
    """A worker's life: batches of texts from standard input, their rows to standard output, until it ends."""
    # Ctrl-C goes to the whole process group; the parent decides, and closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a library prints goes to standard error, so that it cannot get between the rows.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    from ingest_assets.embedding.bm25 import TermWeights

    weights = TermWeights()
    while True:
        try:
            batch = pickle.load(source)  # noqa: S301  # our own parent's
        except EOFError:
            return
        pickle.dump(weights.documents(batch), sink, protocol=5)
        sink.flush()
