"""Processes that are the first ones of an installation, at the same moment."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

from ingest_assets.orchestration.instance import open_instance
from ingest_assets_tests.support.built_index import Home

PROCESSES, ROUNDS = 8, 3


def _open(path: Path, barrier: object) -> None:
    settings = Home(path).load()
    barrier.wait()  # type: ignore[attr-defined]
    with open_instance(settings) as instance:
        assert instance.get_runs() == []


def test_dagsters_records_are_made_once(tmp_path: Path) -> None:
    """Two that make them in turns note two versions of the tables, and nobody can use them ever after."""
    forked = multiprocessing.get_context("fork")
    for number in range(ROUNDS):
        home = Home(tmp_path / str(number))
        home.dagster.mkdir(parents=True)
        barrier = forked.Barrier(PROCESSES)
        processes = [forked.Process(target=_open, args=(home.path, barrier)) for _ in range(PROCESSES)]
        for each in processes:
            each.start()
        for each in processes:
            each.join()
        assert [each.exitcode for each in processes] == [0] * PROCESSES
        with closing(sqlite3.connect(home.dagster / "history" / "runs.db")) as runs:
            assert runs.execute("select count(*) from alembic_version").fetchone() == (1,)
