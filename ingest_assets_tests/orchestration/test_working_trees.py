"""Folders that people work in while they are indexed, through Dagster and through jobs."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from ingest_assets.interfaces.cli.runs import Asked, RunReport, run_job, run_sources
from ingest_assets.interfaces.job_service import JobRequest
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs.queue import status_of
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.stages.audit import audit
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.comparing import recorded

FILES = 60


def refresh(home: Home, *, allow_removals: bool = True) -> RunReport:
    asked = Asked(allow_removals=allow_removals, retry_parked=True)
    return run_sources(home.load(), sources=["repositories"], asked=asked, overrides=home.overrides)


def write(root: Path, number: int, version: int) -> None:
    file = root / f"d{number % 4}" / f"m{number}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"def f{number}(a):\n    return a + {version}\n" * (1 + version % 3))


def edit(root: Path, chance: random.Random, version: int) -> None:
    """One thing that people, editors and git do to files."""
    number, other = chance.randrange(FILES), chance.randrange(FILES)
    file, to = root / f"d{number % 4}" / f"m{number}.py", root / f"d{other % 4}" / f"m{other}.py"
    match chance.randrange(6):
        case 0 | 1:
            write(root, number, version)
        case 2 if file.exists() and to.parent.exists():
            file.replace(to)
        case 3:
            file.unlink(missing_ok=True)
        case 4:
            new = root / f"m{number}.py.new"
            new.write_text(f"VERSION = {version}\n")
            file.parent.mkdir(exist_ok=True)
            new.replace(file)
        case 5 if chance.random() < 0.1 and (root / "d1").exists():
            shutil.rmtree(root / "d1")


@contextmanager
def people_at_work(root: Path, seed: int) -> Iterator[None]:
    stop = threading.Event()
    chance = random.Random(seed)

    def work() -> None:
        version = 0
        while not stop.wait(0.002):
            version += 1
            edit(root, chance, version)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_after_work_under_a_running_job_the_index_is_that_of_a_clean_build(
    home: Home, tmp_path: Path, seed: int
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(FILES):
        write(root, number, 0)
    with home.bench() as bench:
        started = QueuedJobs(bench, "command line", here=True).start(JobRequest(str(root)))
    with pytest.MonkeyPatch.context() as patch, people_at_work(root, seed):
        for name, value in home.overrides.items():
            patch.setenv(name.upper(), str(value))
        run_job(home.load(), started.job_id)
        refresh(home)
    with home.bench() as bench:
        ended = status_of(bench.ledger, started.job_id)
    # What could not be read as it was at one moment is said, and nothing else goes wrong.
    assert ended["status"] == "completed" or ended["missing"], ended["error_message"]

    last = refresh(home)
    assert (last.success, last.parked) == (True, 0), last.errors
    clean = Home(tmp_path / "clean", home.settings)
    clean.dagster.mkdir(parents=True)
    shutil.copy(home.dagster / "dagster.yaml", clean.dagster)
    with clean.bench() as bench:
        repositories_of(bench).add(str(root), own_folder=True)
    assert refresh(clean).success
    with home.bench() as one, clean.bench() as other:
        assert recorded(one.ledger) == recorded(other.ledger)
        for bench in (one, other):
            assert audit(bench.published("repositories"), bench.ledger).agrees


def test_a_folder_that_is_away_leaves_what_is_indexed(home: Home, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(30):
        write(root, number, 0)
    with home.bench() as bench:
        repositories_of(bench).add(str(root), own_folder=True)
    assert refresh(home).success
    with home.instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["repositories", "files"]))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert (metadata["files_detected"].value, "commit" in metadata) == (30, False)
    with home.bench() as bench:
        before = recorded(bench.ledger)
    root.rename(tmp_path / "away")
    gone = refresh(home, allow_removals=False)
    assert not gone.success
    root.mkdir()  # as the folder that another disk was mounted on
    empty = refresh(home, allow_removals=False)
    assert not empty.success
    assert "would remove 30 of 30" in " ".join(empty.errors)
    with home.bench() as bench:
        assert recorded(bench.ledger) == before
    root.rmdir()
    (tmp_path / "away").rename(root)
    back = refresh(home, allow_removals=False)
    assert back.success
    assert back.assets["repositories/files"]["changed"] == 0
