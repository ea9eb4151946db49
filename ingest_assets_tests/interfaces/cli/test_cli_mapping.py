"""From a database to the first search, by the commands of docs/own-crm.md."""

from __future__ import annotations

import json
from pathlib import Path

from ingest_assets_tests.sources.crm_databases import make
from ingest_assets_tests.support.built_index import Home, new_home
from ingest_assets_tests.support.fixtures import IngestHere

SCRIPT = """
CREATE TABLE clients (id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT);
CREATE TABLE visits (id INTEGER PRIMARY KEY, subject TEXT, notes TEXT, visited_on TEXT, client_id INTEGER);
INSERT INTO clients VALUES (1, 'Ada', 'Mair', 'ada@x.example');
INSERT INTO visits VALUES (1, 'Roof', 'The roof of the barn leaks when it rains.', '2024-05-31', 1);
"""


def test_from_a_database_to_the_first_search(tmp_path: Path, ingest_here: IngestHere) -> None:
    new_home(tmp_path / "home", 20)
    database = make(tmp_path / "own.sqlite", SCRIPT)
    file = tmp_path / "home" / "mapping.toml"
    home: Home = Home(tmp_path / "home").with_settings(crm_db_path=str(database))
    assert ingest_here(home, "mapping", "init", str(database), "--output", str(file)).status == 0
    configured = ingest_here(home, "mapping", "init")  # the CRM that the settings name
    entries = configured.out.partition("[[documents]]")[2]
    assert entries.strip() == file.read_text("utf-8").partition("[[documents]]")[2].strip()
    refused = ingest_here(home, "mapping", "init", str(database), "--output", str(file))
    assert refused.status == 2
    assert "--overwrite" in refused.err
    home = home.with_settings(crm_mapping_path=str(file))
    right = ingest_here(home, "mapping", "check", "--json")
    assert right.status == 0
    assert json.loads(right.out)["faults"] == []
    shown = ingest_here(home, "mapping", "preview")
    assert shown.status == 0
    assert "refers to: clients/1" in shown.out
    assert not (home.path / "ingest" / "ledger.sqlite").exists()
    built = ingest_here(home, "build")
    assert built.status == 0, built.everything
    found = json.loads(ingest_here(home, "search", "water comes through the roof", "--json").out)
    assert found["hits"][0]["document_id"] == "visits/1"

    file.write_text(file.read_text("utf-8").replace("{subject}", "{subjekt}"), "utf-8")
    wrong = ingest_here(home, "mapping", "check")
    assert wrong.status == 1
    assert 'has no column "subjekt"' in wrong.out
    assert f"{file}:" in wrong.out
