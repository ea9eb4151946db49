"""RAG_LOG_FILE holds whole lines, free of what is in records, and never grows beyond its files."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from ingest_assets.sources.spool.notifier import events_log
from ingest_assets.sources.spool.notifier.events_log import log_event
from ingest_assets_tests.sources.spool.gate_listener import Clock, gate_bench


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))


def test_a_line(tmp_path: Path) -> None:
    with gate_bench(tmp_path, f"sqlite:///{tmp_path / 'l'}") as bench:
        log_event(
            bench,
            "batch.settled",
            batch_tag="b1",
            records=3,
            seconds=0.5,
            healed=False,
            error=None,
            now=Clock(),
        )
        log_event(
            bench, "batch.failed", level="error", batch_tag="b\x1b2", message="Ada Lovelace", who=["Bo"]
        )
    file = tmp_path / "logs" / "rag.log"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    first, second = map(json.loads, file.read_text().splitlines())
    assert first == {
        "ts": "2027-01-15T08:00:00+00:00", "level": "info", "event": "batch.settled", "batch_tag": "b1",
        "records": 3, "seconds": 0.5, "healed": False, "error": None,
    }  # fmt: skip
    assert (second["level"], second["message"], second["who"]) == ("error", "(not logged)", "(not logged)")
    assert "\x1b" not in second["batch_tag"]


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_rotation(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "rag.log"
    for number in range(100):
        events_log.write(file, {"number": number, "text": "x" * 80}, 1_000, kept)
    assert files(tmp_path) == sorted(["rag.log", *(f"rag.log.{n}" for n in range(1, kept))])
    numbers = []
    for each in [*(tmp_path / f"rag.log.{n}" for n in range(kept - 1, 0, -1)), file]:
        assert each.stat().st_size < 1_200
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
        numbers += [json.loads(line)["number"] for line in each.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 100)), "a line is missing or twice"


def test_several_processes_rotate_together(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from ingest_assets.sources.spool.notifier import events_log
events_log.LOCK_S = 60
for number in range(150):
    record = {"who": sys.argv[2], "number": number, "text": "x" * 90}
    events_log.write(Path(sys.argv[1]), record, 2_000, 1_000)
"""
    file = tmp_path / "rag.log"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(file), str(n)]) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = [
        json.loads(line)
        for each in tmp_path.glob("rag.log*")
        if not each.name.endswith(".lock")
        for line in each.read_text().splitlines()
    ]
    assert len(files(tmp_path)) > 15
    for who in "012":
        assert sorted(line["number"] for line in found if line["who"] == who) == list(range(150))


def test_a_process_that_holds_the_lock_delays_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_log, "LOCK_S", 0.05)
    file = tmp_path / "rag.log"
    with FileLock(tmp_path / "rag.log.lock"):
        for number in range(5):
            events_log.write(file, {"number": number}, 10, 3)
    assert len(file.read_text().splitlines()) == 5
    assert files(tmp_path) == ["rag.log"]
    events_log.write(file, {"number": 5}, 10, 3)
    assert files(tmp_path) == ["rag.log", "rag.log.1"]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("no folder")
    with gate_bench(tmp_path, f"sqlite:///{tmp_path / 'l'}") as bench:
        log_event(bench, "batch.settled", batch_tag="b1")
    assert "rag.log cannot be written" in caplog.text
