"""BM25 term weights through fastembed, with explicit stopwords and stemmer, so that nothing is downloaded.

What belongs here: turning text into sparse vectors, in this process or on all cores with the same result.
How the worker processes are fed is in `bm25_pool.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest_assets.embedding.bm25_pool import stream
from ingest_assets.embedding.texts import clean
from ingest_assets.embedding.worker import available_cores, serve
from ingest_assets.model import SparseVectors, digest_of

if TYPE_CHECKING:
    from fastembed.sparse.bm25 import Bm25

# How many texts of a stream this process embeds alone. It embeds about 12,000 texts of 1,000 characters per
# second, and starting workers takes half a second of every core: for fewer texts they do not pay off.
ALONE = 10_000

# fastembed's defaults; AVERAGE_LENGTH and LONGEST_WORD are in words and characters.
K1, B, AVERAGE_LENGTH, LONGEST_WORD = 1.2, 0.75, 256.0, 40

_CACHED_WORDS = 1 << 17  # words whose stem and id are cached: about 50 MB when full
_words = re.compile(r"\w+").findall
_symbols = re.compile(r"[^\w\s]")


def stopwords() -> frozenset[str]:
    """The English stopwords that ship with the package, lower case."""
    text = (files(__package__) / "stopwords_english.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() for word in line.partition("|")[0].split())


def _model() -> Bm25:
    """The BM25 of fastembed, created without its constructor.

    The constructor needs a model folder, which we do not use, and searches a million characters for
    punctuation (0.2 s). The only punctuation that one of our words can be is the underscore.
    """
    from fastembed.sparse.bm25 import Bm25
    from py_rust_stemmers import SnowballStemmer

    class EnglishBm25(Bm25):
        def __init__(self) -> None:
            self.k, self.b, self.avg_len, self.token_max_length = K1, B, AVERAGE_LENGTH, LONGEST_WORD
            self.stopwords, self.punctuation = set(stopwords()), {"_"}
            self.stemmer = SnowballStemmer("english")

    return EnglishBm25()


class _Counted(NamedTuple):
    """The terms of a text."""

    ids: list[int]  # ascending
    counts: list[int]  # of each
    length: int  # of the text, in terms


class TermWeights:
    """fastembed's BM25, one batch at a time in this process, each distinct word stemmed and hashed only once.

    The numbers are exactly fastembed's own (a test compares them); the cache makes it twice as fast.
    """

    def __init__(self) -> None:
        model = _model()

        @lru_cache(_CACHED_WORDS)
        def stem(word: str) -> str:
            return "".join(model._stem([word]))  # no stem for a stopword or an overlong word

        self._stem = stem
        self._id = lru_cache(_CACHED_WORDS)(model.compute_token_id)
        self._expected: dict[str, _Counted] = {}
        self.model: Bm25 = model

    def expect(self, texts: Sequence[str]) -> None:
        """Count the terms of texts that `documents` will be asked for, and keep them until then."""
        self._expected |= {text: self._counted(text) for text in texts}

    def documents(self, texts: Sequence[str]) -> SparseVectors:
        """One row per text: term frequencies, saturated and normalised by the document's length."""
        ids: list[int] = []
        counts: list[int] = []
        sizes: list[int] = []
        lengths: list[int] = []
        for text in texts:
            row = self._expected.pop(text, None) or self._counted(text)
            ids += row.ids
            counts += row.counts
            sizes.append(len(row.ids))
            lengths.append(row.length)
        k, b = self.model.k, self.model.b
        count = np.array(counts, dtype=np.float64)
        norm = k * (1 - b + b * np.array(lengths, dtype=np.float64) / self.model.avg_len)
        values = count * (k + 1) / (count + np.repeat(norm, sizes))
        return _rows(sizes, ids, values)

    def query(self, text: str) -> SparseVectors:
        """One row: 1.0 for each distinct term."""
        ids = sorted({self._id(term) for term in self._terms(text)})
        return _rows([len(ids)], ids, np.ones(len(ids)))

    def _counted(self, text: str) -> _Counted:
        terms = self._terms(text)
        row = {self._id(term): count for term, count in terms.items()}
        ids = sorted(row)
        return _Counted(ids, [row[i] for i in ids], terms.total())

    def _terms(self, text: str) -> Counter[str]:
        # As in fastembed, symbols become spaces before lower-casing, which depends on neighbouring letters.
        terms = Counter(map(self._stem, _words(_symbols.sub(" ", clean(text)).lower())))
        del terms[""]
        return terms


def _rows(sizes: Sequence[int], ids: Sequence[int], values: NDArray[np.float64]) -> SparseVectors:
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return SparseVectors(offsets, np.array(ids, dtype=np.uint32), values.astype(np.float32))


class Bm25Model:
    """BM25 term weights of English text; the collection's IDF modifier does the rest."""

    def __init__(self, *, workers: int | None = None, alone: int = ALONE) -> None:
        """Load nothing yet.

        `workers`: processes for long streams, by default one per core; with 1, this process does it all.
        `alone`: how many texts of a stream this process embeds before it starts workers.
        """
        self._workers = workers
        self._alone = alone

    @property
    def identity(self) -> str:
        """The library's minor version, the language, the stopwords and the parameters."""
        library = ".".join(version("fastembed").split(".")[:2])
        words = digest_of(*sorted(stopwords()))[:12]
        parameters = f"k{K1}-b{B}-l{AVERAGE_LENGTH:g}"
        return f"bm25:fastembed-{library}:english-snowball:stopwords-{words}:{parameters}"

    @cached_property
    def _weights(self) -> TermWeights:
        return TermWeights()

    def embed_stream(self, batches: Iterable[Sequence[str]]) -> Iterator[SparseVectors]:
        """One SparseVectors per batch, in order; an empty text gives an empty row.

        In a long stream, a few batches per core are read ahead. Closing the iterator, or an exception from
        `batches`, ends the workers.
        """
        source = iter(batches)
        done = 0
        for batch in source:
            yield self._weights.documents(batch)
            done += len(batch)
            if done >= self._alone:
                break
        else:
            return
        workers = available_cores() if self._workers is None else self._workers
        if workers <= 1:
            yield from map(self._weights.documents, source)
        else:
            yield from stream(source, workers, run_worker, fallback=self._weights.documents)

    def embed_query(self, text: str) -> SparseVectors:
        """One row: 1.0 for each distinct term of the query, as in BM25."""
        return self._weights.query(text)


def run_worker() -> None:
    """The main function of a worker process: computes the rows of the batches of texts that it is sent."""
    serve(TermWeights().documents)
