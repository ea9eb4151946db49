"""The mapping file: templates, and errors that say what is wrong and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.crm.mapping import MAPPINGS, load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.template import Template
from ingest_assets_tests.sources.crm_databases import (
    NOTES_MAPPING,
    digests,
    documents,
    make,
    make_notes,
    mapping_of,
)


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{a}", {"a": " x "}, "x"),
        ("{a}", {"a": ""}, ""),
        ("{A} and {b}", {"a": "x", "b": "y"}, "x and y"),
        ("{a}[ ({b})]", {"a": "x", "b": ""}, "x"),
        ("{a}[ ({b})]", {"a": "x", "b": "y"}, "x (y)"),
        ("[{a}, ]{b}", {"a": "", "b": "y"}, "y"),
        ("[draft] {a}", {"a": "x"}, "[draft] x"),
        ("[[{a}]] {{{b}}}", {"a": "x", "b": "y"}, "[x] {y}"),
        ("Stage: {a}\nClose: {b}", {"a": "", "b": "May"}, "Close: May"),
        ("{a}\n\n{b}\n\nEnd", {"a": "x", "b": ""}, "x\n\nEnd"),
        ("{a}", {"a": "two\n\n\nlines"}, "two\n\n\nlines"),
        ("{Order Date}", {"order date": "x"}, "x"),
        ("no placeholder", {}, "no placeholder"),
    ],
)
def test_a_template_is_filled(template: str, values: dict[str, str], expected: str) -> None:
    assert Template.parse(template).fill(values) == expected


@given(st.text())
def test_a_value_is_never_taken_for_a_template(value: str) -> None:
    assert Template.parse("<{a}>").fill({"a": value}) == (f"<{value}>" if value.strip() else "")


@pytest.mark.parametrize("template", ["{a", "a}", "{}", "[{a}", "[[{a}] [x [y]]"])
def test_a_broken_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"unmatched|closed|inside"):
        Template.parse(template)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[[documents]]", "[[documents"), "not valid TOML"),
        (("[[documents]]", f"deep = {'[' * 5_000}{']' * 5_000}\n[[documents]]"), "not valid TOML"),
        (('key = "id"', ""), '"notes", key key: Field required'),
        (('table = "notes"', ""), '"notes": needs either table or query'),
        (('title = "{title}"', 'title = "{title"'), '"notes", key title: an unmatched brace'),
        (('title = "{title}"', 'titel = "{title}"'), '"notes", key titel: there is no such key'),
        (('table = "notes"', 'query = "DELETE FROM notes"'), "key query: must be one SELECT"),
        (('name = "notes"', 'name = "no/tes"'), "key name"),
        (('kind = "note"', 'kind = ""'), "key kind"),
        (('kind = "note"', 'kind = "n"\nrefs = [{ to = "people", columns = "id" }]'), "none of: notes"),
        (('kind = "note"', 'kind = "n"\nrefs = [{ to = "notes" }]'), "needs either columns or query"),
        (('kind = "note"', 'kind = "n"\nrefs = [{ to = "notes", columns = ["id", "x"] }]'), "name 2 columns"),
        (('kind = "note"', 'kind = "n"\nidentity = { kind = "dog", name = "x" }'), "identity.kind"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        mapping_of(tmp_path, NOTES_MAPPING.replace(*change))
    assert str(tmp_path / "mapping.toml") in str(caught.value)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")


def test_two_kinds_with_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"two .* are named 'notes'"):
        mapping_of(tmp_path, NOTES_MAPPING * 2)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('table = "notes"', 'table = "note"'), 'no table or view "note". There are: notes'),
        (
            ('"{body}"', '"{text}"'),
            '"notes" has no column "text", which body uses. There are: id, title, body',
        ),
        (('"id"', '"ident"'), 'no column "ident", which key uses'),
        (('kind = "note"', 'kind = "note"\ntime = "at"'), 'no column "at", which time uses'),
        (
            ('kind = "note"', 'kind = "n"\ncolumns = { who = "SELECT name FROM people" }'),
            'column "who" does not work in this CRM: no such table: people',
        ),
        (
            ('kind = "note"', 'kind = "n"\ncolumns = { who = "SELECT 1, 2" }'),
            'column "who" does not work in this CRM: sub-select returns 2 columns',
        ),
        (('kind = "note"', 'kind = "n"\ncolumns = { body = "SELECT 1" }'), 'has a column "body" already'),
        (
            ('kind = "note"', 'kind = "n"\nrefs = [{ to = "notes", query = "SELECT 1, 2" }]'),
            'query of refs to "notes" does not work',
        ),
        (('table = "notes"', 'query = "SELECT id FROM nowhere"'), "no such table: nowhere"),
        (('table = "notes"', 'query = "SELECT id, title, body FROM notes WHERE id = ?"'), "does not work"),
    ],
)
def test_a_mapping_that_does_not_fit_the_crm_is_explained(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    source = CrmSource(make_notes(tmp_path / "crm.db"), mapping_of(tmp_path, NOTES_MAPPING.replace(*change)))
    with pytest.raises(ConfigurationError) as caught, source.read():
        pass
    assert expected in str(caught.value)
    assert "mapping.toml" in str(caught.value)
    assert '"notes"' in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "key", "unique"),
    [
        ("(1, 'x'), (2, 'x')", '"id"', True),
        ("(1, 'x'), (1, 'y')", '"id"', False),
        ("(1, 'x'), (1, 'y')", '["id", "title"]', True),
        ("(1, 'x'), ('1', 'y')", '"id"', False),  # the same id as text
        ("(1, 'x'), (x'31', 'y')", '"id"', True),
        ("(1, 'x'), (1.0, 'y')", '"id"', False),  # one number for SQLite
        ("('a', 'x'), ('A', 'y')", '"id"', True),
    ],
)
def test_a_key_that_is_not_unique_is_refused(tmp_path: Path, rows: str, key: str, unique: bool) -> None:
    script = f"CREATE TABLE notes (id, title, body); INSERT INTO notes (id, title) VALUES {rows}"
    crm = make(tmp_path / "crm.db", script)
    source = CrmSource(crm, mapping_of(tmp_path, NOTES_MAPPING.replace('"id"', key)))
    if unique:
        assert len(digests(source)) == 2
    else:
        with pytest.raises(ConfigurationError, match="is not unique; two rows have 'notes/1'"), source.read():
            pass


def test_a_join_that_duplicates_rows_is_refused(tmp_path: Path) -> None:
    crm = make(
        tmp_path / "crm.db",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body); CREATE TABLE tags (note, tag);"
        "INSERT INTO notes VALUES (1, 'a', 'b'); INSERT INTO tags VALUES (1, 'x'), (1, 'y');",
    )
    joined = "query = 'SELECT n.*, tag FROM notes n LEFT JOIN tags ON note = n.id'"
    source = CrmSource(crm, mapping_of(tmp_path, NOTES_MAPPING.replace('table = "notes"', joined)))
    with pytest.raises(ConfigurationError, match="not unique"), source.read():
        pass


def test_a_null_key_is_an_error_not_a_lost_row(tmp_path: Path) -> None:
    script = "CREATE TABLE notes (id TEXT PRIMARY KEY, title, body); INSERT INTO notes (title) VALUES ('x')"
    crm = make(tmp_path / "crm.db", script)
    source = CrmSource(crm, mapping_of(tmp_path))
    with pytest.raises(ConfigurationError, match='key column "id" is NULL'):
        digests(source)


def test_a_table_that_became_a_view_reads_the_same(tmp_path: Path) -> None:
    before = documents(CrmSource(make_notes(tmp_path / "a.db"), mapping_of(tmp_path)))
    view = make(
        tmp_path / "b.db",
        "CREATE TABLE data (id INTEGER PRIMARY KEY, title, body, owner); "
        "CREATE VIEW Notes AS SELECT * FROM data;"
        "INSERT INTO data VALUES (1, 'a', 'b', 'c');",
    )
    assert documents(CrmSource(view, mapping_of(tmp_path))) == before


def test_a_table_with_awkward_names(tmp_path: Path) -> None:
    crm = make(
        tmp_path / "crm.db",
        'CREATE TABLE "my ""notes" ("the id" INTEGER PRIMARY KEY, "x y" TEXT);'
        """INSERT INTO "my ""notes" VALUES (1, 'hello')""",
    )
    text = NOTES_MAPPING.replace('table = "notes"', "table = 'my \"notes'").replace('"id"', '"The ID"')
    text = text.replace("{title}", "{x y}").replace("{body}", "")
    assert documents(CrmSource(crm, mapping_of(tmp_path, text)))["notes/1"].title == "hello"


def test_the_mapping_is_part_of_digests_and_signature(tmp_path: Path) -> None:
    crm = make_notes(tmp_path / "crm.db")
    first = CrmSource(crm, mapping_of(tmp_path))
    other = CrmSource(crm, mapping_of(tmp_path, NOTES_MAPPING.replace('"{title}"', '"Note {title}"')))
    header = '\n[documents.header]\nA = "{title}"\nB = "{body}"\n'
    swapped = '\n[documents.header]\nB = "{body}"\nA = "{title}"\n'
    third = CrmSource(crm, mapping_of(tmp_path, NOTES_MAPPING + header))
    fourth = CrmSource(crm, mapping_of(tmp_path, NOTES_MAPPING + swapped))
    sources = (first, other, third, fourth)
    assert len({digests(source)["notes/1"] for source in sources}) == 4
    assert len({source.signature() for source in sources}) == 4


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_mappings_are_valid(path: Path) -> None:
    assert load_mapping(path).documents
