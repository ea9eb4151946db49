"""Small CRMs for the tests, and processes that write to them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest_assets.model import Document
from ingest_assets.sources.crm.mapping import CrmMapping, load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import SCHEMA

NOTES_MAPPING = """
[[documents]]
name = "notes"
table = "notes"
key = "id"
kind = "note"
title = "{title}"
body = "{body}"
"""


def make(path: Path, script: str, *, wal: bool = False) -> Path:
    """A database from an SQL script."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
        connection.executescript(script)
    return path


def make_default(path: Path, script: str = "") -> Path:
    return make(path, SCHEMA.read_text("utf-8") + script)


def make_notes(path: Path, *, wal: bool = False) -> Path:
    script = (
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body); INSERT INTO notes VALUES (1, 'a', 'b');"
    )
    return make(path, script, wal=wal)


def mapping_of(folder: Path, text: str = NOTES_MAPPING) -> CrmMapping:
    file = folder / "mapping.toml"
    file.write_text(text, "utf-8")
    return load_mapping(file)


def digests(source: CrmSource) -> dict[str, str]:
    with source.read() as items:
        pairs = [(item.id, item.digest) for item in items]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def documents(source: CrmSource) -> dict[str, Document]:
    with source.read() as items:
        return {item.id: item.render() for item in items}


class Writer:
    """Another process with a connection to a database, which runs one SQL script after another.

    With a busy timeout of 0 it fails at once where it would have to wait.
    """

    _CODE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
for line in sys.stdin:
    try:
        for statement in line.split(";"):
            connection.execute(statement).fetchall()
        print("done", flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)
"""

    def __init__(self, path: Path, timeout_s: float = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._CODE, str(path), str(timeout_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, sql: str) -> str:
        """'done', or SQLite's message."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(sql.replace("\n", " ") + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        """Like a crash: nothing is closed or cleaned up."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=20)
