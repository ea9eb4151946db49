"""The log of a process: level and form by setting, on standard error, without secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, threading
from ingest_assets.process import begin_process
from ingest_assets.settings import begin_logging, load_settings
begin_process(); begin_logging(); load_settings()
ours, theirs = logging.getLogger("ingest_assets.x"), logging.getLogger("httpx")
ours.debug("fine"); ours.info("a secret: s3cr3t-of-qdrant\\nand a line");
theirs.info("GET /?q=private"); theirs.warning("theirs")
try:
    raise ValueError("s3cr3t-of-qdrant")
except ValueError:
    ours.exception("failed")
threading.Thread(target=lambda: 1 / 0).start()
print("answer")
"""


def _run(tmp_path: Path, **settings: str) -> tuple[str, list[str]]:
    env = {"PYTHONPATH": ":".join(sys.path), "QDRANT_API_KEY": "s3cr3t-of-qdrant", **settings}
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout == "answer\n"
    assert "s3cr3t" not in said.stderr
    assert "private" not in said.stderr
    return said.stderr, said.stderr.splitlines()


@pytest.mark.parametrize(
    ("level", "messages"),
    [("debug", ["fine", "a secret"]), ("info", ["a secret"]), ("warning", []), ("error", None)],
)
def test_json_lines(tmp_path: Path, level: str, messages: list[str] | None) -> None:
    _, lines = _run(tmp_path, INGEST_LOG_FORMAT="json", INGEST_LOG_LEVEL=level)
    records = [json.loads(line) for line in lines]  # whatever is written is one object a line
    assert {"time", "level", "logger", "message", "process"} <= set(records[0])
    expected = (
        ["failed", "Exception in thread"] if messages is None else [*messages, "theirs", "failed", "Exc"]
    )
    assert len(records) == len(expected)
    assert all(r["message"].startswith(begins) for r, begins in zip(records, expected, strict=True))
    assert "ValueError" in records[-2]["error"]
    assert "ZeroDivisionError" in records[-1]["message"]


def test_text_is_the_default(tmp_path: Path) -> None:
    text, lines = _run(tmp_path)
    assert lines[0] == "ingest: warning: theirs"
    assert "ingest: error: failed\nTraceback" in text


def test_wrong_settings_are_named_when_all_are_loaded(tmp_path: Path) -> None:
    env = {"PYTHONPATH": ":".join(sys.path), "INGEST_LOG_LEVEL": "loud"}
    said = subprocess.run(
        [sys.executable, "-m", "ingest_assets", "status"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert "INGEST_LOG_LEVEL='loud': input should be 'debug', 'info'" in said.stderr
