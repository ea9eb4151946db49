"""A CRM that cannot be read is an error that says what to do, and never an empty CRM."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest_assets.model import SourceUnavailableError
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets_tests.sources.crm_databases import (
    Writer,
    digests,
    documents,
    make,
    make_notes,
    mapping_of,
)

MANY = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
INSERT INTO notes SELECT i, 'title', hex(zeroblob(200)) FROM n;
"""


def _missing(_path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("id,name\n1,Ada\n" * 100)


def _short(path: Path) -> None:
    path.write_bytes(make(path.with_name("whole.db"), MANY).read_bytes()[:60])


def _cut(path: Path) -> None:
    whole = make(path.with_name("whole.db"), MANY).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _cut_wal(path: Path) -> None:
    whole = make(path.with_name("whole.db"), MANY, wal=True).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _no_schema(path: Path) -> None:
    whole = bytearray(make(path.with_name("whole.db"), MANY).read_bytes())
    whole[100:4096] = bytes(3996)
    path.write_bytes(whole)


def _looping_link(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        (_missing, "does not exist"),
        (_folder, "is not a file"),
        (_pipe, "is not a file"),
        (_empty, r"is empty \(0 bytes\)"),
        (_text, "is not an SQLite database"),
        (_short, "is cut short at 60 bytes"),
        (_cut, "damaged or cut short"),
        (_cut_wal, "damaged or cut short"),
        (_no_schema, "damaged or cut short"),
        (_looping_link, "does not exist"),
    ],
)
def test_a_file_that_is_not_a_crm(tmp_path: Path, arrange: Callable[[Path], None], expected: str) -> None:
    path = tmp_path / "crm.db"
    arrange(path)
    source = CrmSource(path, mapping_of(tmp_path))
    with pytest.raises(SourceUnavailableError, match=expected) as caught:
        digests(source)
    assert "CRM_DB_PATH" in str(caught.value)
    assert str(path) in str(caught.value)


def test_damage_in_the_middle_is_an_error_at_that_place(tmp_path: Path) -> None:
    path = make(tmp_path / "crm.db", MANY, wal=True)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096 * 4)
    seen: list[str] = []
    with (
        CrmSource(path, mapping_of(tmp_path)).read() as items,
        pytest.raises(SourceUnavailableError) as caught,
    ):
        seen.extend(item.id for item in items)
    assert "damaged" in str(caught.value)
    assert 0 < len(seen) < 5_000


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Run as the user nobody, because root may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_we_may_not_read(tmp_path: Path) -> None:
    source = CrmSource(make_notes(tmp_path / "crm.db"), mapping_of(tmp_path))
    Path(source.database.identity).chmod(0)
    with (
        _unprivileged(),
        pytest.raises(SourceUnavailableError, match="this user may not read it"),
        source.read(),
    ):
        pass
    with _unprivileged():
        assert source.signature() is None


def test_a_lock_is_waited_for_up_to_the_timeout(tmp_path: Path) -> None:
    path = make_notes(tmp_path / "crm.db")
    source = CrmSource(path, mapping_of(tmp_path), busy_timeout_s=0.2)
    with Writer(path) as writer:
        assert writer.run("BEGIN EXCLUSIVE; UPDATE notes SET body = 'c'") == "done"
        with pytest.raises(SourceUnavailableError, match="keeps it locked"):
            digests(source)
        assert writer.run("COMMIT") == "done"
        assert documents(source)["notes/1"].body == "c"


def test_an_exclusive_writer_in_wal_mode(tmp_path: Path) -> None:
    """It keeps the log's index in memory and locks everyone out; what it has committed is in its files."""
    path = make_notes(tmp_path / "crm.db", wal=True)
    source = CrmSource(path, mapping_of(tmp_path), busy_timeout_s=0.2)
    with Writer(path) as writer:
        assert writer.run("PRAGMA locking_mode=EXCLUSIVE; UPDATE notes SET body = 'c'") == "done"
        assert documents(source)["notes/1"].body == "c"
        path.with_name("crm.db-shm").touch()
        with pytest.raises(SourceUnavailableError, match="keeps it locked"):
            digests(source)


def test_an_error_of_the_readers_own_is_left_alone(tmp_path: Path) -> None:
    source = CrmSource(make_notes(tmp_path / "crm.db"), mapping_of(tmp_path))
    with pytest.raises(sqlite3.OperationalError, match="no such table"), source.read():
        sqlite3.connect(":memory:").execute("SELECT * FROM ledger")


def test_a_path_with_awkward_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c?d#e'é"
    folder.mkdir()
    for wal in (True, False):
        source = CrmSource(make_notes(folder / f"crm {wal}?mode=rw.db", wal=wal), mapping_of(tmp_path))
        assert len(digests(source)) == 1


def test_a_link_to_a_database_in_use(tmp_path: Path) -> None:
    path = make_notes(tmp_path / "crm.db", wal=True)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    source = CrmSource(link, mapping_of(tmp_path))
    with Writer(path) as writer:
        before = digests(source), source.signature()
        assert writer.run("UPDATE notes SET body = 'committed, not yet in the main file'") == "done"
        after = digests(source), source.signature()
    assert before[0] != after[0]
    assert before[1] != after[1]
