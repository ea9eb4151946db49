"""BM25 on every core: worker processes, fed in order and bounded in flight.

What belongs here: feeding and ending the workers (see `worker` for what they are), and what a worker does.
"""

from __future__ import annotations

import logging
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from ingest_assets.embedding.worker import GONE, ask, end_worker, serve, start_worker
from ingest_assets.model import SparseVectors

log = logging.getLogger(__name__)

Documents = Callable[[Sequence[str]], SparseVectors]
_AHEAD = 3  # batches a worker: one in work, one waiting, one done, so that none of them waits for the reader


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
        self._processes = [start_worker(work) for _ in range(workers)]
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
                rows: SparseVectors = ask(process, batch)
                return rows
        except GONE as error:
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
            end_worker(process)


def work() -> None:
    """A worker's life: the rows of the batches of texts that it is sent."""
    from ingest_assets.embedding.bm25 import TermWeights

    serve(TermWeights().documents)
