"""The models in a process of their own, loaded while this one still reads and chunks.

Loading the models takes longer than anything else in a refresh of one record. So it starts on another core
as soon as a source turns out to have changed, and the few texts of such a refresh are sent there. Vectors do
not depend on the process or batch that they are made in. Many texts are embedded by the dense model here,
which uses every core; their terms are counted there while this process still chunks, and weighed a batch
ahead of what it records. For very many, all cores pay off. The other process ends when nothing is left that
it would be asked.

What belongs here: the process, and the two models that ask it first.
"""

from __future__ import annotations

import logging
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

from ingest_assets.ahead import StartedAhead
from ingest_assets.embedding.worker import GONE, ask, available_cores, end_worker, serve, start_worker
from ingest_assets.model import DenseModel, Float32Array, SparseModel, SparseVectors
from ingest_assets.timings import timed

log = logging.getLogger(__name__)

FEW = 256  # texts, as many as a paper has; to embed more, loading the dense model here as well pays off
MANY = 10_000  # texts of a stream; for more, a process on each core does
AHEAD = 1  # batches
_ahead: StartedAhead[Preloader] = StartedAhead("process that embeds")


class Preloader:
    """The process, which is started at most once."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._started = False
        self._asking = Lock()
        self._expecting: ThreadPoolExecutor | None = None
        self._expected = 0

    @property
    def running(self) -> bool:
        return self.process is not None

    def start_ahead(self) -> None:
        """Start the process for the preloader that starts next in this context, or ends with this one."""
        self.start()
        _ahead.keep(self)

    def start(self) -> None:
        """Start loading the models, if there is another core to do it on."""
        if self._started:
            return
        self._started = True
        other = _ahead.take(lambda each: each.running)
        if other is not None:
            self.process, other.process = other.process, None
        elif available_cores() > 1:
            self.process = start_worker(run_worker)

    def expect(self, texts: Sequence[str]) -> None:
        """Have the terms counted of texts that will be weighed: of the first MANY. Does not wait.

        Of few texts nothing is gained, and their dense vectors, which are asked for first, would come later.
        """
        if self.process is None or len(texts) <= FEW or self._expected + len(texts) > MANY:
            return
        self._expected += len(texts)
        if self._expecting is None:
            self._expecting = ThreadPoolExecutor(1, thread_name_prefix="expected")
        self._expecting.submit(self.ask, "expected", texts)

    def ask(self, model: str, texts: Sequence[str]) -> Any:
        """The process's answer; None if it is not running. Threads wait for each other."""
        with self._asking:
            process = self.process
            if process is None:
                return None
            try:
                return ask(process, (model, list(texts)))
            except GONE as error:
                if self.process is None:  # it was closed
                    return None
                said = type(error).__name__
                log.warning("The embedding process ended early (%s); going on without it.", said)
                self.process = None
            end_worker(process)
            return None

    def close(self) -> None:
        """End the process, if it is running."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()  # whoever waits for an answer stops waiting
            with self._asking:
                end_worker(process)
        if self._expecting is not None:
            self._expecting.shutdown(cancel_futures=True)
            self._expecting = None


class PreloadedDenseModel:
    """The bundled model; the process is asked first, and `model` embeds what it does not."""

    def __init__(self, model: DenseModel, preloader: Preloader) -> None:
        self._model, self._preloader = model, preloader

    @property
    def identity(self) -> str:
        return self._model.identity

    @property
    def dimension(self) -> int:
        return self._model.dimension

    def embed(self, texts: Sequence[str]) -> Float32Array:
        if len(texts) <= FEW and self._preloader.running:
            with timed("embed", texts=len(texts)):
                vectors: Float32Array | None = self._preloader.ask("dense", texts)
            if vectors is not None:
                return vectors
        return self._model.embed(texts)

    def embed_query(self, text: str) -> Float32Array:
        return self._model.embed_query(text)


class PreloadedSparseModel:
    """BM25; the process is asked first, and `model` embeds what it does not."""

    def __init__(self, model: SparseModel, preloader: Preloader) -> None:
        self._model, self._preloader = model, preloader

    @property
    def identity(self) -> str:
        return self._model.identity

    def embed_stream(self, batches: Iterable[Sequence[str]]) -> Iterator[SparseVectors]:
        remaining = iter(batches)
        asked: deque[tuple[Sequence[str], Future[SparseVectors | None]]] = deque()
        rest: Iterator[Sequence[str]] | None = None
        sent = 0
        with ThreadPoolExecutor(1, thread_name_prefix="preloaded") as thread:
            for batch in remaining:
                if not self._preloader.running or sent >= MANY:
                    rest = _prepended(batch, remaining)
                    break
                asked.append((batch, thread.submit(self._preloader.ask, "sparse", batch)))
                sent += len(batch)
                if len(asked) > AHEAD:
                    yield self._answered(*asked.popleft())
            while asked:
                yield self._answered(*asked.popleft())
        if rest is not None or sent > FEW:
            # Of that many texts, the dense vectors are made here: nobody asks the process any more, and it
            # has a model in memory.
            self._preloader.close()
        if rest is not None:
            yield from self._model.embed_stream(rest)

    def _answered(self, batch: Sequence[str], asked: Future[SparseVectors | None]) -> SparseVectors:
        vectors = asked.result()
        return next(self._model.embed_stream([batch])) if vectors is None else vectors

    def embed_query(self, text: str) -> SparseVectors:
        return self._model.embed_query(text)


def _prepended(first: Sequence[str], rest: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
    yield first
    yield from rest


def run_worker() -> None:
    """The process's main function: loads the dense model, which is asked first, then BM25 in a thread."""
    from ingest_assets.embedding.bundled import BundledModel

    dense = BundledModel()
    dense.embed(["Loads the table of token vectors."])
    with ThreadPoolExecutor(1) as thread:
        serve(partial(_answer, dense, thread.submit(_term_weights)))


def _term_weights() -> Any:
    from ingest_assets.embedding.bm25 import TermWeights

    return TermWeights()


def _answer(dense: DenseModel, sparse: Future[Any], question: tuple[str, list[str]]) -> object:
    model, texts = question
    if model == "dense":
        return dense.embed(texts)
    weights = sparse.result()
    return weights.expect(texts) if model == "expected" else weights.documents(texts)
