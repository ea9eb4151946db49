"""A run defines its own sources alone: of these, all that Dagster would load, and of others nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.dependency import NodeHandle

from ingest_assets.definitions import build_defs, run_defs
from ingest_assets.model import ConfigurationError
from ingest_assets.sources.registry import LeftOut, load_sources
from ingest_assets_tests.orchestration.test_definitions import SOURCES, modules_after
from ingest_assets_tests.support.built_index import Home

IMPLICIT = "__ASSET_JOB"  # Dagster's own: of all assets
CHOICES = [*([name] for name in SOURCES), ["papers", "crm"], list(SOURCES)]


@pytest.fixture(scope="module")
def whole() -> dg.Definitions:
    return build_defs()


def assets_of(definitions: dg.Definitions, sources: Collection[str]) -> dict[str, Any]:
    """What is defined of each asset of these sources."""
    graph = definitions.resolve_asset_graph()
    found = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if key.path[0] in sources:
            found[key.to_user_string()] = (
                sorted(each.to_user_string() for each in node.parent_keys),
                node.description,
                node.code_version,
                node.pools,
                node.kinds,
                node.partitions_def is not None,
                sorted(each.to_user_string() for each in node.check_keys),
            )
    return found


def job_of(definitions: dg.Definitions, name: str) -> dict[str, Any]:
    """What a job runs, with what, and how."""
    job = definitions.resolve_job_def(name)
    nodes = [NodeHandle(each, parent=None) for each in job.graph.node_dict]
    runs = {key for node in nodes for key in job.asset_layer.get_selected_entity_keys_for_node(node)}
    return {
        "runs": sorted(key.to_user_string() for key in runs),
        "config": job.run_config,
        "executor": job.executor_def.name,
        "partitioned": job.partitions_def is not None,
        "order": sorted(map(repr, job.graph.dependencies.items())),
    }


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_the_assets_and_jobs_of_a_run_are_those_of_the_whole(whole: dg.Definitions, names: list[str]) -> None:
    alone, sources = run_defs(names), load_sources()
    assert assets_of(alone, SOURCES) == assets_of(whole, names)
    jobs = {job.name for job in alone.resolve_all_job_defs()} - {IMPLICIT}
    assert jobs >= {sources[name].refresh_job for name in names}
    assert jobs.isdisjoint(sources[name].refresh_job for name in SOURCES if name not in names)
    assert {job: job_of(alone, job) for job in jobs} == {job: job_of(whole, job) for job in jobs}


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_a_run_starts_nothing_by_itself(names: list[str]) -> None:
    repository = run_defs(names).get_repository_def()
    assert (repository.schedule_defs, repository.sensor_defs) == ([], [])


def test_a_source_that_is_not_there_has_nothing_to_run() -> None:
    assert assets_of(run_defs(["nobody"]), ["nobody", *SOURCES]) == {}


def test_settings_are_read_and_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_INGEST_SYNC_INTERVAL_MIN", "soon")
    with pytest.raises(ConfigurationError, match="CRM_INGEST_SYNC_INTERVAL_MIN='soon'"):
        run_defs(["crm"])
    monkeypatch.delenv("CRM_INGEST_SYNC_INTERVAL_MIN")
    made = run_defs(["papers"], {"ingest_home": "/nowhere"})
    assert made.resources is not None
    assert made.resources["ingest"].overrides == {"ingest_home": "/nowhere"}


def test_what_was_left_out_is_said_although_it_is_not_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(load_sources(), "left_out", [LeftOut("shop", "it has no stages")])
    with caplog.at_level(logging.WARNING):
        run_defs(["papers"])
    assert "The source of the package shop is left out: it has no stages." in caplog.text


def test_another_source_is_not_even_made(empty: Home) -> None:
    """Making what a run does not need takes longer than many a refresh."""
    program = "from ingest_assets.definitions import run_defs\nrun_defs(['papers'])"
    modules = modules_after(program, empty)
    assert not {each for each in modules if each.startswith("ingest_assets.sources.repositories.")} - {
        f"ingest_assets.sources.repositories.{each}" for each in ("definition", "settings")
    }, json.dumps(sorted(modules))
