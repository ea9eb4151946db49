"""BM25 on every core: worker processes, fed in order with a bounded number of batches.

What belongs here: feeding and ending the workers. What does not: what they are (`worker`) and do (`bm25`).
"""

from __future__ import annotations

import logging
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from ingest_assets.embedding.worker import GONE, ask, end_worker, start_worker
from ingest_assets.model import SparseVectors

log = logging.getLogger(__name__)

Documents = Callable[[Sequence[str]], SparseVectors]
_BATCHES_PER_WORKER = 3  # one being processed, one waiting, one done, so that no worker waits for the reader


def stream(
    batches: Iterable[Sequence[str]], workers: int, main: Callable[[], None], *, fallback: Documents
) -> Iterator[SparseVectors]:
    """The rows of every batch, in order, from `workers` processes, whose main function is `main`.

    `fallback` processes a batch whose worker died. At most 3 batches per worker are read ahead of the results
    that were taken. The workers end with the iterator.
    """
    pool = _Pool(workers, main, fallback)
    waiting: deque[Future[SparseVectors]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(batch))
            if len(waiting) >= _BATCHES_PER_WORKER * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.close()


class _Pool:
    """A thread for each worker process: it writes a batch, reads the answer, and takes the next batch."""

    def __init__(self, workers: int, main: Callable[[], None], fallback: Documents) -> None:
        self._fallback = fallback
        self._closing = False
        self._processes = [start_worker(main) for _ in range(workers)]
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
            # The worker was killed, for example for lack of memory. This process does the batch instead, with
            # the same result, and the stream continues with fewer workers.
            if self._closing:
                raise
            log.warning("A BM25 worker process ended early (%s); going on without it.", type(error).__name__)
            process = None
        finally:
            self._idle.put(process)
        return self._fallback(batch)

    def close(self) -> None:
        """End the workers at once. They hold nothing that could be lost."""
        self._closing = True
        for process in self._processes:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            end_worker(process)
