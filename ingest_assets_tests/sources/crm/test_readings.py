"""What became of a CRM's values: the same counts from documents and from the ledger, after any refresh."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.reconcile import Run, reconcile
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets.sources.crm.mapping import CrmMapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.readings import NOWHERE, Readings, of
from ingest_assets.sources.crm.recorded import kept_readings, recorded_readings
from ingest_assets.stages.records import Records
from ingest_assets_tests.sources.crm_databases import documents, make, mapping_of


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with closing(Sandbox(tmp_path / "tmp")) as box:
        yield box


both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)

MAPPING = """
[[documents]]
name = "people"
table = "people"
key = "id"
kind = "person"
title = "{name}"
time = "met"
body = "{notes}"
refs = [{ to = "people", columns = "boss" }]
identity = { kind = "person", name = "{name}", emails = "mail", phones = "phone", birth_date = "{born}" }

[[documents]]
name = "empty"
table = "empty"
key = "id"
kind = "nothing"
title = "{id}"
"""
SCRIPT = """
CREATE TABLE empty (id INTEGER PRIMARY KEY);
CREATE TABLE people (id INTEGER PRIMARY KEY, name, met, notes, boss, mail, phone, born);
INSERT INTO people VALUES
    (1, 'Ann', '2023-11-02', 'x', NULL, 'a@x.example; b@x.example', '+49 431 123456', NULL),
    (2, '', '7/12/2024', '', 1, 'none', NULL, '0000-00-00'),
    (3, 'Cy', '0000-00-00', 'x', 9, NULL, 'unknown', '1980-02-01'),
    (4, 'Di', NULL, ' ', 3, '', '112', 'long ago'),
    (5, 'say "unread_time": ', '2 Nov 2023', 'x', 8, NULL, NULL, '3 May 1980');
"""


def _mapping(folder: Path) -> CrmMapping:
    return mapping_of(folder, MAPPING)


def _refresh(source: CrmSource, ledger: Ledger, box: Sandbox) -> None:
    reconcile(Records(ConfinedSource(source, box)), ledger, Run())


def _counted(source: CrmSource) -> dict[str, Readings]:
    found = documents(source)
    return of(("people", "empty"), found.values(), found.__contains__)


@both
def test_the_ledger_has_the_counts_of_the_whole_crm(tmp_path: Path, ledger: Ledger, box: Sandbox) -> None:
    crm = make(tmp_path / "crm.db", SCRIPT)
    source = CrmSource(crm, _mapping(tmp_path))
    _refresh(source, ledger, box)
    _compare(source, ledger)
    people = recorded_readings(ledger, "crm", ["people", "empty"])["people"]
    assert (people.rows, people.times, people.times_unread) == (5, 2, 2)
    assert dict(people.unread) == {"time": 2, "emails": 1, "phones": 1, "birth_date": 2}
    assert (people.references, people.nowhere) == (4, 2)
    assert people.examples["time"] == ["people/2: 7/12/2024", "people/3: 0000-00-00"]
    assert people.examples[NOWHERE] == ["people/3 -> people/9", "people/5 -> people/8"]

    with closing(sqlite3.connect(crm)) as connection, connection:  # only one row is rendered again
        connection.execute("UPDATE people SET met = '1/2/2024' WHERE id = 1")
        connection.execute("DELETE FROM people WHERE id = 3")
    kept = tmp_path / "kept.json"
    before = kept_readings(ledger, kept, "crm", ["people"])
    assert (
        before
        == kept_readings(ledger, kept, "crm", ["people"])
        == recorded_readings(ledger, "crm", ["people"])
    )
    _refresh(source, ledger, box)
    assert (
        before
        != kept_readings(ledger, kept, "crm", ["people"])
        == recorded_readings(ledger, "crm", ["people"])
    )
    kept.write_text("{")
    assert kept_readings(ledger, kept, "crm", ["people"]) == recorded_readings(ledger, "crm", ["people"])
    _compare(source, ledger)
    assert recorded_readings(ledger, "crm", ["people"])["people"].times_unread == 2


def _compare(source: CrmSource, ledger: Ledger) -> None:
    there, recorded = _counted(source), recorded_readings(ledger, "crm", ["people", "empty"])
    for kind, one in there.items():
        # What the ledger does not count.
        assert replace(one, several=0, headers_cut=0, longest_header=0) == recorded[kind]


def test_counts_of_what_only_a_look_at_each_document_tells(tmp_path: Path) -> None:
    crm = make(tmp_path / "crm.db", SCRIPT + f"UPDATE people SET name = '{'long ' * 60}' WHERE id = 4;")
    text = MAPPING.replace("identity =", 'header = { Name = "{name}" }\nidentity =')
    people = _counted(CrmSource(crm, mapping_of(tmp_path, text)))["people"]
    assert (people.several, people.headers_cut, people.longest_header) == (1, 1, 299)
    assert (people.empty_titles, people.empty_bodies) == (1, 2)
