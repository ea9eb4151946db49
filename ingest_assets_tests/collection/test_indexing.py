"""Many points are indexed in a process of its own, so that a job can be stopped meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets import stopping
from ingest_assets.collection import elsewhere, embedded_writer, shards
from ingest_assets.collection.elsewhere import index_elsewhere
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.model import UnavailableError
from ingest_assets.stopping import stopped_by
from ingest_assets_tests.collection.points import make_points, write
from ingest_assets_tests.support.small_parts import contents

NAME = "test_chunks"
WIDE = 64


class Stopped(Exception):  # noqa: N818 - it stands for a cancelled job
    """Somebody asked the work to stop."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedStore]:
    monkeypatch.setattr(embedded_writer, "ELSEWHERE_FROM", 100)
    monkeypatch.setattr(shards, "INDEXING_THRESHOLD_KIB", 16)
    store = EmbeddedStore(tmp_path)
    store.create(NAME, 1, WIDE)
    store.publish(NAME, 1)
    yield store
    store.close()


@pytest.mark.parametrize("reopened_from", [0, 10_000])
def test_points_indexed_elsewhere_are_those_indexed_here(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reopened_from: int
) -> None:
    monkeypatch.setattr(elsewhere, "REOPENED_FROM", reopened_from)
    (tmp_path / "pickle.py").write_text("raise SystemExit('what lies where it is started is not imported')")
    monkeypatch.chdir(tmp_path)
    points = make_points(range(400), dimension=WIDE)
    write(store, NAME, 1, points)
    there = contents(store, NAME)
    with store.reader(NAME) as reader:
        assert reader.count() == len(points.ids)
    indexed = [path for path in tmp_path.rglob("*") if path.name == "graph.bin"]
    monkeypatch.setattr(embedded_writer, "ELSEWHERE_FROM", 10_000)
    store.create(NAME, 2, WIDE)
    write(store, NAME, 2, points)
    assert contents(store, NAME, 2) == there
    here = [path for path in tmp_path.rglob("*") if path.name == "graph.bin" and path not in indexed]
    assert len(indexed) == len(here) > 0


def test_work_that_is_stopped_while_points_are_indexed_leaves_no_process_and_what_was_published(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(store, NAME, 1, make_points(range(3), dimension=WIDE))
    # A process that is busy for as long as the test would wait.
    monkeypatch.setattr(elsewhere, "_COMMAND", "import threading; threading.Event().wait()")
    monkeypatch.setattr(stopping, "ASKED_EVERY_S", 0.01)
    asked = threading.Event()
    before = _children()

    def check() -> None:
        if asked.is_set():
            raise Stopped
        asked.set()

    with pytest.raises(Stopped), stopped_by(check):
        write(store, NAME, 1, make_points(range(10, 200), dimension=WIDE))
    assert _children() == before
    assert len(contents(store, NAME)) == 3
    assert not list((tmp_path / NAME).glob("work-*"))
    monkeypatch.undo()
    write(store, NAME, 1, make_points(range(10, 200), dimension=WIDE))
    assert len(contents(store, NAME)) == 193


def test_a_process_that_dies_while_it_writes_changes_nothing(store: EmbeddedStore) -> None:
    write(store, NAME, 1, make_points(range(3), dimension=WIDE))
    before = _children()

    def write_until_it_is_noticed() -> None:
        with store.writer(NAME, 1) as writer:
            writer.upsert(make_points(range(10, 200), dimension=WIDE))
            (process,) = _children() - before
            os.kill(process, signal.SIGKILL)
            for start in range(1_000, 100_000, 1_000):
                writer.upsert(make_points(range(start, start + 100), dimension=WIDE))

    with pytest.raises(UnavailableError, match="could not write and index new points: its process ended"):
        write_until_it_is_noticed()
    assert len(contents(store, NAME)) == 3
    points = make_points(range(10, 200), dimension=WIDE)
    with store.writer(NAME, 1) as writer:
        writer.upsert(points)
        writer.delete(points.ids[:40])
        writer.upsert(make_points(range(300, 305), dimension=WIDE))
        writer.commit()
    found = {str(point) for point in contents(store, NAME)}
    assert len(found) == 3 + 150 + 5
    assert not found & set(points.ids[:40])
    assert _children() == before


def _children() -> set[int]:
    import psutil

    return {process.pid for process in psutil.Process().children(recursive=True)}


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"could not write and index new points: .*does not exist"):
        index_elsewhere(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="signals are told by number")
def test_a_process_that_is_killed_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_COMMAND", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(UnavailableError, match="its process ended with -9"):
        index_elsewhere(tmp_path)


@pytest.mark.thorough
def test_a_hundred_thousand_points_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the engine itself, which takes half a minute for them."""
    monkeypatch.setattr(embedded_writer, "INDEX_EVERY", 1_000_000)  # all at the end
    store = EmbeddedStore(tmp_path)
    store.create(NAME, 1, WIDE)
    store.publish(NAME, 1)
    write(store, NAME, 1, make_points(range(3), dimension=WIDE))
    before, looks, written = _children(), 0, False

    def check() -> None:
        nonlocal looks
        looks += written
        if looks == 3:  # its process has been at work for as long as two looks are apart
            assert len(_children() - before) == 1
            raise Stopped

    with stopped_by(check), store.writer(NAME, 1) as writer:
        for start in range(10, 100_010, 1_000):
            writer.upsert(make_points(range(start, start + 1_000), dimension=WIDE))
        written = True
        with pytest.raises(Stopped):
            writer.commit()
    assert looks == 3
    assert _children() == before
    assert len(contents(store, NAME)) == 3
    store.close()
