"""Rows to documents: ids, digests, text of any kind, and what happens to a record that cannot be read."""

from __future__ import annotations

import itertools
import sqlite3
import tracemalloc
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import Document, Identity, ItemError
from ingest_assets.sources.crm.extract import frame
from ingest_assets.sources.crm.mapping import MAPPINGS, load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets_tests.sources.crm_databases import (
    NOTES_MAPPING,
    digests,
    documents,
    make,
    make_default,
    make_notes,
    mapping_of,
)
from ingest_assets_tests.support.data_sets import DataSet

PEOPLE = """
INSERT INTO organisations (id, name, domain, city, industry) VALUES
    (1, 'Nordwind GmbH', 'nordwind.example', 'Kiel', '');
INSERT INTO people (id, name, email, phone, organisation_id) VALUES
    (1, 'Ada Berg', 'ada@nordwind.example', '+49 1', 1), (2, 'Bo Lund', NULL, NULL, NULL);
INSERT INTO interactions VALUES (7, 'meeting', 'Renewal', 'We met.', '2024-05-01T10:00:00Z', 1);
INSERT INTO interaction_participants VALUES (7, 2), (7, 1);
INSERT INTO opportunities (id, name, stage, amount, currency, organisation_id, contact_id)
    VALUES (3, 'Pumps', 'won', 1200, 'EUR', 1, 2);
"""


def test_the_default_schema(tmp_path: Path) -> None:
    found = documents(CrmSource(make_default(tmp_path / "crm.db", PEOPLE), load_mapping()))
    assert set(found) == {"organisations/1", "people/1", "people/2", "interactions/7", "opportunities/3"}
    assert found["interactions/7"] == Document(
        id="interactions/7",
        kind="meeting",
        title="Renewal",
        uri="crm://interactions/7",
        time="2024-05-01T10:00:00+00:00",
        context=(
            ("Organisation", "Nordwind GmbH"),
            ("Participants", "Ada Berg, Bo Lund"),
            ("Date", "2024-05-01T10:00:00Z"),
        ),
        body="We met.",
        refs=("organisations/1", "people/1", "people/2"),
    )
    assert found["people/1"].identity == Identity(
        "person",
        "Ada Berg",
        emails=("ada@nordwind.example",),
        phones=("+49 1",),
        organisation="Nordwind GmbH",
    )
    assert found["people/2"].context == ()
    assert found["people/2"].refs == ()
    assert found["organisations/1"].context == (("Place", "Kiel"), ("Web", "nordwind.example"))
    assert ("Amount", "1200 EUR") in found["opportunities/3"].context
    assert found["opportunities/3"].refs == ("organisations/1", "people/2")


@dataclass(frozen=True)
class Expected:
    """What Northwind's mapping makes of a database: how many of a kind, and one order."""

    kinds: dict[str, int]
    title: str
    first_lines: str
    refs: tuple[str, ...]
    products: set[str]


NORTHWIND = Expected(
    {"customers": 93, "employees": 9, "suppliers": 29, "shippers": 3, "products": 77, "orders": 830},
    title="Order 10248, Vins et alcools Chevalier",
    first_lines="12 x Queso Cabrales at 14\n10 x ",
    refs=("customers/VINET", "employees/5", "shippers/3"),
    products={"products/11", "products/42", "products/72"},
)
# The substitute's.
SOUTHWIND = Expected(
    {"customers": 2, "employees": 2, "suppliers": 1, "shippers": 2, "products": 3, "orders": 2},
    title="Order 500, Kante & Söhne",
    first_lines="3 x Claw hammer at 18.5\n12 x Wood screws at 4\nShip to: Kante & Söhne, Hof 1, ",
    refs=("customers/KANTE", "employees/2", "shippers/1"),
    products={"products/1", "products/2"},
)


def test_northwind(northwind: DataSet) -> None:
    expected = NORTHWIND if northwind.is_real else SOUTHWIND
    found = documents(CrmSource(northwind.path, load_mapping(MAPPINGS / "northwind.toml")))
    kinds = expected.kinds
    assert {kind: sum(i.startswith(f"{kind}/") for i in found) for kind in kinds} == kinds
    order = next(document for document in found.values() if document.title == expected.title)
    assert order.body.startswith(expected.first_lines)
    assert order.refs[:3] == expected.refs
    assert set(order.refs[3:]) == expected.products
    assert all(ref in found for document in found.values() for ref in document.refs if "VALUE" not in ref)
    assert all(document.title and document.uri for document in found.values())


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b c", "notes/a%2Fb%20c"),
        ('it\'s "x"', "notes/it%27s%20%22x%22"),
        ("50%", "notes/50%25"),
        ("Ünï", "notes/%C3%9Cn%C3%AF"),
        ("", "notes/"),
        (-7, "notes/-7"),
        (1.5, "notes/1.5"),
        (b"\x0a\x1b", "notes/x'0a1b'"),
    ],
)
def test_keys_of_any_kind_make_unambiguous_ids(tmp_path: Path, key: object, expected: str) -> None:
    crm = make(tmp_path / "crm.db", "CREATE TABLE notes (id UNIQUE, title, body)")
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute("INSERT INTO notes VALUES (?, 'x', 'y')", (key,))
    found = documents(CrmSource(crm, mapping_of(tmp_path)))
    assert list(found) == [expected]
    assert found[expected].uri == f"crm:{expected}"


COMPOSITE = """
[[documents]]
name = "lines"
table = "lines"
key = ["a", "b"]
kind = "line"
title = "{a}"

[[documents]]
name = "pages"
table = "pages"
key = "id"
kind = "page"
title = "{id}"
refs = [
    { to = "lines", columns = ["a", "b"] },
    { to = "lines", query = "SELECT a, b FROM links WHERE page = document.id" },
]
"""


def test_composite_keys_and_refs_to_them(tmp_path: Path) -> None:
    crm = make(
        tmp_path / "crm.db",
        """CREATE TABLE lines (a, b, PRIMARY KEY (a, b)); CREATE TABLE links (page, a, b);
        CREATE TABLE pages (id INTEGER PRIMARY KEY, a, b);
        INSERT INTO lines VALUES ('x/y', 1), ('x', 'y,/1'), ('it''s', x'0a');
        INSERT INTO pages VALUES (1, 'x/y', 1), (2, 'x', NULL);
        INSERT INTO links VALUES (1, 'it''s', x'0a'), (1, 'x', 'y,/1'), (1, 'x', NULL), (1, 'x', 'y,/1');""",
    )
    found = documents(CrmSource(crm, mapping_of(tmp_path, COMPOSITE)))
    assert {"lines/x%2Fy/1", "lines/x/y%2C%2F1", "lines/it%27s/x'0a'"} < set(found)
    assert set(found["pages/1"].refs) == {"lines/x%2Fy/1", "lines/x/y%2C%2F1", "lines/it%27s/x'0a'"}
    assert len(found["pages/1"].refs) == 3
    assert found["pages/2"].refs == ()


@pytest.mark.parametrize(
    ("body", "expected", "repaired"),
    [
        ("NULL", "", False),
        ("''", "", False),
        ("'  '", "", False),
        ("CAST(x'636166e9206f6b' AS TEXT)", "caf\ufffd ok", True),
        ("CAST(x'61eda08062' AS TEXT)", "a\ufffd\ufffd\ufffdb", True),  # a lone surrogate
        ("'a' || char(0) || 'b' || char(7) || 'c'", "abc", True),
        ("'a' || char(11) || 'b' || char(12) || 'c' || char(133) || 'd'", "a\nb\nc\nd", False),
        ("'a' || char(28) || 'b' || char(31) || 'c'", "a b c", False),
        ("'a' || char(13, 10) || 'b' || char(13) || 'c' || char(9) || 'd'", "a\nb\nc\td", False),
        ("'שלום ' || char(0x202e) || 'عالم'", "שלום \u202eعالم", False),  # noqa: RUF001 - such text is under test
        ("'👩\u200d🚀 é'", "👩\u200d🚀 é", False),
        ("42", "42", False),
        ("1200.0", "1200", False),
        ("x'c3a9'", "é", False),
    ],
)
def test_text_of_any_kind(tmp_path: Path, body: str, expected: str, repaired: bool) -> None:
    crm = make_notes(tmp_path / "crm.db")
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute(f"UPDATE notes SET body = {body}")
    source = CrmSource(crm, mapping_of(tmp_path))
    document = documents(source)["notes/1"]
    assert document.body == expected
    assert source.repaired == repaired
    document.body.encode("utf-8")


def test_binary_data_is_an_item_error(tmp_path: Path) -> None:
    crm = make_notes(tmp_path / "crm.db")
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute("UPDATE notes SET body = x'ffd8ff00'")
    with CrmSource(crm, mapping_of(tmp_path)).read() as items:
        item = next(items)
        with pytest.raises(ItemError, match='notes/1: the column "body" holds 4 bytes'):
            item.render()


def test_a_huge_note_is_refused_and_does_not_block_the_rest(tmp_path: Path) -> None:
    crm = make_notes(tmp_path / "crm.db")
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute("INSERT INTO notes VALUES (2, 'huge', ?)", ("x" * 50_000_000,))
        connection.execute("INSERT INTO notes VALUES (3, 'small', 'y')")
    source = CrmSource(crm, mapping_of(tmp_path))
    with source.read() as items:
        held = {item.id: item for item in items}
    with pytest.raises(
        ItemError, match=r"50,000,\d+ characters, and CRM_MAX_DOCUMENT_CHARS allows 5,000,000"
    ):
        held["notes/2"].render()
    assert held["notes/3"].render().body == "y"
    raised = CrmSource(crm, mapping_of(tmp_path), max_document_chars=100_000_000)
    again = digests(raised)
    assert again["notes/2"] != held["notes/2"].digest  # so it is tried again
    assert again["notes/3"] == held["notes/3"].digest
    assert len(documents(raised)["notes/2"].body) == 50_000_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01 10:00:00", "2024-05-01T10:00:00"),
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00+02:00"),
        (1714557600, "2024-05-01T10:00:00+00:00"),
        (1714557600000, "2024-05-01T10:00:00+00:00"),
        ("yesterday", None),
        (1e300, None),
        (None, None),
        (b"\xff", None),
    ],
)
def test_times(tmp_path: Path, value: object, expected: str | None) -> None:
    crm = make(tmp_path / "crm.db", "CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body, at)")
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute("INSERT INTO notes VALUES (1, 'x', 'y', ?)", (value,))
    mapping = mapping_of(tmp_path, NOTES_MAPPING + 'time = "at"\n')
    assert documents(CrmSource(crm, mapping))["notes/1"].time == expected


def test_an_address_is_encoded_unless_it_is_a_single_placeholder(tmp_path: Path) -> None:
    crm = make(
        tmp_path / "crm.db",
        "CREATE TABLE notes (id, title, body); "
        "INSERT INTO notes VALUES ('a b/c', 'https://x.example/1?y=z', '')",
    )
    built = mapping_of(tmp_path, NOTES_MAPPING + 'uri = "https://crm.example/{id}"\n')
    assert documents(CrmSource(crm, built))["notes/a%20b%2Fc"].uri == "https://crm.example/a%20b%2Fc"
    stored = mapping_of(tmp_path, NOTES_MAPPING + 'uri = "{title}"\n')
    assert documents(CrmSource(crm, stored))["notes/a%20b%2Fc"].uri == "https://x.example/1?y=z"


CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.binary(max_size=8),
)


@settings(deadline=None, max_examples=150)
@given(before=st.tuples(CELLS, CELLS, CELLS), after=st.tuples(CELLS, CELLS, CELLS))
def test_a_digest_changes_if_and_only_if_a_used_cell_does(
    tmp_path_factory: pytest.TempPathFactory, before: tuple[object, ...], after: tuple[object, ...]
) -> None:
    folder = tmp_path_factory.mktemp("crm")
    crm = make(folder / "crm.db", "CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body, seen_at)")
    source = CrmSource(crm, mapping_of(folder))
    found = []
    with closing(sqlite3.connect(crm, isolation_level=None)) as connection:
        for row in (before, after):
            connection.execute("INSERT OR REPLACE INTO notes VALUES (1, ?, ?, ?)", row)
            found.append(digests(source)["notes/1"])
        stored = [[(type(cell), cell) for cell in row[:2]] for row in (before, after)]
    assert (found[0] == found[1]) == (stored[0] == stored[1])


@given(st.lists(st.lists(CELLS, max_size=4), min_size=2, max_size=2))
def test_framing_is_unambiguous(rows: list[list[object]]) -> None:
    cells = [[bytearray(c.encode()) if isinstance(c, str) else c for c in row] for row in rows]
    typed = [[(type(c), repr(c)) for c in row] for row in cells]
    assert (frame(b"", cells[0]) == frame(b"", cells[1])) == (typed[0] == typed[1])  # type: ignore[arg-type]


def test_a_joined_row_changes_the_documents_that_show_it_and_no_others(tmp_path: Path) -> None:
    crm = make_default(tmp_path / "crm.db", PEOPLE)
    source = CrmSource(crm, load_mapping())
    seen = digests(source)

    def changed_by(sql: str) -> set[str]:
        nonlocal seen
        with closing(sqlite3.connect(crm)) as connection, connection:
            connection.execute(sql)
        before, seen = seen, digests(source)
        return {i for i in before | seen if before.get(i) != seen.get(i)}

    assert changed_by("UPDATE people SET name = 'Bo Lundin' WHERE id = 2") == {
        "people/2",
        "interactions/7",
        "opportunities/3",
    }
    assert changed_by("UPDATE people SET title = 'CEO' WHERE id = 2") == {"people/2"}
    assert changed_by("DELETE FROM interaction_participants WHERE person_id = 1") == {"interactions/7"}
    assert changed_by("UPDATE organisations SET name = 'Nordwind AG'") == {
        "organisations/1",
        "people/1",
        "interactions/7",
        "opportunities/3",
    }
    assert changed_by("UPDATE people SET title = NULL WHERE id = 1") == set()
    assert changed_by("UPDATE people SET title = '' WHERE id = 1") == {"people/1"}
    assert changed_by("ALTER TABLE people ADD COLUMN last_seen TEXT DEFAULT 'now'") == set()


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    crm = make(
        tmp_path / "crm.db",
        """CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
        INSERT INTO notes SELECT i, 'title ' || i, hex(zeroblob(100)) FROM n;""",
    )
    with CrmSource(crm, mapping_of(tmp_path)).read() as items:
        tracemalloc.start()
        assert sum(1 for _ in itertools.islice(items, 1_000)) == 1_000
        _, early = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        count = sum(1 for _ in items)
        _, late = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 49_000
    assert late < early + 100_000  # two bytes a row
