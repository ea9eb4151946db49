"""`ingest mapping check` and `preview`: every fault with its line, in the words of a refresh."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.mapping import DEFAULT_MAPPING, MAPPINGS, load_mapping
from ingest_assets.sources.crm.mapping_tools.check import Checked, check
from ingest_assets.sources.crm.mapping_tools.confined import previews_of
from ingest_assets.sources.crm.mapping_tools.positions import Positions
from ingest_assets.sources.crm.mapping_tools.written import _key, _text
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets_tests.sources.crm_databases import make

TABLES = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, placed TEXT, buyer INTEGER);
CREATE TABLE buyers (id INTEGER PRIMARY KEY, name TEXT, mail TEXT);
CREATE TABLE loose (id TEXT, name TEXT);
INSERT INTO buyers VALUES (1, 'Ann', 'ann@x.example'), (2, '', 'no address');
INSERT INTO orders VALUES (1, 'One', '2024-05-31', 1), (2, NULL, '7/12/2024', 9), (3, 'Three', NULL, NULL);
INSERT INTO loose VALUES ('a', 'x'), ('a', 'y');
"""
FAULTY = """\
[[documents]]
name = "orders"
table = "orders"
key = "id"
kind = "order"
title = "{nam}"
time = "plcaed"
refs = [{ to = "buyers", columns = "buyer" }, { to = "byers", columns = "buyer" }]
[documents.columns]
mail = "SELECT mial FROM buyers"
[documents.header]
"Bought by" = "{mail"

[[documents]]
name = "buyers"
table = "buyer"
key = "id"
kind = "buyer"
titel = "{name}"

[[documents]]
name = "loose"
table = "loose"
key = "id"
kind = "loose"
title = "{name}"
attributes = { size = "{name}" }
"""
MAPPING = """\
[[documents]]
name = "orders"
table = "orders"
key = "id"
kind = "order"
title = "{name}"
time = "placed"
refs = [{ to = "buyers", columns = "buyer" }]

[[documents]]
name = "buyers"
table = "buyers"
key = "id"
kind = "person"
title = "{name}"
identity = { kind = "person", name = "{name}", emails = "mail" }
"""


def checked(folder: Path, text: str, *, compared: bool = True) -> Checked:
    file = folder / "mapping.toml"
    file.write_text(text, "utf-8")
    database = make(folder / "crm.db", TABLES) if compared else None
    settings = load_settings(ingest_home=str(folder / "home"), crm_db_path=database and str(database))
    return check(settings, file)


def test_every_fault_is_told_with_its_line(tmp_path: Path) -> None:
    found = checked(tmp_path, FAULTY)
    expected = [
        (6, 'table "orders" has no column "nam"'),
        (7, 'table "orders" has no column "plcaed"'),
        (8, "refs of 'orders' point to 'byers'"),
        (10, "does not work in this CRM: no such column: mial"),
        (12, "an unmatched brace"),
        (14, "Field required"),
        (16, 'there is no table or view "buyer"'),
        (19, "there is no such key"),
        (24, "the key (id) is not unique; two rows have 'loose/a'"),
        (27, "'loose' has an attribute 'size'; [fields] has: none"),
    ]
    assert [fault.line for fault in found.faults] == [line for line, _ in expected]
    for fault, (_, message) in zip(found.faults, expected, strict=True):
        assert message in fault.message


def test_a_refresh_says_the_same(tmp_path: Path) -> None:
    text = MAPPING.replace('"{name}"', '"{nmae}"', 1)
    (fault,) = checked(tmp_path, text).faults
    source = CrmSource(tmp_path / "crm.db", load_mapping(tmp_path / "mapping.toml"))
    with pytest.raises(ConfigurationError) as caught, source.read():
        pass
    assert fault.message in str(caught.value)


@pytest.mark.parametrize("text", [FAULTY, MAPPING])
def test_without_a_database_the_form_is_checked_and_it_says_so(tmp_path: Path, text: str) -> None:
    found = checked(tmp_path, text, compared=False)
    assert bool(found.faults) == (text == FAULTY)
    assert "were not looked at" in found.not_compared


def test_a_file_that_is_not_toml_has_a_line(tmp_path: Path) -> None:
    (fault,) = checked(tmp_path, MAPPING.replace('key = "id"', "key = id")).faults
    assert fault.line == 4
    assert "not valid TOML" in fault.message


@pytest.mark.parametrize("file", [DEFAULT_MAPPING, *MAPPINGS.glob("*.toml")])
def test_our_own_mappings_have_no_faults(tmp_path: Path, file: Path) -> None:
    assert checked(tmp_path, file.read_text("utf-8"), compared=False).faults == []


def test_documents_and_what_becomes_of_values(tmp_path: Path) -> None:
    assert checked(tmp_path, MAPPING).is_right
    settings = load_settings(ingest_home=str(tmp_path / "home"))
    source = CrmSource(tmp_path / "crm.db", load_mapping(tmp_path / "mapping.toml"))
    orders, buyers = previews_of(settings, source, ("orders", "buyers"), None, 5)
    assert [document.id for document in orders.documents] == ["orders/1", "orders/2", "orders/3"]
    one = orders.readings
    assert (one.rows, one.empty_titles, one.times, one.times_unread, one.references, one.nowhere) == (
        3,
        1,
        1,
        1,
        2,
        1,
    )
    assert one.examples["references"] == ["orders/2 -> buyers/9"]
    assert buyers.readings.unread["emails"] == 1
    (first,) = previews_of(settings, source, ("orders",), 1, 5)
    assert (first.readings.rows, first.complete, first.readings.nowhere) == (1, False, 0)


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(
    st.lists(
        st.dictionaries(KEYS, st.dictionaries(KEYS, st.text(max_size=5), max_size=3), max_size=3), max_size=3
    )
)
def test_every_key_is_found_where_it_is_written(entries: list[dict[str, dict[str, str]]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    for number, entry in enumerate(entries):
        lines.append("[[documents]]")
        expected["documents", number] = len(lines)
        for name, values in entry.items():
            lines.append(f"[documents.{_key(name)}]")
            expected["documents", number, name] = len(lines)
            for key, value in values.items():
                lines.append(f"{_key(key)} = {_text(value)}")
                expected["documents", number, name, key] = len(lines)
    text = "\n".join(lines)
    tomllib.loads(text)
    positions = Positions(text)
    assert {where: positions.of(where).line for where in expected} == expected
