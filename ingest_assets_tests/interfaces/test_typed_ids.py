"""Ids whose keys are texts are found as people type them, at every door: not percent-encoded."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ingest_assets.reconcile import reconcile
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets_tests.interfaces.http.served import served
from ingest_assets_tests.interfaces.mcp.agents import Served, serve
from ingest_assets_tests.sources.crm_databases import make
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here

__all__ = ["ingest_here"]

SCRIPT = """
CREATE TABLE people (mail TEXT PRIMARY KEY, name TEXT, photo);
INSERT INTO people VALUES ('grace+navy@x.example', 'Grace Hopper', 'compilers'),
    ('g.hopper/2@x.example', 'Grace B Hopper', 'nanoseconds'), ('jo@x.example', 'Jo Doe', x'00ff');
CREATE TABLE firms (name TEXT PRIMARY KEY, about TEXT);
INSERT INTO firms VALUES ('Smith & Söhne, 50% GmbH', 'plumbing'), ('Ümlaut?', 'type');
"""
MAPPING = """
[[documents]]
name = "people"
table = "people"
key = "mail"
kind = "person"
title = "{name}"
body = "Writes about {photo}."
identity = { kind = "person", name = "{name}" }

[[documents]]
name = "firms"
table = "firms"
key = "name"
kind = "organisation"
title = "{name}"
body = "In {about}."
"""
# As people type them, and as they are.
GRACE, GRACE_ID = "people/grace+navy@x.example", "people/grace%2Bnavy%40x.example"
OTHER, OTHER_ID = "people/g.hopper/2@x.example", "people/g.hopper%2F2%40x.example"
FIRM, FIRM_ID = "firms/Smith & Söhne, 50% GmbH", "firms/Smith%20%26%20S%C3%B6hne%2C%2050%25%20GmbH"
PARKED = "people/jo@x.example"  # its photo is shown, and no text


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An index of a CRM whose keys are texts, with a decision about two of them."""
    home = Home(tmp_path_factory.mktemp("typed"))
    make(home.crm, SCRIPT)
    (home.path / "mapping.toml").write_text(MAPPING, "utf-8")
    decided = home.path / "decisions.csv"
    decided.write_text(f"left,right,verdict,who,why\n{GRACE},{OTHER},same,Ada,one admiral\n", "utf-8")
    settings = {"crm_mapping_path": home.path / "mapping.toml", "ingest_entity_decisions": decided}
    home = home.with_settings(**settings)
    with home.bench() as bench:
        for stage in CRM.stage_names:
            reconcile(bench.stage("crm", stage), bench.ledger, bench.run())
    return home


@pytest.fixture(scope="module")
def agent(home: Home) -> Iterator[Served]:
    with serve(home) as server:
        yield server


@pytest.mark.parametrize(("typed", "meant"), [(GRACE, GRACE_ID), (OTHER, OTHER_ID), (FIRM, FIRM_ID)])
def test_a_document(home: Home, agent: Served, ingest_here: IngestHere, typed: str, meant: str) -> None:
    for asked in (typed, meant):
        shown = json.loads(ingest_here(home, "document", "show", asked, "--json").out)
        assert (shown["document"]["document_id"], shown["missing"]) == (meant, [])
        assert agent.call("get_document", document_id=asked).ok()["document_id"] == meant
        where = f"document_id={asked}"
        filtered = ("search", "writes about", "--filter", where, "--mode", "sparse", "--json")
        hits = json.loads(ingest_here(home, *filtered).out)["hits"]
        assert {hit["document_id"] for hit in hits} <= {meant}
        assert bool(hits) == (typed != FIRM)


def test_programs(home: Home) -> None:
    with served(home) as server, server.client() as client:
        for asked in (GRACE, GRACE_ID):
            got = client.get("/search", params={"query": "about", "filter": f"document_id={asked}"})
            posted = client.post("/search", json={"query": "about", "filters": {"document_id": [asked]}})
            for answer in (got, posted):
                assert {hit["document_id"] for hit in answer.json()["hits"]} == {GRACE_ID}


def test_agents(agent: Served) -> None:
    found = agent.call("search", query="about", filters={"document_id": [OTHER]}).ok()
    assert {hit["document_id"] for hit in found["hits"]} == {OTHER_ID}
    listed = agent.call("list_documents", prefix="firms/Smith & Sö").ok()
    assert [each["document_id"] for each in listed["documents"]] == [FIRM_ID]
    noted = agent.call("add_note", about=FIRM, text="They moved.", why="a test").ok()
    assert noted["note"]["about"] == FIRM_ID
    flagged = agent.call("flag_record", document_id=GRACE, reason="She left.").ok()
    assert flagged["note"]["about"] == GRACE_ID
    assert [each["text"] for each in agent.call("get_document", document_id=FIRM).ok()["notes"]]


def test_an_entity_and_a_decision(home: Home, agent: Served, ingest_here: IngestHere) -> None:
    entities = set()
    for asked in (GRACE, OTHER, OTHER_ID):
        shown = json.loads(ingest_here(home, "entity", "show", asked, "--json").out)
        assert {each["document_id"] for each in shown["members"]} == {GRACE_ID, OTHER_ID}
        assert [each["why"] for each in shown["decisions"]] == ["one admiral"]
        entities |= {shown["entity_id"], agent.call("get_entity", entity_id=asked).ok()["entity_id"]}
    assert len(entities) == 1
    why = json.loads(ingest_here(home, "entity", "why", OTHER, GRACE, "--json").out)
    assert (why["left"], why["right"]) == (OTHER_ID, GRACE_ID)
    events = agent.call("entity_history", entity_id=GRACE).ok()["events"]
    assert events
    assert events == agent.call("entity_history", entity_id=GRACE_ID).ok()["events"]


def test_what_is_parked_and_what_was_misspelt(home: Home, agent: Served, ingest_here: IngestHere) -> None:
    said = ingest_here(home, "document", "show", PARKED)
    assert said.status == 1
    assert "It was refused when it was read (once)" in said.out
    assert "binary data" in agent.call("get_document", document_id=PARKED).refused()
    near = json.loads(ingest_here(home, "document", "show", "firms/Smith & Sohne, 50% GmbH", "--json").out)
    assert near["near"][0] == FIRM_ID


def test_labels(home: Home) -> None:
    labels = home.path / "labels.csv"
    labels.write_text(f"id,cluster\n{GRACE},1\n{OTHER},1\n", "utf-8")
    with home.with_settings(ingest_entity_labels=labels).bench() as bench:
        [check] = [each for each in CRM.checks() if each.name == "labels_agree"]
        found = check.run(bench, "crm")
    assert found.metadata == {"precision": 1.0, "recall": 1.0, "pairs": 1}
