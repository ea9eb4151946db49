"""`ingest watch PATH`: what follows from changes in a folder, and from the folder going and coming back."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from ingest_assets.interfaces.cli import watch_folder, watched_runs
from ingest_assets.interfaces.cli.runs import Asked, RunReport
from ingest_assets.interfaces.cli.watch_folder import FolderWatch, only_watcher
from ingest_assets.interfaces.cli.watched_runs import Printed
from ingest_assets.model import UnavailableError
from ingest_assets.queries.search import Searcher
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.support.built_index import ROOT, Home, command

DONE = RunReport("1", True, {}, {}, [])
FAILED = RunReport("1", False, {}, {}, ["toys/files: the disk is full"])


class Toys:
    """A folder of which every change matters, but for what is called noise."""

    part = "toys"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.looks = 0

    def concerns(self, changed: Collection[Path]) -> bool:
        return any("noise" not in path.name for path in changed)

    def state(self) -> str:
        self.looks += 1
        return " ".join(sorted(f"{each.name} {each.read_text()}" for each in self.path.iterdir()))


class Watched:
    """A folder that is watched, and runs that end as a test has them end."""

    def __init__(self, home: Home, path: Path) -> None:
        self.folder = Toys(path)
        self.ran: list[tuple[str, bool]] = []  # what was there, and whether all that is gone may go
        self.outcomes: list[RunReport | Exception] = []
        self.during: Callable[[], object] = lambda: None
        self.stop = threading.Event()
        self._settings = home.load()

    def _refresh(self, *, part: str, asked: Asked) -> RunReport:
        assert part == "toys"
        there = " ".join(sorted(each.name for each in self.folder.path.iterdir()))
        self.during()
        self.ran.append((there, asked.allow_removals))
        outcome = self.outcomes.pop(0) if self.outcomes else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @contextmanager
    def running(self) -> Iterator[None]:
        watch = FolderWatch(self.folder, self.stop, Printed(as_json=False), self._refresh)
        thread = threading.Thread(target=watch.run)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join(10)
            assert not thread.is_alive()

    def until(self, what: Callable[[], bool], s: float = 10) -> None:
        ends = time.monotonic() + s
        while not what():
            assert time.monotonic() < ends, self.ran
            time.sleep(0.005)

    def until_ran(self, *names: str) -> None:
        """The last run found these files."""
        self.until(lambda: bool(self.ran) and self.ran[-1][0] == " ".join(names))


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(watch_folder, "AWAKE_EVERY_S", 0.05)
    monkeypatch.setattr(watched_runs, "SHORTEST_WAIT_S", 0.1)
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "a").write_text("1")
    return Watched(Home(tmp_path / "home"), tmp_path / "toys")


def test_edits_moves_deletes_and_new_folders_are_each_followed_by_a_run(watched: Watched) -> None:
    root = watched.folder.path
    with watched.running():
        watched.until_ran("a")
        (root / "b").write_text("1")
        watched.until_ran("a", "b")
        (root / "b.new").write_text("2")  # as editors do that write by rename
        (root / "b.new").replace(root / "c")
        watched.until_ran("a", "b", "c")
        (root / "a").rename(root / "d")
        watched.until_ran("b", "c", "d")
        (root / "b").unlink()
        watched.until_ran("c", "d")
        assert watched.ran[-1] == ("c d", True), "somebody was seen to remove it"
        (root / "e").mkdir()
        watched.until_ran("c", "d", "e")
        count = len(watched.ran)
        (root / "e" / "deep").mkdir()
        watched.until(lambda: len(watched.ran) > count)
        count = len(watched.ran)
        (root / "e" / "deep" / "x").write_text("1")
        watched.until(lambda: len(watched.ran) > count)


def test_what_changes_during_a_run_gets_another_one(watched: Watched) -> None:
    root = watched.folder.path
    with watched.running():
        watched.until_ran("a")
        watched.during = (root / "late").touch
        (root / "b").write_text("1")
        watched.until_ran("a", "b", "late")
        watched.during = lambda: None


def test_a_burst_takes_few_runs_and_what_does_not_matter_none(watched: Watched) -> None:
    root = watched.folder.path
    with watched.running():
        watched.until_ran("a")
        for number in range(500):
            (root / f"{number:03}").write_text("1")
        watched.until_ran(*(f"{number:03}" for number in range(500)), "a")
        assert len(watched.ran) < 20
        count = len(watched.ran)
        (root / "noise").write_text("1")
        time.sleep(0.5)
        assert len(watched.ran) == count


def test_a_folder_that_vanishes_is_waited_for(
    watched: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = watched.folder.path
    with watched.running():
        watched.until_ran("a")
        root.rename(tmp_path / "elsewhere")
        said = ""
        ends = time.monotonic() + 10
        while "is waited for" not in (said := said + capsys.readouterr().err):
            assert time.monotonic() < ends
            time.sleep(0.01)
        count = len(watched.ran)
        time.sleep(0.2)
        assert len(watched.ran) == count, "nothing is run on a folder that is gone"
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "z").write_text("1")
        (tmp_path / "other").rename(root)
        watched.until_ran("z")
        assert watched.ran[-1] == ("z", False), "nobody was seen to remove the others"
        (root / "y").write_text("1")
        watched.until_ran("y", "z")


def test_a_run_that_fails_is_tried_again_with_what_it_was_for(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    root = watched.folder.path
    with watched.running():
        watched.until_ran("a")
        watched.outcomes = [FAILED, UnavailableError("Another process is refreshing it.")]
        (root / "a").rename(root / "b")
        watched.until(lambda: len(watched.ran) == 4)
        time.sleep(0.3)
    assert watched.ran[1:] == [("b", True)] * 3
    said = capsys.readouterr()
    assert "the disk is full Trying again in" in said.err


def test_what_no_change_was_told_of_is_found_by_looking(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when there were more changes than the system keeps, or a file system that tells of none."""
    monkeypatch.setattr(watch_folder, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(FolderWatch, "_changes", lambda self: _nothing(self._stop))
    _found_by_looking(watched)


def test_where_the_system_cannot_watch_the_folder_is_looked_at(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch_folder, "UNTOLD_LOOK_EVERY_S", 0.1)

    def refuse(_self: FolderWatch) -> Iterator[Any]:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr(FolderWatch, "_changes", refuse)
    _found_by_looking(watched)
    assert "file watch limit reached" in capsys.readouterr().err


def _found_by_looking(watched: Watched) -> None:
    with watched.running():
        watched.until_ran("a")
        watched.until(lambda: watched.folder.looks > 0)
        (watched.folder.path / "b").write_text("1")
        watched.until_ran("a", "b")
        count, looks = len(watched.ran), watched.folder.looks
        watched.until(lambda: watched.folder.looks > looks + 2)
        assert len(watched.ran) <= count + 1, "it runs although nothing is different"


def _nothing(stop: threading.Event) -> Iterator[Any]:
    while not stop.wait(0.02):
        yield set()


def test_one_process_watches_a_folder(watched: Watched, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    other = Toys(tmp_path / "toys")
    other.part = "others"
    with home.bench() as bench, home.bench() as second, only_watcher(bench, watched.folder):
        with (
            pytest.raises(UnavailableError, match="watches this folder already"),
            only_watcher(second, watched.folder),
        ):
            pass
        with only_watcher(second, other):
            pass
    with home.bench() as bench, only_watcher(bench, watched.folder):
        pass


# --- The command itself -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home").with_settings(crm_db_path=None)
    made.dagster.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", made.dagster)
    return made


def _put(out: IO[str], lines: queue.Queue[str]) -> None:
    for line in out:
        lines.put(line)


def found(home: Home, query: str) -> set[str]:
    with home.bench() as bench:
        hits = Searcher(bench, "repositories").search(query, mode="sparse").hits
    return {hit.title for hit in hits if query in hit.text}


def test_edits_are_searchable_and_a_signal_ends_it(home: Home, tmp_path: Path) -> None:
    """A folder that also holds what this program writes."""
    root = home.path
    (root / "src").mkdir()
    (root / "src" / "a.py").write_text("def first():\n    return 'aardvark'\n")
    with subprocess.Popen(
        command("watch", str(root), "--json"), env=home.env, cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_put, args=(process.stdout, lines)).start()
        try:
            ran = json.loads(lines.get(timeout=60))
            assert ran["because"] == "it is watched from now on"
            assert ran["assets"]["repositories/files"]["added"] == 2  # with dagster.yaml, which people write
            assert found(home, "aardvark") == {"src/a.py"}
            other = subprocess.run(
                command("watch", str(root)),
                env=home.env,
                cwd=tmp_path,
                text=True,
                capture_output=True,
                check=False,
            )
            assert other.returncode == 1
            assert "watches this folder already" in other.stderr

            (root / "src" / "b.py").write_text("def second():\n    return 'buffalo'\n")
            (root / "src" / "a.py").unlink()
            while found(home, "aardvark") or found(home, "buffalo") != {"src/b.py"}:
                ran = json.loads(lines.get(timeout=60))
            assert ran["because"] == "files have changed"
            time.sleep(1)
            assert lines.empty(), "what it writes itself is followed by a run"
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
    with home.bench() as bench:
        [kept] = repositories_of(bench).all()
        assert (kept.own_folder, kept.committed) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["watch", "nothing-there"], "No such file"),
        (["watch", "a-file"], "not a folder"),
        (["watch", "empty", "--source", "spool"], "spool takes no folder"),
        (["watch", "--source", "repositories"], "give the folder to be watched"),
    ],
)
def test_what_cannot_be_watched(home: Home, ingest_here: Any, arguments: list[str], said: str) -> None:
    (home.path / "empty").mkdir()
    (home.path / "a-file").write_text("1")
    ended = ingest_here(home, *arguments)
    assert ended.status == 2
    assert said in " ".join(ended.err.split())
