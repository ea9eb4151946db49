"""A CRM that others write to: one consistent state, unblocked writers, a signature of every commit."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from ingest_assets.model import SourceUnavailableError
from ingest_assets.sources.crm import signature, snapshot
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import write_sample
from ingest_assets.sources.crm.signature import file_signature
from ingest_assets_tests.sources.crm_databases import (
    NOTES_MAPPING,
    Writer,
    digests,
    documents,
    make,
    make_notes,
    mapping_of,
)

TWO_TABLES = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body);
CREATE TABLE other (id INTEGER PRIMARY KEY, title, body);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO notes SELECT i, '0', hex(zeroblob(400)) FROM n;
INSERT INTO other SELECT * FROM notes;
"""
BUMP = "BEGIN IMMEDIATE; UPDATE notes SET title = title + 1; UPDATE other SET title = title + 1; COMMIT"


def _two_tables(folder: Path, *, wal: bool) -> CrmSource:
    path = make(folder / "crm.db", TWO_TABLES, wal=wal)
    text = NOTES_MAPPING + NOTES_MAPPING.replace('"notes"', '"other"')
    return CrmSource(path, mapping_of(folder, text))


def test_in_wal_mode_a_writer_is_never_blocked_and_a_read_sees_one_state(tmp_path: Path) -> None:
    source = _two_tables(tmp_path, wal=True)
    with Writer(Path(source.database.identity), timeout_s=0) as writer:
        assert writer.run("SELECT 1 FROM notes LIMIT 1") == "done"  # so that the database is in use
        for commits_before in (0, 6, 12):
            titles = set()
            with source.read() as items:
                for number, item in enumerate(items):
                    titles.add(item.render().title)
                    if number % 1_000 == 500:
                        assert writer.run(BUMP) == "done"
            assert titles == {str(commits_before)}


def test_in_rollback_mode_a_writer_continues_during_a_long_read(tmp_path: Path) -> None:
    source = _two_tables(tmp_path, wal=False)
    with Writer(Path(source.database.identity), timeout_s=0) as writer:
        with source.read() as items:
            titles = {next(items).render().title}
            assert writer.run(BUMP) == "done"
            titles |= {item.render().title for item in items}
        assert titles == {"0"}
        assert {document.title for document in documents(source).values()} == {"1"}


@pytest.mark.parametrize("wal", [True, False])
def test_reads_see_one_state_under_a_storm_of_commits(tmp_path: Path, wal: bool) -> None:
    source = _two_tables(tmp_path, wal=wal)
    commits: list[float] = []
    stop = threading.Event()

    def write(writer: Writer) -> None:
        while not stop.wait(0.02):  # SQLite's locks are not fair: without a pause the reader may starve
            began = time.monotonic()
            assert writer.run(BUMP) == "done"
            commits.append(time.monotonic() - began)

    with Writer(Path(source.database.identity), timeout_s=20) as writer:
        thread = threading.Thread(target=write, args=(writer,))
        thread.start()
        try:
            states = [{document.title for document in documents(source).values()} for _ in range(3)]
        finally:
            stop.set()
            thread.join()
    assert all(len(state) == 1 for state in states)
    assert commits
    assert max(commits) < 10


def test_the_files_are_not_touched(tmp_path: Path) -> None:
    for wal in (True, False):
        path = make_notes(tmp_path / f"crm-{wal}.db", wal=wal)
        before = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.glob("crm-*")}
        source = CrmSource(path, mapping_of(tmp_path))
        assert digests(source)
        assert source.signature()
        after = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.glob("crm-*")}
        assert after == before  # and there are no new ones, such as -wal or -shm


def test_the_log_of_a_live_server_is_not_touched(tmp_path: Path) -> None:
    path = make_notes(tmp_path / "crm.db", wal=True)
    with Writer(path) as writer:
        assert writer.run("UPDATE notes SET body = 'c'") == "done"
        files = [path, path.with_name("crm.db-wal")]
        before = [file.read_bytes() for file in files]
        assert documents(CrmSource(path, mapping_of(tmp_path)))["notes/1"].body == "c"
        assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("wal", [True, False])
def test_files_left_by_a_crashed_writer(tmp_path: Path, wal: bool) -> None:
    """In WAL mode a commit is only in the log; in rollback mode an unfinished write is rolled back."""
    path = make(tmp_path / "crm.db", TWO_TABLES, wal=wal)
    writer = Writer(path)
    if wal:
        assert writer.run(BUMP) == "done"
    else:  # a cache of one page makes the transaction write to the main file before it commits
        assert writer.run("PRAGMA cache_size=1; BEGIN; UPDATE notes SET title = 'torn', body = ''") == "done"
        assert path.with_name("crm.db-journal").stat().st_size
    writer.kill()
    before = [path.read_bytes(), file_signature(path)]
    source = CrmSource(path, mapping_of(tmp_path))
    assert {document.title for document in documents(source).values()} == {"1" if wal else "0"}
    assert [path.read_bytes(), file_signature(path)] == before


def test_a_folder_that_we_may_not_write_to(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only the administrator can make files that another user owns")
    folder = tmp_path / "crm"
    folder.mkdir()
    path = make_notes(folder / "crm.db", wal=True)
    source = CrmSource(path, mapping_of(tmp_path))
    for above in (folder, *list(folder.parents)[:-1]):
        above.chmod(above.stat().st_mode | 0o055)
    with Writer(path) as writer:
        assert writer.run("UPDATE notes SET body = 'c'") == "done"
        for file in folder.iterdir():
            file.chmod(0o644)
        os.seteuid(65_534)
        try:
            assert documents(source)["notes/1"].body == "c"
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE", "PERSIST"])
def test_every_commit_changes_the_signature_and_nothing_else_does(tmp_path: Path, mode: str) -> None:
    path = make_notes(tmp_path / "crm.db")
    source = CrmSource(path, mapping_of(tmp_path))
    with Writer(path, timeout_s=5) as writer:
        assert writer.run(f"PRAGMA journal_mode={mode}; UPDATE notes SET body = 'z'") == "done"
        seen = [source.signature()]
        for number in range(40):
            assert writer.run(f"UPDATE notes SET body = {'xy'[number % 2]!r}") == "done"  # same size
            seen.append(source.signature())
            digests(source)
            assert writer.run("SELECT * FROM notes") == "done"
            assert writer.run("BEGIN IMMEDIATE; ROLLBACK") == "done"
            assert source.signature() == seen[-1]
    assert None not in seen
    assert len(set(seen)) == len(seen)


def test_commits_within_one_tick_of_the_clock(tmp_path: Path) -> None:
    """All in one process, as fast as possible, with the signature taken in between without a pause."""
    for mode in ("WAL", "DELETE"):
        path = make_notes(tmp_path / f"{mode}.db")
        seen = []
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA journal_mode={mode}")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute(
                "PRAGMA wal_autocheckpoint=3"
            )  # so that the log restarts, and keeps its length
            for number in range(60):
                connection.execute("UPDATE notes SET body = ?", ("xy"[number % 2],))
                seen.append(file_signature(path))
        assert len(set(seen)) == len(seen)


def test_a_server_that_opens_and_closes_for_each_commit(tmp_path: Path) -> None:
    """Neither log nor index remains, and the header of the main file need not change."""
    path = make_notes(tmp_path / "crm.db", wal=True)
    seen = []
    for number in range(25):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("UPDATE notes SET body = ?", ("xy"[number % 2],))
        seen.append(file_signature(path))
    assert len(set(seen)) == len(seen)


def test_copying_a_crm_that_keeps_changing_is_retried_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_notes(tmp_path / "crm.db", wal=True)  # not in use: it is copied as it is
    copied, changes = signature.copy_file, 0

    def change_it(source: Path, target: Path) -> None:
        nonlocal changes
        copied(source, target)
        if changes < limit and source == path:
            changes += 1
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("UPDATE notes SET body = ?", (f"change {changes}",))

    monkeypatch.setattr(snapshot, "copy_file", change_it)
    limit = 6  # more than the minimum of attempts
    read = documents(CrmSource(path, mapping_of(tmp_path, NOTES_MAPPING)))
    assert {note.body for note in read.values()} == {"change 6"}
    limit = 1_000_000
    began = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="was changed each time"):
        documents(CrmSource(path, mapping_of(tmp_path, NOTES_MAPPING), busy_timeout_s=0.3))
    assert time.monotonic() - began < 5


def test_replacing_the_file_changes_the_signature(tmp_path: Path) -> None:
    path = make_notes(tmp_path / "crm.db")
    before = file_signature(path)
    times = path.stat()
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
    copy.replace(path)
    assert file_signature(path) not in {before, None}
    path.unlink()
    assert file_signature(path) is None


def test_a_signature_does_not_drop_the_locks_of_this_process(tmp_path: Path) -> None:
    """Closing a descriptor of the main file would drop the lock that our own reader holds on it."""
    path = make_notes(tmp_path / "crm.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader, Writer(path, timeout_s=0) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM notes").fetchall()
        assert file_signature(path)
        assert CrmSource(path, mapping_of(tmp_path)).signature()
        assert "locked" in writer.run("UPDATE notes SET body = 'c'")
        reader.execute("COMMIT")


def test_a_sample_can_be_read_while_it_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "crm.db"
    write_sample(path, documents=2_000, seed=1)
    source = CrmSource(path, load_mapping())
    with Writer(path) as writer:
        assert writer.run("UPDATE people SET name = 'x' WHERE id = 1") == "done"
        with source.read() as items:
            next(items)
            assert writer.run("DELETE FROM interactions") == "done"
            assert sum(1 for _ in items) == 1_999
        assert len(digests(source)) < 2_000


def test_reading_after_the_end_is_an_error(tmp_path: Path) -> None:
    source = _two_tables(tmp_path, wal=True)
    with source.read() as items:
        next(items)
    with pytest.raises((StopIteration, SourceUnavailableError)):
        next(items)
