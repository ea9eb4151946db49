"""The models in a process of their own: it gives the same vectors, and can be done without."""

from __future__ import annotations

import contextvars
import signal
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from ingest_assets.embedding import DenseSpec, dense_model, preload, sparse_model
from ingest_assets.embedding.preload import FEW, PreloadedDenseModel, PreloadedSparseModel, Preloader
from ingest_assets.embedding.worker import available_cores
from ingest_assets.model import SparseVectors

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
    batches = [TEXTS[:5], TEXTS[5:]]
    same_rows(PreloadedSparseModel(sparse_model(), preloader).embed_stream(batches), batches)


def test_more_than_a_few_texts_are_embedded_here_and_weighed_there(preloader: Preloader) -> None:
    here = dense_model(DenseSpec(kind="bundled"))
    many = [*TEXTS, "One more."]
    assert np.array_equal(PreloadedDenseModel(here, preloader).embed(many), here.embed(many))
    assert preloader.running
    batches = [many, TEXTS[:3], [], TEXTS[3:9]]
    same_rows(PreloadedSparseModel(Absent(), preloader).embed_stream(batches), batches)
    assert not preloader.running  # nothing is left that it would be asked


def test_the_process_stays_for_the_few_texts_that_it_embeds(preloader: Preloader) -> None:
    same_rows(PreloadedSparseModel(Absent(), preloader).embed_stream([TEXTS]), [TEXTS])
    assert preloader.running


@pytest.mark.parametrize("most", [0, 3, 8])
def test_of_very_many_the_rest_is_weighed_on_all_cores_and_the_process_ends(
    preloader: Preloader, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(preload, "MANY", most)
    batches = [[], TEXTS[:3], [], TEXTS[3:8], [], TEXTS[8:9], TEXTS[9:10]]
    same_rows(PreloadedSparseModel(sparse_model(), preloader).embed_stream(batches), batches)
    assert not preloader.running


def test_the_process_may_end_in_the_middle(preloader: Preloader) -> None:
    batches = [TEXTS[at : at + 3] for at in range(0, 15, 3)]
    stream = PreloadedSparseModel(sparse_model(), preloader).embed_stream(iter(batches))
    first = next(stream)
    assert preloader.process is not None
    preloader.process.kill()
    same_rows([first, *stream], batches)


def test_who_stops_listening_ends_the_reading(preloader: Preloader) -> None:
    read: list[int] = []

    def batches() -> Iterator[list[str]]:
        for n in range(100):
            read.append(n)
            yield [TEXTS[n]]

    stream = PreloadedSparseModel(Absent(), preloader).embed_stream(batches())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(read) <= 1 + preload.AHEAD


class Absent:
    """A model that must not be asked."""

    identity = "absent"

    def embed_stream(self, _batches: object) -> Iterator[SparseVectors]:
        raise AssertionError

    def embed_query(self, _text: str) -> SparseVectors:
        raise AssertionError


def same_rows(found: Iterable[SparseVectors], batches: list[list[str]]) -> None:
    expected = list(sparse_model().embed_stream(batches))
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.offsets, theirs.offsets)
        assert np.array_equal(ours.indices, theirs.indices)
        assert np.array_equal(ours.values, theirs.values)


@pytest.mark.parametrize("expected", [0, 4, 9, 12])
def test_what_was_expected_is_weighed_as_it_would_have_been(
    preloader: Preloader, monkeypatch: pytest.MonkeyPatch, expected: int
) -> None:
    monkeypatch.setattr(preload, "FEW", -1)
    batches = [TEXTS[:3], TEXTS[3:9], TEXTS[2:4]]
    preloader.expect(TEXTS[:expected])
    preloader.expect([])
    same_rows(PreloadedSparseModel(Absent(), preloader).embed_stream(batches), batches)


def test_no_more_is_expected_than_the_process_weighs(
    preloader: Preloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def ask(_process: object, question: tuple[str, list[str]]) -> None:
        asked.append((question[0], len(question[1])))

    monkeypatch.setattr(preload, "ask", ask)
    monkeypatch.setattr(preload, "MANY", 10)
    monkeypatch.setattr(preload, "FEW", 2)
    for size in (2, 6, 5, 4, 1):
        preloader.expect(TEXTS[:size])
    assert preloader._expecting is not None
    preloader._expecting.shutdown()
    assert asked == [("expected", 6), ("expected", 4)]


def test_closing_waits_for_no_answer(
    preloader: Preloader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preload, "FEW", 0)
    assert preloader.process is not None
    preloader.process.send_signal(signal.SIGSTOP)
    for n in range(20):
        preloader.expect(TEXTS[n : n + 2])
    preloader.close()
    assert not caplog.records


def test_a_process_that_was_started_ahead_is_that_of_the_next_preloader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preload, "available_cores", lambda: 2)
    first, second, third = Preloader(), Preloader(), Preloader()
    first.start_ahead()
    process = first.process
    contextvars.copy_context().run(second.start)  # as a step of a run
    assert (first.process, second.process) == (None, process)
    third.start()
    assert third.process not in (None, process)
    third.close()
    first.close()
    assert second.ask("sparse", ["A text."]) is not None
    second.close()
    first = Preloader()
    first.start_ahead()
    first.close()
    second = Preloader()
    second.start()
    assert second.running
    second.close()


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
