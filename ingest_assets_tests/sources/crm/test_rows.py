"""Rows to documents in CRMs as they are: keys of several types, odd names, lists, HTML, and wrong SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError, Document
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.readings import unread_of
from ingest_assets_tests.sources.crm_databases import documents, make, mapping_of

DEALS = """
[[documents]]
name = "deals"
table = "deals"
key = "id"
kind = "deal"
title = "{title}"
"""


def _read(folder: Path, script: str, mapping: str = DEALS) -> dict[str, Document]:
    return documents(CrmSource(make(folder / "crm.db", script), mapping_of(folder, mapping)))


FIRMS = """
[[documents]]
name = "firms"
table = "firms"
key = "id"
kind = "firm"
title = "{name}"

[[documents]]
name = "deals"
table = "deals"
key = "id"
kind = "deal"
title = "{title}"
refs = [
    { to = "firms", columns = "firm" },
    { to = "firms", query = "SELECT firm FROM also WHERE deal = document.id" },
]
"""


@pytest.mark.parametrize(
    ("key", "foreign", "stored", "referring", "ref"),
    [
        ("INTEGER", "REAL", "7", "7.0", "firms/7"),
        ("REAL", "INTEGER", "7.0", "7", "firms/7"),
        ("INTEGER", "TEXT", "7", "'7.0'", "firms/7"),
        ("INTEGER", "TEXT", "7", "' 007'", "firms/7"),
        ("DECIMAL(10)", "VARCHAR(10)", "7", "'7'", "firms/7"),
        ("TEXT", "INTEGER", "'7'", "7", "firms/7"),
        ("TEXT", "TEXT", "'007'", "'007'", "firms/007"),
        ("TEXT", "REAL", "'7'", "7.0", "firms/7"),
        ("REAL", "REAL", "7.5", "7.5", "firms/7.5"),
        ("TEXT", "TEXT", "'a@b.example'", "'a@b.example'", "firms/a%40b.example"),
    ],
)
def test_references_compare_as_the_database_does(
    tmp_path: Path, key: str, foreign: str, stored: str, referring: str, ref: str
) -> None:
    found = _read(
        tmp_path,
        f"CREATE TABLE firms (id {key} PRIMARY KEY, name); INSERT INTO firms VALUES ({stored}, 'x');"
        f"CREATE TABLE deals (id INTEGER PRIMARY KEY, title, firm {foreign});"
        f"INSERT INTO deals VALUES (1, 'a', {referring}), (2, 'b', NULL);"
        f"CREATE TABLE also (deal, firm {foreign}); INSERT INTO also VALUES (2, {referring});",
        FIRMS,
    )
    assert ref in found
    assert found["deals/1"].refs == (ref,)
    assert found["deals/2"].refs == (ref,)


def test_a_query_with_numbers_for_keys_is_referred_to_by_text(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        "CREATE TABLE firms (id INTEGER PRIMARY KEY, name); INSERT INTO firms VALUES (7, 'x');"
        "CREATE TABLE deals (id INTEGER PRIMARY KEY, title, firm TEXT);"
        "INSERT INTO deals VALUES (1, 'a', '7.0');"
        "CREATE TABLE also (deal, firm);",
        FIRMS.replace('table = "firms"', 'query = "SELECT id, name FROM firms"'),
    )
    assert found["deals/1"].refs == ("firms/7",)


def test_leading_zeros_tell_text_keys_apart(tmp_path: Path) -> None:
    found = _read(tmp_path, "CREATE TABLE deals (id TEXT PRIMARY KEY, title); "
                  "INSERT INTO deals VALUES ('007', 'a'), ('7', 'b'), ('7.0', 'c');")  # fmt: skip
    assert set(found) == {"deals/007", "deals/7", "deals/7.0"}


@pytest.mark.parametrize("name", ["rowid", "ROWID", "_rowid_", "oid"])
def test_the_number_of_a_row_is_a_key(tmp_path: Path, name: str) -> None:
    script = "CREATE TABLE deals (title); INSERT INTO deals VALUES ('a'), ('b');"
    found = _read(tmp_path, script, DEALS.replace('"id"', f'"{name}"'))
    assert set(found) == {"deals/1", "deals/2"}


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE deals (title PRIMARY KEY) WITHOUT ROWID;",
        "CREATE TABLE t (title); CREATE VIEW deals AS SELECT title FROM t;",
    ],
)
def test_there_is_not_always_such_a_number(tmp_path: Path, script: str) -> None:
    with pytest.raises(ConfigurationError, match='has no column "rowid", which key uses'):
        _read(tmp_path, script, DEALS.replace('"id"', '"rowid"'))


def test_names_of_columns(tmp_path: Path) -> None:
    mapping = DEALS.replace('"{title}"', '\'{ÄNDERUNG} {"Name "} {"a|b"} {"html"} { Titel }\'')
    found = _read(
        tmp_path,
        'CREATE TABLE deals (ID INTEGER PRIMARY KEY, "ÄNDERUNG", "Name ", "a|b", html, TITEL);'
        "INSERT INTO deals VALUES (1, 'x', 'y', 'z', 'h', 't');",
        mapping,
    )
    assert found["deals/1"].title == "x y z h t"


def test_messages_show_names_as_they_are_declared(tmp_path: Path) -> None:
    script = 'CREATE TABLE deals (Id INTEGER PRIMARY KEY, "ÄNDERUNG", DealTitle);'
    with pytest.raises(
        ConfigurationError, match=r'has no column "DealTitel", which title uses\. There are: DealTitle'
    ):
        _read(tmp_path, script, DEALS.replace("{title}", "{DealTitel}"))
    (tmp_path / "crm.db").unlink()
    with pytest.raises(ConfigurationError, match='has no column "äNDERUNG"'):  # another letter, for SQLite
        _read(tmp_path, script, DEALS.replace("{title}", "{äNDERUNG}"))


PEOPLE = """
[[documents]]
name = "people"
table = "people"
key = "id"
kind = "person"
title = "{name|mail}"
body = "{html_notes|html|notes}"
time = "born"
formats = { literal = "text" }
filters = ["stage", "Deal Owner"]

[documents.header]
Literal = "{literal}"
When = "{born|date}"
Loud = "{name|upper}"

[documents.identity]
kind = "person"
name = "{name}"
emails = { query = "SELECT address FROM mails WHERE person = document.id" }
phones = ["phone"]

[documents.attributes]
since = "{born}"

[fields.since]
type = "time"
description = "When."
"""
PEOPLE = PEOPLE.replace('since = "{born}"', 'known_since = "{born}"').replace(
    "[fields.since]", "[fields.known_since]"
)
PEOPLE_SQL = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY, name, mail, html_notes, notes, born, literal, phone, stage, "Deal Owner"
);
CREATE TABLE mails (person, address);
INSERT INTO people VALUES
    (1, 'Ann', 'm', '', 'plain', '2 Nov 2023', '<p>x</p>', '+49 431 123456; +49 151 9876543', 'won', 'Bo'),
    (2, '', 'ann@x.example', 'a &amp; b<br>c', 'plain', '7/12/2024', NULL, 'unknown', NULL, NULL);
INSERT INTO mails VALUES (1, 'b@x.example'), (1, 'a@x.example; c@x.example'), (1, NULL);
"""


def test_what_templates_formats_queries_and_filters_make_of_a_row(tmp_path: Path) -> None:
    mapping = PEOPLE.replace('\n[documents.attributes]\nknown_since = "{born}"\n', "")
    found = _read(tmp_path, PEOPLE_SQL, mapping)
    one, two = found["people/1"], found["people/2"]
    assert (one.title, one.body, one.time) == ("Ann", "plain", "2023-11-02")
    assert one.context == (("Literal", "<p>x</p>"), ("When", "2023-11-02"), ("Loud", "ANN"))
    assert one.identity is not None
    assert one.identity.emails == ("a@x.example", "c@x.example", "b@x.example")
    assert one.identity.phones == ("+49 431 123456", "+49 151 9876543")
    assert one.attributes == {"stage": "won", "deal_owner": "Bo"}
    assert (two.title, two.body, two.time) == ("ann@x.example", "a & b\nc", None)
    assert two.context == (("When", "7/12/2024"),)
    assert unread_of(two) == {"time": "7/12/2024", "phones": "unknown"}
    fields = {each.name: each for each in mapping_of(tmp_path, mapping).filter_fields()}
    assert set(fields) == {"known_since", "stage", "deal_owner"}
    assert (fields["stage"].type, fields["stage"].description) == (
        "keyword",
        "Only documents with this stage.",
    )


def test_times_by_the_format_and_the_zone_of_the_mapping(tmp_path: Path) -> None:
    mapping = 'time_zone = "Europe/Berlin"\n' + PEOPLE.replace(
        'time = "born"', 'time = "born"\ntime_format = ["%m/%d/%Y", "%d %b %Y"]'
    )
    found = _read(tmp_path, PEOPLE_SQL + "UPDATE people SET born = '2024-07-12 10:00' WHERE id = 1;", mapping)
    assert found["people/2"].time == "2024-07-12"
    assert found["people/2"].attributes["known_since"] == "2024-07-12T00:00:00+00:00"
    assert found["people/1"].time == "2024-07-12T10:00:00+02:00"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('time_format = "dd.mm.yyyy"', "is neither one of unix"),
        ('time_zone = "CEST+1"', "there is no time zone"),
        ('formats = { title = "rtf" }', "text"),
        ('formats = { notes = "html" }', "formats has the column 'notes', which nothing shows"),
        ('filters = ["kind"]', "the field 'kind' is one that every document has"),
        ('filters = ["Größe"]', ""),
        ('filters = ["日本"]', "filters cannot make a field of the column"),
    ],
)
def test_wrong_mappings(tmp_path: Path, broken: str, said: str) -> None:
    if not said:
        mapping_of(tmp_path, DEALS + broken)
        return
    with pytest.raises(ConfigurationError, match=said):
        mapping_of(tmp_path, DEALS + broken)


TABLES = "CREATE TABLE deals (id INTEGER PRIMARY KEY, title); INSERT INTO deals VALUES (1, 'a'), (2, 'b');"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id, random() AS title FROM deals", "uses random"),
        ("SELECT id, hex(randomblob(4)) AS title FROM deals", "uses randomblob"),
        ("SELECT id, CURRENT_TIMESTAMP AS title FROM deals", "uses CURRENT_TIMESTAMP"),
        ("SELECT id, datetime('Now') AS title FROM deals", "asks for the present time"),
        ("SELECT id, strftime('%Y') AS title FROM deals", "asks for the present time"),
        ("SELECT id, title FROM deals WHERE julianday('now') > id", "asks for the present time"),
        ("SELECT id, title FROM recent", "asks for the present time"),
    ],
)
def test_a_query_that_does_not_depend_on_the_data_alone_is_refused(
    tmp_path: Path, query: str, said: str
) -> None:
    script = f"{TABLES} CREATE VIEW recent AS SELECT id, title FROM deals WHERE date() > title;"
    mapping = DEALS.replace('table = "deals"', f'query = """{query}"""')
    with pytest.raises(ConfigurationError, match=rf'"deals": .*{said}.*; it must depend on the data alone'):
        _read(tmp_path, script, mapping)


def test_functions_of_time_that_depend_on_the_data_work(tmp_path: Path) -> None:
    mapping = DEALS.replace(
        'table = "deals"',
        """query = "SELECT id, strftime('%Y', '2023-11-02', '+1 year') AS title FROM deals" """,
    )
    assert _read(tmp_path, TABLES, mapping)["deals/1"].title == "2024"


def test_a_column_has_one_value(tmp_path: Path) -> None:
    script = f"{TABLES} CREATE TABLE tags (deal, tag); INSERT INTO tags VALUES (1, 'x'), (2, 'y'), (2, 'z');"
    mapping = (
        DEALS.replace("{title}", "{tag}")
        + '[documents.columns]\ntag = "SELECT tag FROM tags WHERE deal = document.id{}"\n'
    )
    with pytest.raises(ConfigurationError, match='the column "tag" gives several rows for deals/2'):
        _read(tmp_path, script, mapping.replace("{}", ""))
    (tmp_path / "crm.db").unlink()
    found = _read(tmp_path, script, mapping.replace("{}", " ORDER BY tag DESC LIMIT 1"))
    assert [found[f"deals/{i}"].title for i in (1, 2)] == ["x", "z"]


def test_the_default_mapping_has_not_become_another_one() -> None:
    assert [each.name for each in load_mapping().documents] == [
        "people", "organisations", "interactions", "opportunities"]  # fmt: skip
