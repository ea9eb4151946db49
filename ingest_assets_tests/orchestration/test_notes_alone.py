"""Notes without a configured CRM are still found. A CRM whose setting got lost is another matter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from ingest_assets import notes
from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.interfaces.http.readiness import check_readiness
from ingest_assets.ledger import Ledger
from ingest_assets.ledger.store import upsert
from ingest_assets.ledger.tables import document, generation, parked
from ingest_assets.model import ConfigurationError, Document, digest_of
from ingest_assets.notes import Subject
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.schedules import audit_schedule, refresh_schedule
from ingest_assets.orchestration.sensors import change_sensor
from ingest_assets.reconcile import reconcile
from ingest_assets.sources.crm.absent import AbsentCrm
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.sources.registry import load_sources
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.stages.audit import audit
from ingest_assets.stages.document_rows import document_row
from ingest_assets_tests.interfaces.mcp.agents import serve
from ingest_assets_tests.orchestration.runs import looked, ticked
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import DOCUMENTS, Home
from ingest_assets_tests.support.fixtures import IngestHere

NOT_SET, LOST = "CRM_DB_PATH is not set.", "CRM_DB_PATH is not set, and a CRM was indexed."


@pytest.fixture(scope="module")
def home_once(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A repository that is indexed, and nothing else. For reading only."""
    folder = tmp_path_factory.mktemp("repository")
    repo = TestRepo(folder / "code" / "shop")
    repo.commit({"price.py": b"def discount(amount, rate):\n    return amount * (1 - rate)\n" * 5})
    home = Home(folder / "home").with_settings(
        crm_db_path=None,
        ingest_repository_protocols="file",
        ingest_repository_roots=str(repo.path.parent),
    )
    home.dagster.mkdir(parents=True)
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with home.bench() as bench:
        repositories_of(bench).add(str(repo.path))
    report = run_sources(home.load(), sources=["repositories"], overrides=home.overrides)
    assert report.success, report.errors
    return home


@pytest.fixture
def home(home_once: Home, tmp_path: Path) -> Home:
    """A copy of it, which may be changed."""
    return home_once.copy(tmp_path / "home")


def ticks(home: Home) -> list[str]:
    """What the hourly schedule, the nightly one and the sensor say: why not, or "run"."""
    settings, due = home.load(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    given: dict[str, Any] = {"resources": {"ingest": Ingest(overrides=home.overrides)}}
    said: list[Any] = []
    with home.instance() as instance:
        for schedule in (refresh_schedule(CRM, settings), audit_schedule(load_sources())):
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=due, **given
            ) as context:
                said.append(ticked(schedule, context))
        with dg.build_sensor_context(instance=instance, **given) as looking:
            said.append(looked(change_sensor(CRM, settings), looking))
    return [getattr(each, "skip_message", "run") for each in said]


def write(home: Home, text: str) -> str:
    """Write a note; returns its id."""
    with home.bench() as bench:
        subject = Subject("people/1", "Ada", ["people/1"])
        note = notes.add(bench.ledger, subject, kind="note", author="ada", why="w", text=text, at=1.0)
    return note.id


def test_a_note_on_a_file_is_found_and_goes_without_a_crm(home: Home, ingest_here: IngestHere) -> None:
    # The nightly audit covers whatever is indexed: here the repository.
    not_set = [f"SKIPPED: {NOT_SET}", "run", f"SKIPPED: {NOT_SET}"]
    assert ticks(home) == not_set
    with serve(home) as served:
        [file] = served.call("list_documents", source="repositories").ok()["documents"]
        note = {"about": file["document_id"], "text": "Zebras get a discount.", "why": "The shop said so."}
        added = served.call("add_note", **note).ok()
        assert "search finds it after the next refresh" in added["message"]
        assert ticks(home) == ["run"] * 3

        said = ingest_here(home, "refresh", "--json")
        assert said.status == 0, said.everything
        assert json.loads(said.out)["assets"]["crm/records"]["added"] == 1
        [found] = served.call("search", query="zebras", filters={"kind": ["note"]}).ok()["hits"]
        assert found["document_id"] == added["document_id"]
        assert served.call("search", query="discount", source="repositories").ok()["hits"]
        assert ticks(home)[2] == "SKIPPED: crm has not changed since the last refresh."
        assert ingest_here(home, "audit").status == 0

        assert ingest_here(home, "note", "remove", added["note"]["id"]).status == 0
        assert ticks(home) == ["run"] * 3
        assert ingest_here(home, "refresh", "--source", "crm").status == 0
        assert served.call("search", query="zebras", source="crm").ok()["hits"] == []
    assert ticks(home) == not_set
    said = ingest_here(home, "refresh", "--source", "crm")
    assert (said.status, NOT_SET in said.err) == (2, True)
    assert ingest_here(home, "refresh").status == 0  # repositories alone will do


def test_a_removed_note_leaves_the_index_even_if_the_run_that_removed_it_died(home: Home) -> None:
    note = write(home, "Okapis.")
    assert home.build().success
    with home.bench() as bench:
        notes.remove(bench.ledger, note)
        reconcile(bench.stage("crm", "records"), bench.ledger)
        assert audit(bench.published("crm"), bench.ledger).present == 1
    assert ticks(home)[0] == "run"
    assert home.refresh().success
    with home.bench() as bench:
        assert audit(bench.published("crm"), bench.ledger).present == 0
    assert ticks(home)[0] == f"SKIPPED: {NOT_SET}"


def test_a_refresh_continues_after_a_crash_that_followed_the_switch(home: Home) -> None:
    write(home, "Okapis.")
    assert home.refresh().success
    with home.bench() as bench, bench.ledger.transaction() as connection:
        row = sa.update(generation).where(generation.c.collection == "crm_chunks")
        connection.execute(row.values(state="building", published_at=None))
    write(home, "Wombats.")
    assert home.refresh().success
    with home.bench() as bench:
        assert audit(bench.published("crm"), bench.ledger).present == 2


def test_readiness_ignores_notes_that_are_indexed_for_the_first_time(home: Home) -> None:
    write(home, "Okapis.")
    with home.bench() as bench:
        reconcile(bench.stage("crm", "records"), bench.ledger)
        found = check_readiness(bench, None)
        assert (found.status, "collection_crm" in found.parts) == ("ready", False)
        assert home.refresh().success
        found = check_readiness(bench, None)
        assert (found.status, found.parts["collection_crm"].state) == ("ready", "ok")


@pytest.mark.parametrize("noted", [True, False])
def test_a_crm_whose_setting_got_lost_is_an_error_and_loses_nothing(
    built: Home, ingest_here: IngestHere, noted: bool
) -> None:
    if noted:
        write(built, "Okapis.")
    lost = built.with_settings(crm_db_path=None)
    # The audit still runs: what was indexed is still there.
    assert [LOST in said for said in ticks(lost)] == [True, False, True]
    for command in (("refresh",), ("refresh", "--source", "crm"), ("build",)):
        said = ingest_here(lost, *command)
        assert (said.status, LOST in said.err) == (2, True)
    report = lost.refresh()  # as the button in the UI does, which can always be pressed
    assert not report.success
    assert LOST in report.errors[0]
    with built.bench() as bench:
        assert audit(bench.published("crm"), bench.ledger).agrees
    assert built.refresh().assets["crm/records"]["unchanged"] == DOCUMENTS
    assert ticks(built)[2] == "SKIPPED: crm has not changed since the last refresh."


def test_notes_alone_do_not_replace_what_another_ledger_made(built: Home, ingest_here: IngestHere) -> None:
    other = built.with_settings(
        crm_db_path=None, ingest_ledger_url=f"sqlite:///{built.path / 'other.sqlite'}"
    )
    write(other, "Okapis.")
    whose = "crm_chunks in this store belongs to the installation"
    assert [whose in said for said in ticks(other)] == [True, False, True]
    said = ingest_here(other, "refresh")
    assert (said.status, whose in said.err) == (2, True)
    assert not other.build().success
    # Even if it is taken over on purpose: notes are not all that there should be.
    assert ingest_here(other, "adopt", "--source", "crm", "--yes").status == 0
    said = ingest_here(other, "refresh")
    assert (said.status, "crm_chunks was made with another ledger" in said.err) == (2, True)
    assert not other.build().success
    assert ingest_here(built, "adopt", "--source", "crm", "--yes").status == 0
    with built.bench() as bench:
        assert audit(bench.published("crm"), bench.ledger).agrees


def test_notes_stay_when_a_crm_is_configured_later(empty: Home) -> None:
    alone = empty.with_settings(crm_db_path=None)
    write(alone, "Okapis.")
    assert alone.refresh().success
    counts = empty.refresh().assets["crm/records"]
    assert (counts["added"], counts["unchanged"], counts["removed"]) == (DOCUMENTS, 1, 0)
    assert not alone.refresh().success


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_what_counts_as_records_of_a_crm(ledger: Ledger) -> None:
    def refuse() -> None:
        for look in (
            AbsentCrm(ledger, "crm", "records").signature,
            AbsentCrm(ledger, "crm", "records").read().__enter__,
        ):
            with pytest.raises(ConfigurationError, match="a CRM was indexed"):
                look()

    subject = Subject("people/1", "Ada")
    note = notes.add(ledger, subject, kind="note", author="ada", why="w", text="t", at=1.0)
    _record(ledger, f"notes/{note.id}", f"ingest:notes/{note.id}")
    with AbsentCrm(ledger, "crm", "records").read() as items:
        assert list(items) == []
    # A CRM may have notes of its own.
    _record(ledger, "notes/7", "https://crm.example/notes/7")
    refuse()
    with ledger.transaction() as connection:
        connection.execute(sa.delete(document).filter_by(document_id="notes/7"))
    # All of its records may have been refused.
    row = {"source": "crm", "stage": "records", "item_id": "notes/7", "digest": "d", "fingerprint": "f"}
    more = {"error": "too long", "attempts": 1, "first_at": 1.0, "last_at": 1.0}
    with ledger.transaction() as connection:
        upsert(connection, parked, [row | more])
    refuse()


def _record(ledger: Ledger, document_id: str, uri: str) -> None:
    made = Document(id=document_id, kind="note", title="A note", uri=uri, time=None, context=(), body="text")
    with ledger.transaction() as connection:
        upsert(connection, document, [document_row("crm", "", digest_of(document_id), made)])
