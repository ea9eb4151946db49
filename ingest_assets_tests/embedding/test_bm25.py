"""BM25 term weights, in one process and in several."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import psutil
import pytest
from fastembed.sparse.bm25 import Bm25
from hypothesis import example, given, settings

from ingest_assets.embedding import sparse_model
from ingest_assets.embedding.bm25 import Bm25Model, TermWeights, stopwords
from ingest_assets.embedding.texts import clean
from ingest_assets.model import SparseVectors
from ingest_assets_tests.embedding import texts_for_tests as texts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def weights() -> TermWeights:
    return TermWeights()


def _batches(count: int, size: int = 7) -> list[list[str]]:
    return [[f"batch {i} text {j} about invoice {i * j} running" for j in range(size)] for i in range(count)]


def _equal(left: SparseVectors, right: SparseVectors) -> None:
    np.testing.assert_array_equal(left.offsets, right.offsets)
    np.testing.assert_array_equal(left.indices, right.indices)
    np.testing.assert_array_equal(left.values, right.values)


@cache
def _fastembeds_own() -> Bm25:
    """Created by fastembed's own constructor; the folder only keeps it from asking a model hub."""
    folder = str(files("ingest_assets.embedding"))
    return Bm25("Qdrant/bm25", specific_model_path=folder, stopwords=set(stopwords()))


def _workers() -> int:
    return len(_worker_processes())


def _worker_processes() -> list[psutil.Process]:
    """Ours: a database server of other tests may be a child of this process too."""
    children = psutil.Process().children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if any("embedding.bm25 " in part for part in child.cmdline())]


def test_canonical_vector() -> None:
    (rows,) = sparse_model().embed_stream([["Invoices were invoiced, the customers run.", ""]])
    assert rows.indices.dtype == np.uint32
    assert rows.values.dtype == np.float32
    assert rows.offsets.tolist() == [0, 3, 3]
    assert rows.indices.tolist() == [243905464, 481716713, 1075114912]
    np.testing.assert_allclose(rows.values, [1.67420, 1.90142, 1.67420], atol=1e-4)
    query = sparse_model().embed_query("customer CUSTOMERS of the invoice")
    assert query.indices.tolist() == [481716713, 1075114912]
    assert query.values.tolist() == [1.0, 1.0]


def test_identity_names_everything_that_decides_the_weights() -> None:
    assert (
        sparse_model().identity
        == "bm25:fastembed-0.9:english-snowball:stopwords-f39867bb7387:k1.2-b0.75-l256"
    )


@settings(max_examples=150, deadline=None)
@given(texts.any_text)
@example("".join(texts.ODD))
@example("snake_case _ __ '\u03a3 \u0391\u03a3'\u0391 \u0391\u03a3. İstanbul don't x²½ ٣ " + "y" * 41)
def test_fastembed_gives_the_same_weights(weights: TermWeights, text: str) -> None:
    theirs = _fastembeds_own().raw_embed([clean(text)])[0].as_dict()
    indices, values = weights.documents([text]).row(0)
    assert indices.tolist() == sorted(theirs)
    assert values.tolist() == [np.float32(theirs[i]) for i in indices.tolist()]
    query = next(iter(_fastembeds_own().query_embed(clean(text))))
    assert weights.query(text).indices.tolist() == sorted(query.indices.tolist())


def test_every_character_is_read_as_fastembed_reads_it(weights: TermWeights) -> None:
    characters = [chr(c) for c in range(0x30000) if not 0xD800 <= c <= 0xDFFF]
    blocks = ["x".join(characters[i : i + 64]) for i in range(0, len(characters), 64)]
    blocks += [" ".join(characters[i : i + 64]) for i in range(0, len(characters), 64)]
    ours = weights.documents(blocks)
    for i, theirs in enumerate(_fastembeds_own().raw_embed(blocks)):
        assert ours.row(i)[0].tolist() == sorted(theirs.as_dict())


def test_stopwords() -> None:
    words = stopwords()
    assert {"the", "yourselves", "t", "doesn"} <= words
    assert all(word == word.lower() and "|" not in word for word in words)
    assert len(sparse_model().embed_query("the of and don't they'll").indices) == 0


@pytest.mark.parametrize("batch_count", [0, 1, 40])
def test_processes_give_the_same_rows_in_the_same_order(batch_count: int) -> None:
    batches = [*_batches(batch_count), texts.ODD, [], [""]]
    alone = list(Bm25Model(workers=1).embed_stream(batches))
    for start in (0, 50):
        together = list(Bm25Model(workers=2, alone=start).embed_stream(batches))
        assert [len(rows) for rows in together] == [len(batch) for batch in batches]
        for left, right in zip(alone, together, strict=True):
            _equal(left, right)
    assert _workers() == 0


def test_batches_in_flight_are_bounded() -> None:
    read = 0

    def source() -> Iterator[Sequence[str]]:
        nonlocal read
        for batch in _batches(100):
            read += 1
            yield batch

    for taken, _ in enumerate(Bm25Model(workers=2, alone=0).embed_stream(source()), start=1):
        assert read <= taken + 6


def test_workers_end_when_the_stream_is_abandoned() -> None:
    stream = Bm25Model(workers=2, alone=0).embed_stream(_batches(50))
    next(stream)
    next(stream)
    assert _workers() == 2
    del stream
    gc.collect()
    assert _workers() == 0


def test_workers_end_when_the_source_fails() -> None:
    def source() -> Iterator[Sequence[str]]:
        yield from _batches(10)
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        list(Bm25Model(workers=2, alone=0).embed_stream(source()))
    assert _workers() == 0


def test_a_killed_worker_costs_time_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    batches = _batches(60)
    stream = Bm25Model(workers=2, alone=0).embed_stream(batches)
    rows = [next(stream), next(stream)]
    for child in _worker_processes():
        child.kill()
    rows += stream
    for left, right in zip(Bm25Model(workers=1).embed_stream(batches), rows, strict=True):
        _equal(left, right)
    assert "ended early" in caplog.text


def test_workers_end_when_their_parent_is_killed() -> None:
    code = (
        "import psutil, time\n"
        "from ingest_assets.embedding.bm25 import Bm25Model\n"
        "stream = Bm25Model(workers=2, alone=0).embed_stream([[str(i)] for i in range(50)])\n"
        "next(stream), next(stream)\n"
        "print(*(child.pid for child in psutil.Process().children()), flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
