"""Fields that a mapping declares: attributes of documents, filters of searches."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.fields import FilterField
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.definition import SOURCE
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.readings import of
from ingest_assets_tests.interfaces.cli.conftest import ingest_here  # noqa: F401 - a fixture
from ingest_assets_tests.sources.crm_databases import NOTES_MAPPING, digests, documents, make, mapping_of
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere, empty  # noqa: F401 - a fixture

FIELDS = """
[fields.stage]
description = "How far it is."
[fields.amount]
type = "number"
description = "What it is worth."
[fields.won]
type = "flag"
description = "Whether it was won."
[fields.closes]
type = "time"
description = "When it should close."
"""
DEALS = (
    NOTES_MAPPING.replace("notes", "deals")
    + 'attributes = { stage = "{stage}", amount = "{amount}", won = "{won}", closes = "{closes}" }\n'
    + FIELDS
)
SCRIPT = """
CREATE TABLE deals (id INTEGER PRIMARY KEY, title, body, stage, amount, won, closes);
INSERT INTO deals VALUES (1, 'Crank', 'A crank.', 'open', 1500.5, 0, '2026-03-01'),
                         (2, 'Oats', 'Oats.', 'lost', 20, 'yes', NULL),
                         (3, 'Barn', 'A barn.', NULL, NULL, NULL, NULL);
"""


def test_attributes_have_the_types_of_their_fields(tmp_path: Path) -> None:
    found = documents(CrmSource(make(tmp_path / "crm.db", SCRIPT), mapping_of(tmp_path, DEALS)))
    assert found["deals/1"].attributes == {
        "stage": "open",
        "amount": 1500.5,
        "won": False,
        "closes": "2026-03-01T00:00:00+00:00",
    }
    assert found["deals/2"].attributes == {"stage": "lost", "amount": 20.0, "won": True}
    assert found["deals/3"].attributes == {}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("closes", each) for each in ("7/12/2024", "0000-00-00", "soon")),
        *(("amount", each) for each in ("a lot", "1.500,00", "€ 20", "nan", "1e999")),
        *(("won", each) for each in ("maybe", "2")),
    ],
)
def test_a_value_that_is_not_of_its_type_is_left_out_and_counted(
    tmp_path: Path, column: str, value: str
) -> None:
    script = SCRIPT + f"UPDATE deals SET {column} = '{value}' WHERE id = 1;"
    found = documents(CrmSource(make(tmp_path / "crm.db", script), mapping_of(tmp_path, DEALS)))
    attributes = found["deals/1"].attributes
    assert attributes.keys() == {"stage", "amount", "won", "closes", "unread_attributes"} - {column}
    assert attributes["unread_attributes"] == f"{column}: {value}"
    counts = of(["deals"], found.values())["deals"]
    assert counts.unread == {"attributes": 1}
    assert counts.examples["attributes"] == [f"deals/1: {column}: {value}"]


PEOPLE = """
[[documents]]
name = "people"
table = "people"
key = "id"
kind = "person"
title = "{name}"
FORMAT
identity = { kind = "person", name = "{name}", birth_date = "{born}" }
"""


@pytest.mark.parametrize(
    ("form", "born", "read"),
    [
        ("", "1980-12-07", "1980-12-07"),
        ("", "7.12.1980", "7.12.1980"),
        ("", "19801207", "19801207"),
        ("", "7 décembre 1980", "1980-12-07"),
        ('time_format = "%m/%d/%Y"', "12/7/1980", "1980-12-07"),
        ('time_format = "%m/%d/%y"', "12/7/80", "1980-12-07"),
        ('time_format = "excel"', "29562", "1980-12-07"),
        ('time_format = "unix"', "19801207", "19801207"),
        ('time_zone = "Asia/Tokyo"', "1980-12-07T00:30", "1980-12-07T00:30"),
        *(("", each, "") for each in ("0000-00-00", "1980-00-07", "12/7/80", "1900-01-01", "?", "29562")),
    ],
)
def test_dates_of_birth_are_read_or_counted(tmp_path: Path, form: str, born: str, read: str) -> None:
    crm = make(
        tmp_path / "crm.db",
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name, born);"
        f"INSERT INTO people VALUES (1, 'Ann', '{born}'), (2, 'Bo', NULL), (3, 'Cy', ' ');",
    )
    found = documents(CrmSource(crm, mapping_of(tmp_path, PEOPLE.replace("FORMAT", form))))
    identities = [found[f"people/{key}"].identity for key in (1, 2, 3)]
    assert [each.birth_date for each in identities if each] == [read, "", ""]
    counts = of(["people"], found.values())["people"]
    assert counts.unread == ({} if read else {"birth_date": 1})
    assert counts.examples == ({} if read else {"birth_date": [f"people/1: {born}"]})


def test_a_field_of_another_type_renders_its_documents_again(tmp_path: Path) -> None:
    crm = make(tmp_path / "crm.db", SCRIPT)
    first = CrmSource(crm, mapping_of(tmp_path, DEALS))
    before, signature = digests(first), first.signature()
    other = CrmSource(crm, mapping_of(tmp_path, DEALS.replace('type = "number"', 'type = "keyword"')))
    assert all(before[key] != digest for key, digest in digests(other).items())
    assert signature != other.signature()
    without = NOTES_MAPPING.replace("notes", "deals")
    plain = digests(CrmSource(crm, mapping_of(tmp_path, without)))
    assert plain == digests(CrmSource(crm, mapping_of(tmp_path, without + FIELDS))), "no document has them"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DEALS.replace("[fields.stage]", "[fields.phase]"), "has an attribute 'stage'; .fields. has: phase"),
        (DEALS.replace("[fields.stage]", "[fields.kind]"), "the field 'kind' is one that every document has"),
        (DEALS.replace("[fields.stage]", "[fields.text]"), "the field 'text' is one that every document has"),
        (DEALS.replace("[fields.stage]", "[fields.Stage]"), "fields"),
        (DEALS.replace('type = "number"', 'type = "money"'), "type"),
        (DEALS.replace('amount = "{amount}"', 'amount = "{amount"'), "amount"),
    ],
)
def test_a_wrong_declaration_is_explained(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        mapping_of(tmp_path, text)


def test_an_unknown_column_is_explained(tmp_path: Path) -> None:
    crm = make(tmp_path / "crm.db", SCRIPT)
    mapping = mapping_of(tmp_path, DEALS.replace("{amount}", "{sum}"))
    with pytest.raises(ConfigurationError, match=r'no column "sum", which attributes\.amount uses'):
        documents(CrmSource(crm, mapping))


def test_the_fields_of_the_source_follow_the_mapping(tmp_path: Path) -> None:
    mapping_of(tmp_path, DEALS)
    settings = load_settings(_env_file=None, crm_mapping_path=tmp_path / "mapping.toml")
    own = SOURCE.all_fields(settings)
    assert [(each.name, each.type) for each in own] == [
        ("stage", "keyword"),
        ("amount", "number"),
        ("won", "flag"),
        ("closes", "time"),
    ]
    assert all(isinstance(each, FilterField) and each.description for each in own)
    assert SOURCE.payload_attributes(settings) == ("amount", "closes", "stage", "won")
    assert SOURCE.all_fields(load_settings(_env_file=None)) == ()


def test_searches_can_be_narrowed_by_them(empty: Home, ingest_here: IngestHere) -> None:  # noqa: F811
    mapping_of(empty.path, DEALS)
    empty.crm.unlink()
    make(empty.crm, SCRIPT)
    home = empty.with_settings(crm_mapping_path=str(empty.path / "mapping.toml"))
    assert ingest_here(home, "refresh").status == 0
    generation = '"generation": 1'
    for where, found in (
        ("amount=1000..", "deals/1"),
        ("won=true", "deals/2"),
        ("stage=lost", "deals/2"),
        ("closes=2026-01-01..2026-12-31", "deals/1"),
    ):
        said = ingest_here(home, "search", "crank oats barn", "--filter", where, "--json")
        assert (f'"document_id": "{found}"' in said.out, said.out.count('"document_id"')) == (True, 1), where
        assert generation in said.out
    assert ingest_here(home, "search", "oats", "--filter", "amount=lots").status == 2
    # Another field is another pipeline: a new generation is built, and nothing is embedded again.
    (empty.path / "mapping.toml").write_text(
        DEALS + '[fields.owner]\ndescription = "Whose it is."\n', encoding="utf-8"
    )
    assert ingest_here(home, "refresh").status == 0
    assert '"generation": 2' in ingest_here(home, "search", "oats", "--json").out
