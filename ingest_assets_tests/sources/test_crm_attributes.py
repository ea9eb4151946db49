"""Fields that a mapping declares: attributes of documents, filters of searches."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.fields import FilterField
from ingest_assets.model import ConfigurationError, ItemError
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


def test_a_value_of_another_type_parks_its_record_alone(tmp_path: Path) -> None:
    crm = make(tmp_path / "crm.db", SCRIPT + "UPDATE deals SET amount = 'a lot' WHERE id = 2;")
    with CrmSource(crm, mapping_of(tmp_path, DEALS)).read() as items:
        by_id = {item.id: item for item in items}
        assert by_id["deals/1"].render().attributes["amount"] == 1500.5
        with pytest.raises(ItemError, match="deals/2: the attribute amount is a number, not 'a lot'"):
            by_id["deals/2"].render()


@pytest.mark.parametrize("closes", ["7/12/2024", "0000-00-00", "soon"])
def test_a_time_that_is_not_read_is_left_out_and_counted(tmp_path: Path, closes: str) -> None:
    crm = make(tmp_path / "crm.db", SCRIPT + f"UPDATE deals SET closes = '{closes}' WHERE id = 2;")
    found = documents(CrmSource(crm, mapping_of(tmp_path, DEALS)))
    attributes = {"stage": "lost", "amount": 20.0, "won": True}
    assert found["deals/2"].attributes == attributes | {"unread_attributes": f"closes: {closes}"}
    counts = of(["deals"], found.values())["deals"]
    assert counts.unread == {"attributes": 1}
    assert counts.examples["attributes"] == [f"deals/2: closes: {closes}"]


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
