"""A CRM as a folder of CSV files: what an export gives is read as it is, or refused by file and line."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError, SourceUnavailableError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets.sources.crm.databases import csv_folder
from ingest_assets.sources.crm.databases.csv_folder import CsvFolder
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.place import file_database
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import write_sample
from ingest_assets_tests.sources.crm_databases import documents, mapping_of

NOTES = "id,title,body\n1,a,b\n"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def source(export: Path) -> CrmSource:
    return CrmSource(file_database(export), mapping_of(export.parent))


def rows(export: Path, sql: str = "SELECT * FROM notes") -> list[tuple[str | None, ...]]:
    with CsvFolder(export).snapshot() as snapshot:
        return [
            tuple(cell.decode() if isinstance(cell, bytearray) else None for cell in row)
            for row in snapshot.rows(sql)
        ]


_cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(
    table=st.lists(st.tuples(_cells, _cells, _cells), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str, str]],
    delimiter: str,
    encoding: str,
    line_end: str,
) -> None:
    export = tmp_path_factory.mktemp("export")
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "a,b;c", "Größe"), *table])
    (export / "notes.csv").write_bytes(text.getvalue().encode(encoding))
    assert rows(export) == [tuple(cell or None for cell in row) for row in table]


def test_the_default_mapping_reads_an_export_of_the_sample(tmp_path: Path, export: Path) -> None:
    path = tmp_path / "crm.sqlite"
    write_sample(path, 200, 3, overwrite=False)
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found = connection.execute(f"SELECT * FROM {table}")
            with (export / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow([column[0] for column in found.description])
                writer.writerows(found)
    mapping = load_mapping()
    expected = documents(CrmSource(path, mapping))
    there = documents(CrmSource(file_database(export, mapping), mapping))
    assert set(there) == set(expected)
    # Keys are text, so that what is in the order of keys is in another order.
    assert all(set(there[each].refs) == set(expected[each].refs) for each in there)
    assert all(there[each].body == expected[each].body for each in there)
    assert all(
        there[each] == expected[each] for each in there if each.startswith(("people", "organisations"))
    )


def test_lookups_have_an_index(export: Path) -> None:
    (export / "firms.csv").write_text("code,name\n7,Acme\n")
    sql = "SELECT name FROM firms WHERE code = document.firm"
    with CsvFolder(export, (sql,)).snapshot() as snapshot:
        [(plan,)] = [
            row[3:] for row in snapshot.rows("EXPLAIN QUERY PLAN SELECT name FROM firms WHERE code = 7")
        ]
    assert isinstance(plan, bytearray)
    assert b"USING INDEX" in plan


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "notes.csv is empty"),
        (b"id,,body\n1,2,3\n", "no name for column number 2"),
        (b"id,title,ID\n1,2,3\n", 'two columns named "id"'),
        (b"id,title,body\n1,a,b\n2,a\n", "notes.csv has 2 values in line 3, and 3 columns"),
        (b'id,title,body\n1,"a\nb",c,d\n', "has 4 values in line 3"),
        (b'id,title,body\n1,"a,b\n', "cannot be read in line 2: unexpected end of data"),
        (b'id,title,body\n1,"a"x,b\n', "cannot be read in line 2"),
        (b"id,title,body\n1,\x81,b\n", "not text in UTF-8"),
        (b"id,title\n1,\0\n", "not text in UTF-8"),
    ],
)
def test_what_cannot_be_read_for_certain_is_named(export: Path, content: bytes, expected: str) -> None:
    (export / "notes.csv").write_bytes(content)
    with pytest.raises(SourceUnavailableError, match="CRM_DB_PATH") as caught:
        documents(source(export))
    assert expected in str(caught.value)


def test_windows_text_is_told_from_utf8(export: Path) -> None:
    for name, encoding in (("notes", "cp1252"), ("more", "utf-8")):
        (export / f"{name}.csv").write_bytes("id;name\n1;Zoë 5 €\n".encode(encoding))
        assert rows(export, f"SELECT name FROM {name}") == [("Zoë 5 €",)]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_regular_files_are_read(export: Path, kind: str) -> None:
    place = export / "notes.csv"
    if kind == "link":
        (export.parent / "other").write_text(NOTES)
        place.symlink_to(export.parent / "other")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(SourceUnavailableError, match="not a regular file"):
        documents(source(export))
    assert source(export).signature() is None


def test_a_folder_without_files_is_not_an_empty_crm(export: Path) -> None:
    (export / "readme.txt").write_text("x")
    crm = source(export)
    with pytest.raises(SourceUnavailableError, match=r"holds no \.csv file"):
        documents(crm)
    assert crm.signature() is None
    (export / "other.csv").write_text(NOTES)
    with pytest.raises(ConfigurationError, match='no table or view "notes"'):
        documents(crm)


def test_every_change_of_the_folder_changes_the_signature(export: Path) -> None:
    file = export / "notes.csv"
    file.write_text(NOTES)
    crm = source(export)
    seen = [crm.signature()]
    assert crm.signature() == seen[0]
    for content in (NOTES.replace("a", "c"), NOTES + "2,c,d\n", NOTES):
        file.write_text(content)
        seen.append(crm.signature())
    os.utime(file, ns=(1, 1))
    seen.append(crm.signature())
    (export / "more.csv").write_text(NOTES)
    seen.append(crm.signature())
    file.unlink()
    seen.append(crm.signature())
    assert None not in seen
    assert len(set(seen)) == len(seen)


def test_an_export_that_is_written_meanwhile_is_read_again(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = export / "notes.csv"
    file.write_text("id,title,body\n1,a")  # in the middle of a row
    whole, times = csv_folder.CsvFolder._load, []

    def written_meanwhile(folder: CsvFolder, target: Path) -> None:
        times.append(target)
        if len(times) == 1:
            try:
                whole(folder, target)
            finally:
                file.write_text(NOTES)
        else:
            whole(folder, target)

    monkeypatch.setattr(CsvFolder, "_load", written_meanwhile)
    assert set(documents(source(export))) == {"notes/1"}
    assert len(times) == 2


def test_it_is_read_in_confinement(tmp_path: Path, export: Path) -> None:
    (export / "notes.csv").write_text(NOTES + "".join(f"{i},t,{'x' * 100}\n" for i in range(2, 5_000)))
    sandbox = Sandbox(tmp_path / "tmp")
    with ConfinedSource(source(export), sandbox).read() as items:
        assert sum(1 for _ in items) == 4_999
    sandbox.close()
    assert not list((tmp_path / "tmp").iterdir())
