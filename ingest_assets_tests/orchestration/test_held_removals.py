"""Removals that nobody meant, as Dagster, the sensor and the command line show them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.orchestration import sensors
from ingest_assets.orchestration.assets import ALLOW_TAG
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.sensors import change_sensor
from ingest_assets.queries.search import open_search
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.orchestration.jobs import QUIET, checks_of, counts_of, failures_of, run
from ingest_assets_tests.orchestration.runs import looked
from ingest_assets_tests.orchestration.shop import refresh
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import DOCUMENTS, Home
from ingest_assets_tests.support.fixtures import IngestHere


def empty_out(home: Home) -> int:
    """As a condition that nothing meets: most records are gone. Returns how many stay."""
    with closing(sqlite3.connect(home.crm)) as crm, crm:
        crm.execute("delete from interaction_participants")
        crm.execute("delete from interactions")
        crm.execute("delete from opportunities")
        (left,) = crm.execute(
            "select (select count(*) from people) + (select count(*) from organisations)"
        ).fetchone()
    return int(left)


def look(home: Home, instance: dg.DagsterInstance) -> str:
    sensor = change_sensor(CRM, load_settings(crm_sensor_interval_s=5))
    with dg.build_sensor_context(
        instance=instance, resources={"ingest": Ingest(overrides=home.overrides)}
    ) as context:
        said = looked(sensor, context)
    return "run" if isinstance(said, dg.RunRequest) else said.skip_message or ""


def documents_found(home: Home) -> int:
    with home.bench() as bench:
        hits = open_search(bench, "crm").search("price of the contract", limit=100).hits
    return len({hit.document_id for hit in hits})


def test_in_dagster_it_is_a_failure_with_what_it_would_remove(
    built: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = documents_found(built)
    left = empty_out(built)
    with built.instance() as instance:
        assert look(built, instance) == "run"
        stopped = run(built, instance, "refresh_search_index")
        assert not stopped.success
        (said,) = failures_of(stopped).values()
        assert f"remove {DOCUMENTS - left} of " in said
        data = stopped.get_step_failure_events()[0].step_failure_data.user_failure_data
        assert data is not None
        assert {"email", "opportunity"} <= set(data.metadata)
        # The sensor requests no run every few seconds, and says why; after a while it tries again.
        assert f"SKIPPED: the last run was stopped. This run would remove {DOCUMENTS - left}" in look(
            built, instance
        )
        assert not standing(instance)
        assert documents_found(built) == found
        monkeypatch.setattr(sensors, "STOPPED_FOR_S", 0.0)
        assert look(built, instance) == "run"
        monkeypatch.undo()

        tagged = build_with_tag(built, instance)
        assert tagged.success
        assert counts_of(tagged)["records"][3] == DOCUMENTS - left
        assert checks_of(tagged)["no_removal_held"]
        assert standing(instance)
        assert "has not changed" in look(built, instance)


def standing(instance: dg.DagsterInstance) -> bool:
    """Whether the check passes, as the UI shows it."""
    key = dg.AssetCheckKey(dg.AssetKey(["crm", "collection"]), "no_removal_held")
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    return record.status is AssetCheckExecutionRecordStatus.SUCCEEDED


def build_with_tag(home: Home, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """As a person launches it in the UI, with a tag."""
    from ingest_assets.definitions import build_defs

    job = build_defs(home.overrides).resolve_job_def("refresh_search_index")
    return job.execute_in_process(
        instance=instance, run_config=QUIET, tags={ALLOW_TAG: "true"}, raise_on_error=False
    )


def test_run_config_allows_it_too(built: Home) -> None:
    left = empty_out(built)
    with built.instance() as instance:
        allowed = run(built, instance, "refresh_search_index", {"allow_removals": True})
    assert allowed.success
    assert counts_of(allowed)["records"][2] == left


@pytest.mark.parametrize("command", ["refresh", "build"])
def test_the_command_ends_with_1_and_goes_on_when_allowed(
    built: Home, ingest_here: IngestHere, command: str
) -> None:
    empty_out(built)
    stopped = ingest_here(built, command, "--source", "crm", "--json")
    assert stopped.status == 1
    (said,) = json.loads(stopped.out)["errors"]
    assert "--allow-removals" in said
    status = json.loads(ingest_here(built, "status", "--json").out)["sources"]["crm"]
    assert status["documents"] == DOCUMENTS
    assert status["problem"] in said
    assert "This run would remove" in ingest_here(built, "status").out
    assert ingest_here(built, command, "--source", "crm", "--allow-removals").status == 0
    assert json.loads(ingest_here(built, "status", "--json").out)["sources"]["crm"]["problem"] is None


def test_of_a_repository(home: Home, repo: TestRepo) -> None:
    repo.commit({f"notes/{n}.md": b"# Oats\n\nAbout oats, number %d.\n" % n for n in range(40)})
    with home.bench() as bench:
        kept = repositories_of(bench).add(str(repo.path))
    assert refresh(home).assets["repositories/files"]["added"] == 40
    repo.commit({"README.md": b"# Moved away\n"})
    stopped = run_sources(home.load(), sources=["repositories"], overrides=home.overrides)
    assert not stopped.success
    assert "remove 40 of 40 documents of repositories" in stopped.errors[0]
    # A person who removes the repository means it.
    with home.bench() as bench:
        repositories_of(bench).remove(kept.id)
    assert refresh(home).assets["repositories/files"]["removed"] == 40
