"""A CRM on a server gives what the same rows give in SQLite, undisturbed, and is never taken for empty."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError, Document, SourceUnavailableError
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.databases import QueryError
from ingest_assets.sources.crm.mapping import DEFAULT_MAPPING, load_mapping
from ingest_assets.sources.crm.mapping_tools.check import check
from ingest_assets.sources.crm.mapping_tools.confined import read_schema_of
from ingest_assets.sources.crm.mapping_tools.draft import draft
from ingest_assets.sources.crm.mapping_tools.written import written
from ingest_assets.sources.crm.place import in_dialect
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import SCHEMA, write_sample
from ingest_assets_tests.sources.crm_databases import NOTES_MAPPING, documents, make, mapping_of
from ingest_assets_tests.sources.crm_on_servers import notes, opened, rows, source
from ingest_assets_tests.support.crm_servers import CrmServer

pytest_plugins = ["ingest_assets_tests.sources.crm_on_servers"]


# --- The same as in SQLite ----------------------------------------------------------------------------------

MAPPING = """
[[documents]]
name = "people"
table = "people"
key = "id"
kind = "person"
title = "{name}"
time = "seen"
body = "{name} {amount} {weight} {active} {note}"
[documents.columns]
employer = "SELECT name FROM firms WHERE code = document.firm"
[documents.header]
Firm = "{employer}"
[[documents.refs]]
to = "firms"
columns = "firm"
[[documents.refs]]
to = "firms"
query = "SELECT code FROM firms WHERE size > document.id"

[[documents]]
name = "firms"
table = "firms"
key = "code"
kind = "firm"
title = "{name}"
"""

# What all three can hold: Postgres has no NUL in text, and codes differ in more than their case.
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_codes = st.sampled_from(["a", "B", "c d", "é", "e'f", 'g"h', "i/j", "%k", "7", "\\l", "😀"])
_whole = st.integers(-(2**63), 2**63 - 1)
_exact = st.integers(-(10**11), 10**11).map(lambda cents: Decimal(cents) / 100)
_real = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, width=32).map(float)
_moment = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001 - of a type without a zone
_firms = st.lists(st.tuples(_codes, _text, st.integers(-9, 9)), max_size=6, unique_by=lambda firm: firm[0])
_people = st.lists(
    st.tuples(
        _whole, _text, st.none() | _exact, st.none() | _real, st.booleans(), st.none() | _text,
        st.none() | _moment, st.none() | _codes,
    ),
    max_size=6,
    unique_by=lambda person: person[0],
)  # fmt: skip


def _tables(types: dict[str, str]) -> tuple[str, str]:
    return (
        (
            f"CREATE TABLE people (id {types['whole']} PRIMARY KEY, name {types['text']}, "
            f"amount {types['exact']}, weight {types['real']}, active {types['truth']}, "
            f"note {types['text']}, seen {types['moment']}, firm {types['short']})"
        ),
        f"CREATE TABLE firms (code {types['short']} PRIMARY KEY, name {types['text']}, size bigint)",
    )


_SQLITE = {
    "whole": "INTEGER", "real": "REAL", "text": "TEXT", "exact": "NUMERIC", "truth": "INTEGER",
    "moment": "TEXT", "short": "TEXT",
}  # fmt: skip


def _in_sqlite(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)  # which the column's affinity makes a number
    if isinstance(value, datetime):
        text = value.isoformat(" ")
        return text.rstrip("0") if "." in text else text
    return value


def _items(crm: CrmSource) -> dict[str, tuple[str, Document]]:
    with crm.read() as items:
        return {item.id: (item.digest, item.render()) for item in items}


@pytest.fixture(scope="module")
def typed(server: CrmServer) -> str:
    return server.new(*_tables(dict(server.types)))


@given(people=_people, firms=_firms)
@settings(
    max_examples=15,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
def test_the_same_rows_give_the_same_ids_digests_and_documents(
    tmp_path: Path, server: CrmServer, typed: str, people: list[Any], firms: list[Any]
) -> None:
    server.run(typed, "DELETE FROM people", "DELETE FROM firms")
    path = tmp_path / "crm.sqlite"
    path.unlink(missing_ok=True)
    make(path, ";".join(_tables(_SQLITE)))
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, found in (("people", people), ("firms", firms)):
            if found:
                server.insert(typed, table, found)
                marks = ", ".join("?" * len(found[0]))
                values = [[_in_sqlite(value) for value in row] for row in found]
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
    mapping = mapping_of(tmp_path, MAPPING)
    assert _items(CrmSource(opened(typed), mapping)) == _items(CrmSource(path, mapping))


def test_the_default_mapping_reads_the_sample(tmp_path: Path, server: CrmServer) -> None:
    path = tmp_path / "crm.sqlite"
    write_sample(path, 200, 3, overwrite=False)
    script = "\n".join(line.partition("--")[0] for line in SCHEMA.read_text("utf-8").splitlines())
    statements = [each for each in script.replace("WITHOUT ROWID", "").split(";") if "CREATE TABLE" in each]
    url = server.new(*(each.replace("REAL", server.types["real"]) for each in statements))
    with closing(sqlite3.connect(path)) as connection:
        for each in statements:
            table = each.split()[2]
            server.insert(url, table, connection.execute(f"SELECT * FROM {table}").fetchall())
    database = opened(url)
    there = documents(CrmSource(database, in_dialect(load_mapping(), database.dialect)))
    assert there == documents(CrmSource(path, load_mapping()))
    assert any(document.kind == "email" and len(document.refs) > 1 for document in there.values())
    settings = load_settings(ingest_home=str(tmp_path / "home"), crm_db_url=url)
    draft_file = tmp_path / "draft.toml"
    draft_file.write_text(written(draft(read_schema_of(settings, opened(url))), "crm"), "utf-8")
    for file in (DEFAULT_MAPPING, draft_file):
        checked = check(settings, file)
        assert checked.is_right, (checked.faults, checked.unreadable)


@pytest.mark.parametrize("origin", ["", " FROM (SELECT 1) AS one", " FROM notes"])
def test_a_query_of_the_rows_own_columns_keeps_every_row(
    tmp_path: Path, server: CrmServer, origin: str
) -> None:
    url = notes(server, 4)
    query = f"SELECT document.id{origin} WHERE document.id > 1"
    text = f'{NOTES_MAPPING}refs = [{{ to = "notes", query = "{query}" }}]\n'
    found = documents(source(url, tmp_path, text))
    assert {name for name, document in found.items() if document.refs} == {"notes/2", "notes/3"}
    assert len(found) == 4


def test_values_of_other_types_become_cells(server: CrmServer) -> None:
    types = server.types
    url = server.new(f"CREATE TABLE t (b {types['bytes']}, z {types['zoned']}, d {types['day']})")
    when = datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    zone = " +00" if server.name == "postgres" else ""
    setting = [] if zone else ["SET time_zone = '+00:00'"]
    inserted = f"INSERT INTO t VALUES ('\\\\x00ff', '{when:%Y-%m-%d %H:%M:%S.%f}{zone}', '2024-02-29')"
    server.run(url, *setting, inserted.replace("\\\\x", "\\x") if zone else inserted)
    [(raw, zoned, day)] = rows(url, "SELECT * FROM t")
    assert isinstance(raw, bytes)
    assert raw == (b"\x00\xff" if zone else b"\\x00ff")
    assert (zoned, day) == (bytearray(b"2024-05-01 10:00:00.5+00:00"), bytearray(b"2024-02-29"))


# --- Names, keys and queries --------------------------------------------------------------------------------


def test_names_are_found_as_they_are_declared_else_whatever_their_case(
    tmp_path: Path, server: CrmServer
) -> None:
    quote = '"' if server.name == "postgres" else "`"
    types = server.types
    url = server.new(
        f"CREATE TABLE {quote}Notes{quote} ({quote}ID{quote} {types['whole']} PRIMARY KEY, "
        f"{quote}Title{quote} {types['short']}, body {types['text']}, {quote}order{quote} {types['text']})"
    )
    server.insert(url, f"{quote}Notes{quote}", [(1, "a", "b", "c")])
    text = NOTES_MAPPING.replace("{body}", "{body} {order}")
    assert documents(source(url, tmp_path, text))["notes/1"].body == "b c"


@pytest.mark.services
@pytest.mark.parametrize("server", ["mariadb"], indirect=True)
def test_keys_that_a_collation_takes_for_the_same_are_two(tmp_path: Path, server: CrmServer) -> None:
    url = server.new("CREATE TABLE notes (id varchar(9), title text, body text)")
    server.insert(url, "notes", [("a", "1", "x"), ("A", "2", "x"), ("a ", "3", "x"), ("ä", "4", "x")])
    assert set(documents(source(url, tmp_path))) == {"notes/a", "notes/A", "notes/a%20", "notes/%C3%A4"}
    server.insert(url, "notes", [("A", "5", "x")])
    with pytest.raises(ConfigurationError, match=r"key \(id\) is not unique; two rows have 'notes/A'"):
        documents(source(url, tmp_path))


@pytest.mark.services
@pytest.mark.parametrize("server", ["mariadb"], indirect=True)
def test_what_only_mysql_has_becomes_cells(server: CrmServer) -> None:
    url = server.new(
        "CREATE TABLE t (n text CHARACTER SET latin1, u bigint unsigned, z datetime, k binary(2), y year, "
        "b bit(9), e enum('x', 'y'), d time, j json)"
    )
    server.run(
        url,
        "SET sql_mode = ''",
        f"INSERT INTO t VALUES ('Zoë', {2**64 - 1}, '0000-00-00', x'00ff', 2024, 256, 'y', '-26:00', '[1]')",
    )
    assert rows(url, "SELECT * FROM t") == [
        (bytearray("Zoë".encode()), 2**64 - 1, None, b"\0\xff", 2024, 256, bytearray(b"y"),
         bytearray(b"-26:00:00"), bytearray(b"[1]"))
    ]  # fmt: skip


@pytest.mark.services
@pytest.mark.parametrize("server", ["mariadb"], indirect=True)
def test_writers_of_an_engine_without_transactions_are_not_locked_out(server: CrmServer) -> None:
    url = server.new("CREATE TABLE old (id int, body longtext) ENGINE=MyISAM")
    server.insert(url, "old", [(i, "x" * 1_000_000) for i in range(20)])  # more than the socket holds
    with opened(url).snapshot() as snapshot:
        stream = snapshot.rows("SELECT id, body FROM old")
        next(stream)
        server.run(url, "SET lock_wait_timeout = 2", "INSERT INTO old VALUES (30, 'x')")
        assert len(list(stream)) == 19


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_what_only_postgres_has_becomes_cells(server: CrmServer) -> None:
    url = server.new(
        "CREATE TYPE mood AS ENUM ('calm', 'sad')",
        "CREATE TABLE t (u uuid, n numeric, f float4, j jsonb, a text[], m mood, c char(5), t timestamp, "
        "z timestamptz)",
        "INSERT INTO t VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'NaN', 0.1, '{\"a\": [1]}', "
        "'{x,\"y z\"}', 'sad', 'ab', 'infinity', '0044-03-15 12:00:00+00 BC')",
    )
    [row] = rows(url, "SELECT * FROM t")
    assert row[1:3] == (None, 0.1)
    assert [bytes(cell).decode() for cell in (row[0], *row[3:]) if isinstance(cell, bytearray)] == [
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", '{"a": [1]}', '["x","y z"]', "sad", "ab", "infinity",
        "0044-03-15 12:00:00+00 BC",
    ]  # fmt: skip


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_tables_of_other_schemas_are_named_with_them(tmp_path: Path, server: CrmServer) -> None:
    url = server.new("CREATE SCHEMA sales", "CREATE TABLE sales.notes (id int, title text, body text)")
    server.insert(url, "sales.notes", [(1, "a", "b")])
    text = NOTES_MAPPING.replace('"notes"\nkey', '"sales.notes"\nkey')
    with pytest.raises(ConfigurationError, match="permission denied for schema sales"):
        documents(source(url, tmp_path, text))
    server.run(url, "GRANT USAGE ON SCHEMA sales TO crm_reader", "GRANT SELECT ON sales.notes TO crm_reader")
    assert set(documents(source(url, tmp_path, text))) == {"notes/1"}


def test_what_is_wrong_with_a_query_is_said_in_the_servers_words(tmp_path: Path, server: CrmServer) -> None:
    url = notes(server)
    with pytest.raises(ConfigurationError, match=r"no table or view \"nots\".* There are: notes"):
        documents(source(url, tmp_path, NOTES_MAPPING.replace('"notes"\nkey', '"nots"\nkey')))
    with pytest.raises(ConfigurationError, match=r"no column \"tile\".* There are: title, "):
        documents(source(url, tmp_path, NOTES_MAPPING.replace("{title}", "{tile}")))
    wrong = NOTES_MAPPING.replace('table = "notes"', 'query = "SELECT nowhere FROM notes"')
    with pytest.raises(ConfigurationError, match=r"the query does not work in this CRM: .*nowhere"):
        documents(source(url, tmp_path, wrong))
    with opened(url).snapshot() as snapshot:
        for _ in range(2):  # and the snapshot can still be asked
            with pytest.raises(QueryError):
                snapshot.compile("SELECT nowhere FROM notes")
        assert snapshot.compile("SELECT id, title FROM notes") == ["id", "title"]
        stream = snapshot.rows("SELECT id FROM notes ORDER BY id")
        assert next(stream) == (0,)
        stream.close()
        assert list(snapshot.rows("SELECT max(id) FROM notes")) == [(2,)]
        table = snapshot.table("notes")
    assert [column.name for column in table.columns] == ["id", "title", "body"]
    assert table.primary_key == ("id",)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a) AS x; DELETE FROM notes; SELECT * FROM (SELECT 1 AS a",
        "SELECT 1 AS a) AS x; COMMIT; DROP TABLE notes; SELECT * FROM (SELECT 1 AS a",
        "WITH gone AS (DELETE FROM notes RETURNING id) SELECT id FROM gone",
    ],
)
def test_a_query_cannot_write_even_if_the_account_could(server: CrmServer, sql: str) -> None:
    url = notes(server)
    rights = (
        "ALL ON notes TO crm_reader" if server.name == "postgres" else "ALL ON *.* TO crm_reader@localhost"
    )
    server.run(url, f"GRANT {rights}")
    try:
        with opened(url).snapshot() as snapshot, pytest.raises((QueryError, SourceUnavailableError)):
            list(snapshot.rows(sql))
        assert rows(url, "SELECT count(*) FROM notes") == [(3,)]
        assert opened(url).rights().startswith("it ")
    finally:
        server.run(url, f"REVOKE {rights.replace(' TO ', ' FROM ')}")
    assert opened(url).rights() == ""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT title FROM notes AS n WHERE n.id > document.id ORDER BY n.id -- the next ones",
        "SELECT NULLIF(n.id, n.id) FROM notes AS n WHERE n.id >= document.id",
        "SELECT DISTINCT title FROM notes AS n WHERE n.id BETWEEN document.id AND document.id + 1",
        "SELECT title FROM notes AS n WHERE n.id = document.id UNION SELECT body FROM notes AS m",
    ],
)
def test_a_column_with_several_rows_is_named_with_its_document_and_its_line(
    tmp_path: Path, server: CrmServer, sql: str
) -> None:
    url = notes(server, 3)
    columns = f"""
        [documents.columns]
        one = "SELECT max(title) FROM notes AS n WHERE n.id >= document.id"
        next = "{sql}"
        [documents.header]
        One = "{{one}}"
        Next = "{{next}}"
    """
    text = NOTES_MAPPING + columns
    with pytest.raises(ConfigurationError, match=r'column "next" gives several rows for notes/\d\. Choose'):
        documents(source(url, tmp_path, text))
    settings = load_settings(ingest_home=str(tmp_path / "home"), crm_db_url=url)
    [fault] = check(settings, tmp_path / "mapping.toml").faults
    line = next(number for number, line in enumerate(text.split("\n"), 1) if "next = " in line)
    assert (fault.line, "gives several rows for notes/" in fault.message) == (line, True)


# --- What else SQL can do -----------------------------------------------------------------------------------

READS_ONLY = "a mapping only reads"
DATA_ALONE = "it must depend on the data alone"
ATTACKS = {
    "postgres": [
        ("lo_from_bytea(0, 'x')", READS_ONLY), ("lo_creat(-1)", READS_ONLY), ("lo_import('/etc/passwd')", ""),
        ("set_config('statement_timeout', '0', true)", READS_ONLY), ("pg_notify('a', 'b')", READS_ONLY),
        ("pg_advisory_lock(1)", READS_ONLY), ("pg_catalog.pg_sleep(0)", READS_ONLY),
        ('"pg_sleep"(0)', READS_ONLY), ("pg_read_file('/etc/passwd')", ""), ("pg_ls_dir('/')", ""),
        ("dblink('dbname=postgres', 'SELECT 1')", ""), ("current_user", DATA_ALONE),
        ("current_setting('TimeZone')", DATA_ALONE), ("now()", DATA_ALONE),
        ("query_to_xml('DELETE FROM notes', true, true, '')", READS_ONLY),
        ("pg_cancel_backend(1)", READS_ONLY),
    ],
    "mariadb": [
        ("LOAD_FILE('/etc/passwd')", READS_ONLY), ("SLEEP(0)", READS_ONLY), ("`sleep`(0)", READS_ONLY),
        ("GET_LOCK('x', 0)", READS_ONLY), ("RELEASE_ALL_LOCKS()", READS_ONLY),
        ("BENCHMARK(1, MD5('x'))", READS_ONLY), ("MASTER_POS_WAIT('x', 1, 1)", READS_ONLY),
        ("@a := 5", DATA_ALONE), ("@@datadir", DATA_ALONE), ("USER()", DATA_ALONE), ("RAND(1)", DATA_ALONE),
        ("sys_exec('x')", ""),
    ],
}  # fmt: skip


def test_sql_of_a_mapping_only_reads(tmp_path: Path, server: CrmServer) -> None:
    """Where the account may do it, and in a query under `columns` too."""
    url = notes(server)
    for sql, said in ATTACKS[server.name]:
        query = f'query = """SELECT 1 AS id, \'\' AS title, {sql} AS body"""'
        with pytest.raises(ConfigurationError, match=said):
            documents(source(url, tmp_path, NOTES_MAPPING.replace('table = "notes"', query)))
    allowed = next(sql for sql, said in ATTACKS[server.name] if said == READS_ONLY)
    text = NOTES_MAPPING.replace("{body}", "{odd}") + f'[documents.columns]\nodd = """SELECT {allowed}"""\n'
    with pytest.raises(ConfigurationError, match=READS_ONLY):
        documents(source(url, tmp_path, text))


@pytest.mark.parametrize("lock", ["FOR UPDATE", "FOR SHARE", "LOCK IN SHARE MODE"])
def test_no_row_is_locked(tmp_path: Path, server: CrmServer, lock: str) -> None:
    if server.name == "postgres" and lock.startswith("LOCK"):
        lock = "FOR KEY SHARE"
    url = notes(server)
    text = NOTES_MAPPING.replace('table = "notes"', f'query = "SELECT * FROM notes {lock}"')
    with pytest.raises(ConfigurationError):
        documents(source(url, tmp_path, text))
    server.run(url, "UPDATE notes SET title = 'new'")


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_a_view_that_is_not_filled_is_the_mappings_fault(tmp_path: Path, server: CrmServer) -> None:
    url = notes(server)
    server.run(url, "CREATE MATERIALIZED VIEW filled AS SELECT * FROM notes WITH NO DATA")
    text = NOTES_MAPPING.replace('table = "notes"', 'table = "filled"')
    with pytest.raises(ConfigurationError, match="has not been populated"):
        documents(source(url, tmp_path, text))
    server.run(url, "REFRESH MATERIALIZED VIEW filled")
    assert len(documents(source(url, tmp_path, text))) == 3
