"""The models in a process of their own: the same vectors, and going on without it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ingest_assets.embedding import DenseSpec, dense_model, sparse_model
from ingest_assets.embedding.ahead import FEW, Ahead, DenseAhead, SparseAhead

TEXTS = [f"Text {n} about the renewal of contract {n * 7}." for n in range(FEW)]


@pytest.fixture
def ahead() -> Iterator[Ahead]:
    ahead = Ahead()
    ahead.start()
    assert ahead.running
    yield ahead
    ahead.close()
    assert not ahead.running


def test_vectors_are_those_that_are_made_here(ahead: Ahead) -> None:
    here = dense_model(DenseSpec(kind="bundled"))
    there = DenseAhead(here, ahead)
    assert (there.identity, there.dimension) == (here.identity, here.dimension)
    assert np.array_equal(there.embed(TEXTS), here.embed(TEXTS))
    assert ahead.running, "it was not asked"
    rows = list(SparseAhead(sparse_model(), ahead).embed_stream([TEXTS[:5], TEXTS[5:]]))
    for ours, theirs in zip(rows, sparse_model().embed_stream([TEXTS[:5], TEXTS[5:]]), strict=True):
        assert np.array_equal(ours.offsets, theirs.offsets)
        assert np.array_equal(ours.indices, theirs.indices)
        assert np.array_equal(ours.values, theirs.values)


def test_many_texts_are_embedded_here_and_end_it(ahead: Ahead) -> None:
    many = [*TEXTS, "One more."]
    [rows] = SparseAhead(sparse_model(), ahead).embed_stream([many])
    assert len(rows) == len(many)
    assert not ahead.running
    assert DenseAhead(dense_model(DenseSpec(kind="bundled")), ahead).embed(many).shape[0] == len(many)


def test_it_goes_on_here_when_the_process_was_killed(ahead: Ahead, caplog: pytest.LogCaptureFixture) -> None:
    assert ahead.process is not None
    ahead.process.kill()
    ahead.process.wait()
    model = dense_model(DenseSpec(kind="bundled"))
    assert np.array_equal(DenseAhead(model, ahead).embed(TEXTS), model.embed(TEXTS))
    assert "ended early" in caplog.text
    assert not ahead.running


def test_without_a_start_nothing_is_started() -> None:
    ahead = Ahead()
    assert DenseAhead(dense_model(DenseSpec(kind="bundled")), ahead).embed(TEXTS[:1]).shape[0] == 1
    assert not ahead.running
