"""The output for programs: JSON, exit statuses, and nothing else on standard output."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest_assets_tests.orchestration.test_asset_checks import tamper
from ingest_assets_tests.support.built_index import DOCUMENTS, Home, Said, ingest, new_home
from ingest_assets_tests.support.fixtures import IngestHere

COUNTS = {"added", "changed", "unchanged", "removed", "parked", "seconds"}
CHECKS = {
    *(f"crm/collection/{n}" for n in ("agrees_with_ledger", "complete", "no_removal_held")),
    *(f"crm/collection/{n}" for n in ("nothing_parked", "search_answers")),
    *(f"crm/entities/{n}" for n in ("decisions_agree", "every_record_has_an_entity", "labels_agree")),
    *(f"crm/entities/{n}" for n in ("models_fit", "no_giant_entity")),
    "crm/records/readable",
}
STAGES = {"records", "match_models", "entities", "chunks", "dense_vectors", "sparse_vectors", "collection"}


def parsed(said: Said, status: int = 0) -> Any:
    assert said.status == status, said.everything
    assert not said.err
    return json.loads(said.out)


def answer(home: Home, *arguments: str) -> Any:
    """The JSON from a process of its own."""
    return parsed(ingest(home, *arguments, "--json"))


Answer = Callable[..., Any]


@pytest.fixture
def answer_here(ingest_here: IngestHere) -> Answer:
    def run(home: Home, *arguments: str, status: int = 0) -> Any:
        return parsed(ingest_here(home, *arguments, "--json"), status)

    return run


def test_search_in_each_mode(built: Home, answer_here: Answer) -> None:
    for mode in ("dense", "sparse", "hybrid"):
        found = answer_here(built, "search", "renewal of the contract", "--mode", mode, "--limit", "3")
        assert set(found) == {"query", "source", "mode", "collection", "generation", "took_ms", "hits"}
        assert found["query"] == "renewal of the contract"
        assert (found["source"], found["mode"]) == ("crm", mode)
        assert (found["collection"], found["generation"]) == ("crm_chunks", 1)
        assert found["took_ms"] > 0
        assert 1 <= len(found["hits"]) <= 3
        scores = [hit["score"] for hit in found["hits"]]
        assert scores == sorted(scores, reverse=True)
        for hit in found["hits"]:
            wanted = {
                "score",
                "chunk_id",
                "document_id",
                "title",
                "uri",
                "kind",
                "entity_ids",
                "text",
                "attributes",
            }
            assert set(hit) == wanted | {"time"}
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", hit["chunk_id"])
            assert hit["uri"].endswith(hit["document_id"])
            assert isinstance(hit["entity_ids"], list)


def test_filters_and_limit(built: Home, answer_here: Answer) -> None:
    mail = answer_here(built, "search", "contract", "--filter", "kind=email", "--limit", "50")["hits"]
    both = answer_here(
        built, "search", "contract", "--filter", "kind=email", "--filter", "kind=note", "--limit", "50"
    )
    assert {hit["kind"] for hit in mail} == {"email"}
    assert {hit["kind"] for hit in both["hits"]} == {"email", "note"}
    day = sorted(hit["time"] for hit in mail)[len(mail) // 2][:10]
    late = answer_here(
        built, "search", "contract", "--filter", "kind=email", "--filter", f"since={day}", "--limit", "50"
    )["hits"]
    assert {hit["chunk_id"] for hit in late} == {hit["chunk_id"] for hit in mail if hit["time"] >= day}
    assert answer_here(built, "search", "contract", "--filter", "kind=nothing")["hits"] == []


def test_every_command_from_an_empty_home_to_an_audited_index(tmp_path: Path, answer_here: Answer) -> None:
    home = new_home(tmp_path / "home")
    fields = {"documents", "chunks", "points", "parked", "generation", "fingerprint", "last_success"}
    fields |= {"store", "store_answers", "problem"}
    before = answer(home, "status")
    assert set(before) == {"installation", "sources"}
    assert set(before["sources"]) == {"crm"}
    assert set(before["sources"]["crm"]) == fields
    assert before["sources"]["crm"] == dict.fromkeys(("documents", "chunks", "points", "parked"), 0) | {
        "generation": None,
        "fingerprint": None,
        "last_success": None,
        "store": None,
        "store_answers": True,
        "problem": None,
    }
    report = answer(home, "build")
    assert not home.user.exists(), "something stores an id of this machine, probably for telemetry"
    assert set(report) == {"run_id", "success", "assets", "checks", "errors", "parked"}
    assert report["success"] is True
    assert report["errors"] == []
    assert set(report["assets"]) == {f"crm/{stage}" for stage in STAGES}
    for counts in report["assets"].values():
        assert set(counts) == COUNTS
    assert {name: check["passed"] for name, check in report["checks"].items()} == dict.fromkeys(CHECKS, True)
    after = answer_here(home, "status")["sources"]["crm"]
    assert set(after) == fields
    assert (after["documents"], after["parked"], after["generation"]) == (DOCUMENTS, 0, 1)
    assert after["points"] == after["chunks"] >= DOCUMENTS
    assert re.fullmatch(r"[0-9a-f]{32}", after["fingerprint"])
    assert datetime.fromisoformat(after["last_success"]).tzinfo is not None
    with home.instance() as instance:
        run = instance.get_run_by_id(report["run_id"])
        assert run is not None
        assert run.is_success
        assert run.tags["ingest/started_by"] == "command line"

    touched = home.edit(changes=2, deletes=1, inserts=1)
    counts = answer_here(home, "refresh", "--source", "crm")["assets"]["crm/records"]
    assert counts["added"] + counts["changed"] + counts["removed"] == len(touched)

    audit = answer_here(home, "audit")
    assert set(audit) == {"collections"}
    assert set(audit["collections"]) == {"crm_chunks"}
    points = answer_here(home, "status")["sources"]["crm"]["points"]
    assert audit["collections"]["crm_chunks"] == {
        "expected": points,
        "present": points,
        "missing": 0,
        "orphaned": 0,
        "stale": 0,
        "without_sparse": 0,
    }


def test_an_audit_exits_with_1_if_points_differ_and_a_repair_with_0(
    built: Home, answer_here: Answer, ingest_here: IngestHere
) -> None:
    tamper(built, delete=5, copy=3)
    found = answer_here(built, "audit", status=1)["collections"]["crm_chunks"]
    assert (found["missing"], found["orphaned"], found["stale"], found["without_sparse"]) == (5, 3, 0, 0)
    assert found["present"] == found["expected"] - 2
    assert "`ingest audit --repair` repairs them" in ingest_here(built, "audit").out
    mended = answer_here(built, "audit", "--repair")["collections"]["crm_chunks"]
    assert mended["present"] == mended["expected"] == found["expected"]
    assert (mended["missing"], mended["orphaned"]) == (0, 0)


def test_parked_items_lead_to_status_3_and_are_listed(
    built: Home, answer_here: Answer, ingest_here: IngestHere
) -> None:
    with sqlite3.connect(built.crm) as crm:
        crm.execute("UPDATE interactions SET body = ? WHERE id = 2", ("long " * 1000,))
    tight = built.with_settings(crm_max_document_chars=4_000)
    report = answer_here(tight, "refresh", status=3)
    assert report["success"] is True
    assert report["parked"] == 1
    assert report["checks"]["crm/collection/nothing_parked"] == {
        "passed": False,
        "warning": False,
        "description": "1 items are parked.",
    }
    (item,) = answer_here(tight, "parked")["parked"]
    assert set(item) == {"source", "stage", "part", "item_id", "error", "attempts", "first_at", "last_at"}
    assert (item["source"], item["stage"], item["item_id"], item["attempts"]) == (
        "crm",
        "records",
        "interactions/2",
        1,
    )
    assert "CRM_MAX_DOCUMENT_CHARS allows 4,000" in item["error"]
    said = ingest_here(tight, "refresh", "--retry-parked")
    assert said.status == 3
    assert "1 items are parked: `ingest parked` says why" in said.out
    assert answer_here(tight, "parked")["parked"][0]["attempts"] == 2
    # The last version that was short enough is still found.
    assert answer_here(tight, "status")["sources"]["crm"]["documents"] == DOCUMENTS


def test_a_sample(tmp_path: Path, answer_here: Answer, ingest_here: IngestHere) -> None:
    home = Home(tmp_path).with_settings(crm_db_path=None)
    wrote = answer_here(home, "sample", "crm", "--documents", "40", "--seed", "3")
    assert set(wrote) == {"path", "truth", "documents"}
    assert wrote["documents"] == 40
    assert Path(wrote["path"]).exists()
    assert Path(wrote["truth"]).exists()
    again = ingest_here(home, "sample", "crm", "--documents", "40")
    assert again.status == 2
    assert "exists" in again.err
    assert ingest_here(home, "sample", "crm", "--documents", "40", "--overwrite").status == 0
