"""`ingest adopt`, and what the other commands say until then: a lost ledger, a moved CRM, a shared server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingest_assets_tests.support.built_index import DOCUMENTS, Home
from ingest_assets_tests.support.fixtures import IngestHere


def _lose_ledger(home: Home) -> None:
    for file in (home.path / "ingest").glob("ledger.sqlite*"):
        if file.is_file():
            file.unlink()


@pytest.fixture
def lost(built: Home) -> Home:
    """An index whose ledger is gone."""
    _lose_ledger(built)
    return built


def test_a_lost_ledger_is_refused_with_the_command_that_helps(lost: Home, ingest_here: IngestHere) -> None:
    for command in (["refresh"], ["search", "price"], ["audit"]):
        said = ingest_here(lost, *command)
        assert said.status in (1, 2), command
        assert "crm_chunks in this store belongs to the installation" in said.everything
        assert "ingest adopt" in said.everything
    assert "belongs to" in ingest_here(lost, "status").out
    doctor = ingest_here(lost, "doctor")
    assert (doctor.status, "index crm_chunks" in doctor.out) == (1, True)
    shown = ingest_here(lost, "adopt", "--yes")
    assert shown.status == 0
    for part in ("the index crm_chunks (generations: 1; live: 1)", "Taken over. Run `ingest refresh`."):
        assert part in shown.out
    assert ingest_here(lost, "search", "price").status == 0  # the index is the one that there was
    assert ingest_here(lost, "refresh").status == 0
    status = json.loads(ingest_here(lost, "status", "--json").out)["sources"]["crm"]
    assert (status["documents"], status["generation"], status["problem"]) == (DOCUMENTS, 2, None)
    assert ingest_here(lost, "audit").status == 0


def test_nothing_is_taken_without_a_yes(
    lost: Home, ingest_here: IngestHere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no").write_text("n\n")
    with (tmp_path / "no").open() as no:
        monkeypatch.setattr("sys.stdin", no)
        said = ingest_here(lost, "adopt")
    assert said.status == 1
    assert "Take it over?" in said.everything
    assert ingest_here(lost, "search", "price").status == 2
    said = ingest_here(lost, "adopt", "--json")
    assert (said.status, "needs --yes" in said.err) == (2, True)
    assert ingest_here(lost, "search", "price").status == 2


def test_json_says_what_changed_hands(lost: Home, ingest_here: IngestHere) -> None:
    (one,) = json.loads(ingest_here(lost, "adopt", "--yes", "--json").out)["adopted"]
    assert set(one) == {"what", "source", "whose", "whose_then"}
    assert one["source"] == "crm"
    assert json.loads(ingest_here(lost, "adopt", "--yes", "--json").out) == {"adopted": []}


def test_wrong_input_is_refused(built: Home, ingest_here: IngestHere) -> None:
    said = ingest_here(built, "adopt", "--source", "unknown", "--yes")
    assert (said.status, "there is no source 'unknown'" in said.err) == (2, True)
    said = ingest_here(built, "adopt", "--source", "repositories", "--yes")
    assert (said.status, "There is nothing to take over." in said.out) == (0, True)


def test_a_crm_that_moved_is_adopted(built: Home, ingest_here: IngestHere) -> None:
    moved = built.path / "moved crm.sqlite"
    built.crm.rename(moved)
    there = built.with_settings(crm_db_path=str(moved))
    said = ingest_here(there, "refresh")
    assert said.status == 2
    for name in (built.crm, moved):
        assert str(name) in said.err
    assert ingest_here(there, "adopt", "--source", "crm", "--yes").status == 0
    assert ingest_here(there, "refresh").status == 0


def test_status_shows_the_installation(built: Home, ingest_here: IngestHere) -> None:
    key = json.loads(ingest_here(built, "status", "--json").out)["installation"]
    shown = ingest_here(built, "status").out
    assert len(key) == 32
    assert f"({key})" in shown
    named = built.with_settings(ingest_installation_name="sales")
    assert 'is "sales", but the ledger belongs to' in ingest_here(named, "search", "price").err
    assert ingest_here(named, "adopt", "--yes").status == 0
    assert f"installation sales ({key})" in ingest_here(named, "status").out
    assert ingest_here(named, "search", "price").status == 0
