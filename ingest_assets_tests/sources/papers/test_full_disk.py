"""A disk that fills while papers are taken in: a clear outcome, and the last good graph stays."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.model import UnavailableError
from ingest_assets.sources.papers.places import papers_of
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import found, names, parked, refresh

ASPIRIN = jats("One", {"Results": "Aspirin reduces the risk of myocardial infarction."}, pmcid="PMC1")
METFORMIN = jats("Two", {"Results": "Metformin treats type 2 diabetes mellitus."}, pmcid="PMC2")
MADE = ("medlit_bundle/", "graph_")  # of the last good graph: its files and tables


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PaperBench]:
    """One paper in the graph, and another one that was added since."""
    with PaperBench(tmp_path / "here") as bench:
        bench.folder.mkdir(exist_ok=True)
        bench.add("one.xml", ASPIRIN)
        refresh(bench)
        bench.add("two.xml", METFORMIN)
        yield bench


def graph(bench: PaperBench) -> dict[str, Any]:
    return {name: rows for name, rows in (bench.files() | bench.rows()).items() if name.startswith(MADE)}


def assert_completed(bench: PaperBench, elsewhere: Path) -> None:
    """The next run ends where one ends whose disk never was full."""
    refresh(bench)
    assert "Metformin" in names(bench)
    with PaperBench(elsewhere) as other:
        other.folder.mkdir(exist_ok=True)
        for paper in (METFORMIN, ASPIRIN):
            other.add("paper.xml", paper)
        refresh(other)
        assert bench.files() == other.files()
        assert graph(bench) == graph(other)


@contextmanager
def no_room_for(name: str) -> Iterator[None]:
    """The disk has no room for the draft of a file of this name."""
    sync = os.fsync

    def full(descriptor: int) -> None:
        if f"/.{name}." in os.readlink(f"/proc/self/fd/{descriptor}"):  # noqa: PTH115 - no file, a descriptor
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", full)
        yield


@pytest.mark.parametrize("name", ["paper_PMC2.json", "entities.json", "mentions.jsonl", "manifest.json"])
def test_a_full_workspace(bench: PaperBench, tmp_path: Path, name: str) -> None:
    before = graph(bench)
    with (
        no_room_for(name),
        pytest.raises(UnavailableError, match=rf"{name} cannot be written: No space left"),
    ):
        refresh(bench)
    assert graph(bench) == before
    assert not [each for each in bench.files() if each.endswith(".new")]
    assert found(bench, "aspirin") == {"PMC1/results", "PMC1/title"}
    assert ("pass1_bundles/paper_PMC2.json" in bench.files()) == (name != "paper_PMC2.json")
    assert_completed(bench, tmp_path / "elsewhere")
    assert parked(bench) == {}


@contextmanager
def full_ledger(bench: PaperBench, room: int) -> Iterator[None]:
    """The ledger's disk has room for so many more pages of SQLite."""
    engine = bench.ledger.engine

    def limit(connection: Any, *_: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        limits.append(limits[0] if limits else pages + room)
        connection.execute(f"PRAGMA max_page_count = {limits[0]}")

    def lift(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA max_page_count = 1000000")

    limits: list[int] = []
    sa.event.listen(engine, "checkout", limit)
    try:
        yield
    finally:
        sa.event.remove(engine, "checkout", limit)
        sa.event.listen(engine, "checkout", lift)


def take_in(bench: PaperBench, paper: str) -> None:
    bench.add("paper.xml", paper)
    refresh(bench)


@pytest.mark.parametrize("room", [0, 4, 10, 20])
def test_a_full_ledger(tmp_path: Path, room: int) -> None:
    long = " ".join(f"Metformin treats type 2 diabetes mellitus in {n} of the patients." for n in range(400))
    with PaperBench(tmp_path / "here") as bench:
        bench.folder.mkdir(exist_ok=True)
        bench.add("one.xml", ASPIRIN)
        refresh(bench)
        before = graph(bench)
        with full_ledger(bench, room), pytest.raises(UnavailableError, match=r"disk is full.*make room"):
            take_in(bench, jats("Two", {"Results": long}, pmcid="PMC2"))
        tables = {name: rows for name, rows in graph(bench).items() if name.startswith("graph_")}
        assert tables == {name: rows for name, rows in before.items() if name.startswith("graph_")}
        refresh(bench)
        assert {each.paper_id for each in papers_of(bench).all()} == {"PMC1", "PMC2"}
        assert "Metformin" in names(bench)
