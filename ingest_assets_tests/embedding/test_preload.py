"""The models in a process of their own: it gives the same vectors, and can be done without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ingest_assets.embedding import DenseSpec, dense_model, preload, sparse_model
from ingest_assets.embedding.preload import FEW, PreloadedDenseModel, PreloadedSparseModel, Preloader
from ingest_assets.embedding.worker import available_cores

TEXTS = [f"Text {n} about the renewal of contract {n * 7}." for n in range(FEW)]


@pytest.fixture
def preloader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Preloader]:
    monkeypatch.setattr(preload, "available_cores", available_cores)  # other tests load no models ahead
    preloader = Preloader()
    preloader.start()
    assert preloader.running
    yield preloader
    preloader.close()
    assert not preloader.running


def test_vectors_are_the_same_as_in_this_process(preloader: Preloader) -> None:
    here = dense_model(DenseSpec(kind="bundled"))
    there = PreloadedDenseModel(here, preloader)
    assert (there.identity, there.dimension) == (here.identity, here.dimension)
    assert np.array_equal(there.embed(TEXTS), here.embed(TEXTS))
    assert preloader.running, "the process was not asked"
    rows = list(PreloadedSparseModel(sparse_model(), preloader).embed_stream([TEXTS[:5], TEXTS[5:]]))
    for ours, theirs in zip(rows, sparse_model().embed_stream([TEXTS[:5], TEXTS[5:]]), strict=True):
        assert np.array_equal(ours.offsets, theirs.offsets)
        assert np.array_equal(ours.indices, theirs.indices)
        assert np.array_equal(ours.values, theirs.values)


def test_many_texts_are_embedded_in_this_process_and_end_the_other(preloader: Preloader) -> None:
    many = [*TEXTS, "One more."]
    [rows] = PreloadedSparseModel(sparse_model(), preloader).embed_stream([many])
    assert len(rows) == len(many)
    assert not preloader.running
    assert PreloadedDenseModel(dense_model(DenseSpec(kind="bundled")), preloader).embed(many).shape[0] == len(
        many
    )


def test_this_process_takes_over_when_the_other_was_killed(
    preloader: Preloader, caplog: pytest.LogCaptureFixture
) -> None:
    assert preloader.process is not None
    preloader.process.kill()
    preloader.process.wait()
    model = dense_model(DenseSpec(kind="bundled"))
    assert np.array_equal(PreloadedDenseModel(model, preloader).embed(TEXTS), model.embed(TEXTS))
    assert "ended early" in caplog.text
    assert not preloader.running


def test_embedding_does_not_start_the_process() -> None:
    preloader = Preloader()
    assert (
        PreloadedDenseModel(dense_model(DenseSpec(kind="bundled")), preloader).embed(TEXTS[:1]).shape[0] == 1
    )
    assert not preloader.running
