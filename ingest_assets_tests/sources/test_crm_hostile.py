"""A CRM's file and a mapping's SQL can read, and nothing else; what they use is bounded."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError, IngestError, SourceUnavailableError
from ingest_assets.sandbox import Limits, Sandbox
from ingest_assets.sandbox.limits import MIB
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.databases.sqlite import SqliteFile
from ingest_assets.sources.crm.mapping_tools.confined import read_schema_of
from ingest_assets.sources.crm.mapping_tools.draft import draft
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets_tests.sources.crm_databases import make, make_notes, mapping_of

QUERY = """
[[documents]]
name = "notes"
query = '''{query}'''
key = "id"
kind = "note"
title = "{{title}}"
body = "{{body}}"
"""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path / "tmp", Limits(memory_bytes=256 * MIB, cpu_s=3))
    yield box
    box.close()


def _source(tmp_path: Path, box: Sandbox, query: str, path: Path | None = None) -> ConfinedSource:
    path = path or make_notes(tmp_path / "crm.db")
    return ConfinedSource(CrmSource(path, mapping_of(tmp_path, QUERY.format(query=query))), box)


def _titles(source: ConfinedSource | CrmSource) -> list[str]:
    with source.read() as items:
        return [item.render().title for item in items]


def _with_journal(tmp_path: Path, name: bytes) -> Path:
    """A database as a crash leaves it in the middle of a transaction over several files.

    Its journal, which has the pages as they were before, ends with the name of a super-journal.
    """
    path = tmp_path / "crm.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA page_size=1024; PRAGMA cache_size=2;CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body);"
    )
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO notes VALUES (?, 'before', ?)", [(i, "x" * 900) for i in range(1, 60)]
    )
    connection.execute("COMMIT")
    connection.execute("BEGIN")
    connection.execute("UPDATE notes SET title = 'after'")  # more than the cache: pages are written
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in (path, path.with_name("crm.db-journal")):
        (crashed / file.name).write_bytes(file.read_bytes())
    connection.close()
    with (crashed / "crm.db-journal").open("ab") as journal:
        journal.write(struct.pack("!I", (1 << 30) // 1024 + 1) + name)
        journal.write(struct.pack("!II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7"))
    return crashed / "crm.db"


def _titles_by_sqlite(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {title for (title,) in connection.execute("SELECT title FROM notes")}


@pytest.mark.parametrize("confined", [True, False])
def test_reading_deletes_no_file_that_a_journal_names(tmp_path: Path, box: Sandbox, confined: bool) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("dear")
    path = _with_journal(tmp_path, os.fsencode(victim))
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    source: ConfinedSource | CrmSource = CrmSource(path, mapping_of(tmp_path))
    if confined:
        source = _source(tmp_path, box, "SELECT * FROM notes", path)
    assert set(_titles(source)) == {"before"}
    assert victim.read_text() == "dear"
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    assert _titles_by_sqlite(path) == {"before"}
    assert not victim.exists(), "SQLite itself would have deleted it: that is what this test is about"


@pytest.mark.parametrize("confined", [True, False])
def test_a_transaction_whose_super_journal_is_gone_did_commit(
    tmp_path: Path, box: Sandbox, confined: bool
) -> None:
    path = _with_journal(tmp_path, os.fsencode(tmp_path / "gone"))
    titles = _titles_by_sqlite(path)
    assert "after" in titles
    path = _with_journal_again(tmp_path)
    source: ConfinedSource | CrmSource = CrmSource(path, mapping_of(tmp_path))
    if confined:
        source = _source(tmp_path, box, "SELECT * FROM notes", path)
    assert set(_titles(source)) == titles


def _with_journal_again(tmp_path: Path) -> Path:
    """SQLite's own look at the files changed them."""
    again = tmp_path / "again"
    again.mkdir()
    return _with_journal(again, os.fsencode(tmp_path / "gone"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id, load_extension('/tmp/x.so') AS title, '' AS body",
        "SELECT 1 AS id, writefile('/tmp/owned', 'x') AS title, '' AS body",
        "SELECT 1 AS id, readfile('/etc/passwd') AS title, '' AS body",
        "SELECT 1 AS id, edit('x') AS title, '' AS body",
        "SELECT 1 AS id, file AS title, '' AS body FROM pragma_database_list",
        "SELECT 1 AS id, name AS title, '' AS body FROM pragma_temp_store_directory",
        "SELECT 1 AS id, fts3_tokenizer('simple', x'41') AS title, '' AS body",
        "SELECT 1 AS id, '' AS title, '' AS body) UNION SELECT * FROM (DELETE FROM notes RETURNING *",
        "SELECT 1 AS id, '' AS title, '' AS body); ATTACH '/tmp/owned.db' AS owned; SELECT (1",
    ],
)
def test_a_mapping_reads_tables_and_does_nothing_else(tmp_path: Path, box: Sandbox, query: str) -> None:
    path = make_notes(tmp_path / "crm.db")
    before = path.read_bytes()
    with pytest.raises(IngestError) as caught:
        _titles(_source(tmp_path, box, query, path))
    assert isinstance(caught.value, ConfigurationError | SourceUnavailableError)
    assert path.read_bytes() == before
    assert not Path("/tmp/owned").exists()
    assert not Path("/tmp/owned.db").exists()


def test_a_view_of_the_file_may_do_no_more_than_a_mapping(tmp_path: Path, box: Sandbox) -> None:
    path = make(
        tmp_path / "crm.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, title, body); INSERT INTO t VALUES (1, 'a', 'b');"
        "CREATE VIEW notes AS SELECT id, load_extension(title) AS title, body FROM t;",
    )
    with pytest.raises(IngestError):
        _titles(_source(tmp_path, box, "SELECT * FROM notes", path))


def test_a_virtual_table_is_read_or_named_as_the_fault(tmp_path: Path, box: Sandbox) -> None:
    path = make(
        tmp_path / "crm.db",
        "CREATE VIRTUAL TABLE notes USING fts5(id, title, body); INSERT INTO notes VALUES (1, 'a', 'b');"
        "CREATE VIRTUAL TABLE places USING rtree(id, low, high); INSERT INTO places VALUES (1, 2, 3);",
    )
    assert _titles(_source(tmp_path, box, "SELECT * FROM notes", path)) == ["a"]
    with SqliteFile(path).snapshot() as snapshot:
        assert list(snapshot.relations()) == ["notes", "places"]
    with pytest.raises(ConfigurationError, match=r"the query does not work in this CRM: not authorized\."):
        _titles(_source(tmp_path, box, "SELECT id, low AS title, high AS body FROM places", path))
    drafted = draft(read_schema_of(load_settings(ingest_home=str(tmp_path / "home")), SqliteFile(path)))
    assert [kind.table.name for kind in drafted.kinds] == ["notes"]


MEMORY, TIME = "256 MiB of memory", "3 s of CPU time"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
MANY = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i FROM n)"
BOMBS = [
    ("SELECT 1 AS id, zeroblob(1000000000) AS title, '' AS body", MEMORY),
    ("SELECT 1 AS id, hex(zeroblob(200000000)) AS title, '' AS body", MEMORY),
    ("SELECT 1 AS id, printf('%.*c', 500000000, 'x') AS title, '' AS body", MEMORY),
    ("SELECT 1 AS id, replace(hex(zeroblob(20000)), '0', hex(zeroblob(20000))) AS title, '' AS body", MEMORY),
    (f"{ENDLESS} SELECT i AS id, '' AS title, '' AS body FROM n WHERE i < 0", TIME),
    (f"SELECT a.i AS id, '' AS title, '' AS body FROM {MANY} a, {MANY} b GROUP BY a.i + b.i", TIME),
]


@pytest.mark.parametrize(("query", "said"), BOMBS)
def test_a_query_is_bounded_in_memory_and_time(tmp_path: Path, box: Sandbox, query: str, said: str) -> None:
    with pytest.raises(SourceUnavailableError, match=r"^The reader of the CRM .*INGEST_PARSER_") as caught:
        _titles(_source(tmp_path, box, query))
    assert said in str(caught.value)


def test_a_large_sort_uses_the_disk_and_not_the_memory(tmp_path: Path, box: Sandbox) -> None:
    path = make(
        tmp_path / "crm.db",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400)"
        "INSERT INTO notes SELECT i, 'title ' || (i * 7919 % 400), hex(randomblob(500000)) FROM n;",
    )
    query = "SELECT id, title, substr(body, 1, 10) AS body FROM (SELECT * FROM notes ORDER BY title, body)"
    limits = replace(box.limits, cpu_s=60)
    with closing(Sandbox(tmp_path / "other", limits)) as other:
        assert len(_titles(_source(tmp_path, other, query, path))) == 400


@pytest.mark.parametrize("at", [0, 18, 20, 28, 56, 100, 104, 1_000, 4_000])
@pytest.mark.parametrize("value", [0, 1, 0xFF])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, box: Sandbox, at: int, value: int) -> None:
    path = make_notes(tmp_path / "crm.db")
    content = bytearray(path.read_bytes())
    content[at : at + 8] = bytes([value]) * 8
    path.write_bytes(content)
    said = ""
    try:
        _titles(_source(tmp_path, box, "SELECT * FROM notes", path))
    except IngestError as error:
        said = str(error)
    assert "\n" not in said


def test_a_killed_read_leaves_no_copy(tmp_path: Path, box: Sandbox) -> None:
    path = make_notes(tmp_path / "crm.db")
    with _source(tmp_path, box, "SELECT * FROM notes", path).read() as items:
        list(items)
        copies = list((tmp_path / "tmp").glob("parser-*/*/snapshot.sqlite"))
        assert copies, "a database with a rollback journal is copied into the process's own folder"
    assert not list((tmp_path / "tmp").iterdir())
