"""The models in a process of their own, which loads them while this one still reads and cuts.

Loading what embeds takes longer than anything else that a refresh of one record does. So it is begun when a
source turns out to have changed, on another core; the few texts of such a refresh are sent there. Vectors do
not depend on where or in which batch they are made. Many texts are embedded here, and the process ends.

What belongs here: the process, and the two models that ask it first.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from ingest_assets.embedding.worker import GONE, ask, available_cores, end_worker, serve, start_worker
from ingest_assets.model import DenseModel, Float32Array, SparseModel, SparseVectors

log = logging.getLogger(__name__)

FEW = 64  # texts; more are embedded sooner here than they are sent


class Ahead:
    """One process, started at most once."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._started = False

    @property
    def running(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        """Begin to load the models, where there is another core to do it on."""
        if not self._started and available_cores() > 1:
            self.process = start_worker(work)
        self._started = True

    def ask(self, model: str, texts: Sequence[str]) -> Any:
        """Its answer; None when it is not there, or there are too many texts for it."""
        if self.process is None:
            return None
        if len(texts) > FEW:
            self.close()
            return None
        try:
            return ask(self.process, (model, list(texts)))
        except GONE as error:
            log.warning("The process that embeds ended early (%s); going on here.", type(error).__name__)
            self.close()
            return None

    def close(self) -> None:
        """End it, if it is there."""
        if self.process is not None:
            end_worker(self.process)
            self.process = None


class DenseAhead:
    """A bundled model that asks the process first."""

    def __init__(self, model: DenseModel, ahead: Ahead) -> None:
        self._model, self._ahead = model, ahead

    @property
    def identity(self) -> str:
        return self._model.identity

    @property
    def dimension(self) -> int:
        return self._model.dimension

    def embed(self, texts: Sequence[str]) -> Float32Array:
        vectors: Float32Array | None = self._ahead.ask("dense", texts)
        return self._model.embed(texts) if vectors is None else vectors

    def embed_query(self, text: str) -> Float32Array:
        return self._model.embed_query(text)


class SparseAhead:
    """BM25 that asks the process first."""

    def __init__(self, model: SparseModel, ahead: Ahead) -> None:
        self._model, self._ahead = model, ahead

    @property
    def identity(self) -> str:
        return self._model.identity

    def embed_stream(self, batches: Iterable[Sequence[str]]) -> Iterator[SparseVectors]:
        remaining = iter(batches)
        for batch in remaining:
            vectors: SparseVectors | None = self._ahead.ask("sparse", batch)
            if vectors is None:
                yield from self._model.embed_stream(_with(batch, remaining))
                return
            yield vectors

    def embed_query(self, text: str) -> SparseVectors:
        return self._model.embed_query(text)


def _with(first: Sequence[str], rest: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
    yield first
    yield from rest


def work() -> None:
    """The process's life: both models are loaded, that of meaning, which is asked first, before the other."""
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
    return dense.embed(texts) if model == "dense" else sparse.result().documents(texts)
