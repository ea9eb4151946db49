"""A refresh that is killed between two of its files, or runs out of disk: the next one completes it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.model import UnavailableError
from ingest_assets.sources.papers import workspace as workspace_module
from ingest_assets.sources.papers.places import papers_of, workspace_of
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import names, refresh
from ingest_assets_tests.support.built_index import ROOT

TEXTS = {
    1: "Metformin is used to treat type 2 diabetes mellitus in most patients.",
    2: "Aspirin reduces the risk of myocardial infarction. Metformin was given as well.",
    3: "Hydrocortisone treats adrenal insufficiency, also known as Addison's disease.",
}


def add(bench: PaperBench, *numbers: int) -> None:
    for number in numbers:
        bench.add(f"{number}.xml", jats(f"Paper {number}", {"Results": TEXTS[number]}, pmcid=f"PMC{number}"))


def held(bench: PaperBench) -> tuple[Any, ...]:
    return bench.files(), bench.rows(), bench.points()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Papers 1 and 2 are there; then 3 is added, and 1 removed, and no refresh has seen it."""
    folder = tmp_path_factory.mktemp("before") / "home"
    folder.mkdir()
    with PaperBench(folder) as bench:
        add(bench, 1, 2)
        refresh(bench)
        add(bench, 3)
        papers_of(bench).remove("PMC1")
    return folder


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """What a build from nothing gives."""
    with PaperBench(tmp_path_factory.mktemp("wanted")) as bench:
        add(bench, 2, 3)
        refresh(bench)
        return held(bench)


def killed_at(home: Path, count: int) -> bool:
    """Run a refresh that dies when it has replaced this many files. Returns whether it got so far."""
    arguments = [
        sys.executable,
        "-m",
        "ingest_assets_tests.sources.papers.killed_refresh",
        str(home),
        str(count),
    ]
    ended = subprocess.run(arguments, check=False, capture_output=True, cwd=ROOT, timeout=100)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()
    return ended.returncode != 0


def check(before: Path, wanted: tuple[Any, ...], tmp_path: Path, points: Iterable[int]) -> int:
    died = 0
    for point in points:
        home = tmp_path / "home"
        shutil.copytree(before, home)
        died += killed_at(home, point)
        with PaperBench(home) as bench:
            refresh(bench)
            found = held(bench)
            assert found[0].keys() == wanted[0].keys(), point
            assert found == wanted, point
            assert not any(outcomes.moved for outcomes in refresh(bench).values())
        shutil.rmtree(home)
    return died


def test_killed_at_some_moments(before: Path, wanted: tuple[Any, ...], tmp_path: Path) -> None:
    assert check(before, wanted, tmp_path, (1, 5)) == 2


@pytest.mark.thorough
def test_killed_at_every_moment(before: Path, wanted: tuple[Any, ...], tmp_path: Path) -> None:
    assert check(before, wanted, tmp_path, range(40)) > 8


@pytest.mark.parametrize(
    "count", [1, 4, *(pytest.param(each, marks=pytest.mark.thorough) for each in (0, 2, 3, 5, 6, 7))]
)
def test_a_full_disk_leaves_the_last_good_graph(
    before: Path,
    wanted: tuple[Any, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """`count` files can still be written."""
    home = tmp_path / "home"
    shutil.copytree(before, home)
    with PaperBench(home) as bench:
        graph = {name: data for name, data in bench.files().items() if name.startswith("medlit")}
        there = names(bench)
        left = count
        write = workspace_module.Draft.finish

        def finish(draft: workspace_module.Draft) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                with workspace_module._writing(draft.path):
                    raise OSError(28, "No space left on device")
            write(draft)

        with monkeypatch.context() as patch:
            patch.setattr(workspace_module.Draft, "finish", finish)
            with pytest.raises(UnavailableError, match="No space left"):
                refresh(bench)
        now = bench.files()
        if count <= 1:  # not even pass 2 was through
            assert {name: now[name] for name in graph} == graph
        assert names(bench) == there
        assert not list(workspace_of(bench).root.rglob("*.new"))
        refresh(bench)
        assert held(bench) == wanted
