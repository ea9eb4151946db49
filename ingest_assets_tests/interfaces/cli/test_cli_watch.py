"""`ingest watch`: when it runs, what follows from a run that fails, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from ingest_assets.interfaces.cli import watch as watching
from ingest_assets.interfaces.cli import watched_runs
from ingest_assets.interfaces.cli.runs import RunReport
from ingest_assets.interfaces.cli.watch import Watch
from ingest_assets.interfaces.cli.watched_runs import Printed
from ingest_assets.model import UnavailableError
from ingest_assets.sources.definition import Due, Triggers
from ingest_assets.sources.registry import load_sources
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.places import Spool
from ingest_assets_tests.support.built_index import ROOT, Home, command

DONE = RunReport("1", True, {}, {}, [])
FAILED = RunReport("1", False, {}, {}, ["toys/files: the disk is full"])


class Watched:
    """A source that says what a test has it say, and runs that end as the test has them end."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.folder = folder
        self.key: str | None = None
        self.ran: list[str | None] = []
        self.outcomes: list[RunReport | Exception] = []
        self.stop = threading.Event()
        triggers = Triggers(due=lambda _bench: Due("it is", self.key), watched=lambda _bench: [folder])
        self._source = replace(load_sources()["spool"], triggers=triggers)
        self._home = home

    def _refresh(self) -> RunReport:
        self.ran.append(self.key)
        outcome = self.outcomes.pop(0) if self.outcomes else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._home.bench() as bench:
            watch = Watch(bench, self._source, self.stop, Printed(as_json=False), self._refresh)
            thread = threading.Thread(target=watch.run)
            thread.start()
            try:
                yield
            finally:
                self.stop.set()
                thread.join(10)
                assert not thread.is_alive()

    def until(self, what: Callable[[], bool], s: float = 5) -> None:
        ends = time.monotonic() + s
        while not what():
            assert time.monotonic() < ends
            time.sleep(0.005)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(watched_runs, "SHORTEST_WAIT_S", 0.2)
    (tmp_path / "incoming").mkdir()
    return Watched(Home(tmp_path / "home"), tmp_path / "incoming")


def test_a_change_is_seen_at_once_and_each_state_gets_one_run(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ASKED_EVERY_S", 60)
    watched.key = "before"
    with watched.running():
        watched.until(lambda: watched.ran == ["before"])
        time.sleep(0.3)  # until the folder is being watched
        watched.key = "one"
        (watched.folder / "file").write_text("x")
        watched.until(lambda: watched.ran == ["before", "one"], s=3)
        (watched.folder / "file").write_text("y")  # a change that makes nothing due
        watched.key = None
        (watched.folder / "file").write_text("z")
        time.sleep(0.5)
        began = time.monotonic()
    assert watched.ran == ["before", "one"]
    assert time.monotonic() - began < 3, "it does not end while it waits"


def test_what_shows_in_no_folder_is_seen_too(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ASKED_EVERY_S", 0.1)
    with watched.running():
        time.sleep(0.3)
        watched.key = "a gate was opened"
        watched.until(lambda: watched.ran == ["a gate was opened"])


def test_a_folder_that_cannot_be_watched_is_asked_by_time(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "ASKED_EVERY_S", 0.1)
    watched.folder.rmdir()
    with watched.running():
        time.sleep(0.3)
        watched.key = "one"
        watched.until(lambda: watched.ran == ["one"])
    assert "changes are not seen at once" in capsys.readouterr().err


def test_a_run_that_fails_is_tried_again_after_growing_pauses(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "ASKED_EVERY_S", 0.02)
    watched.outcomes = [FAILED, UnavailableError("Another process is refreshing it."), FAILED]
    watched.key = "one"
    began = time.monotonic()
    with watched.running():
        watched.until(lambda: watched.ran == ["one"] * 4)
        assert time.monotonic() - began >= 0.2 + 0.4 + 0.8
        time.sleep(0.1)
    assert len(watched.ran) == 4
    said = capsys.readouterr()
    assert said.err.count("the disk is full") == 2
    assert "Another process is refreshing it. Trying again in" in said.err
    assert said.out.count("It is: ") == 1


# --- The command itself -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home").with_settings(
        crm_db_path=None, spool_dir=str(tmp_path / "home" / "spool"), spool_min_files=1
    )
    made.dagster.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", made.dagster)
    Spool(made.path / "spool").prepare()
    return made


@contextmanager
def process_of(home: Home) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    # In a session of its own, so that a signal reaches it alone.
    with subprocess.Popen(
        command("watch", "--source", "spool", "--json"), env=home.env, cwd=home.path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.thorough)])
def test_batches_are_indexed_one_run_after_another_and_a_signal_ends_it(home: Home, name: str) -> None:
    with process_of(home) as (process, out):
        for number in range(2):
            write_batch(home.path / "spool", [{"text": f"Parcel {number} is late."}], source="desk")
            ran = json.loads(out.readline())
            assert ran["because"] == "1 files are waiting, and SPOOL_MIN_FILES is 1"
            assert ran["assets"]["spool/collection"]["added"] == 1
        process.send_signal(getattr(signal, name))
        assert process.wait(20) == 0
    assert len(list((home.path / "spool" / "archive").iterdir())) == 2


def test_a_run_that_has_begun_comes_to_its_end(home: Home) -> None:
    with process_of(home) as (process, out):
        write_batch(home.path / "spool", [{"text": "The parcel is late."}], source="desk")
        while not any((home.path / "spool" / "processing").iterdir()):
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGTERM)
        assert json.loads(out.readline())["assets"]["spool/collection"]["added"] == 1
        assert process.wait(20) == 0
    assert len(list((home.path / "spool" / "archive").iterdir())) == 1
