"""The graph that Dagster loads, checked as a whole, and what loading it must not do."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.dependency import NodeHandle

from ingest_assets.definitions import build_defs
from ingest_assets.model import ConfigurationError
from ingest_assets.orchestration.assets import source_assets
from ingest_assets.orchestration.embedding import EMBED
from ingest_assets.settings import load_settings
from ingest_assets.sources.definition import Triggers
from ingest_assets.sources.registry import load_sources
from ingest_assets_tests.support.built_index import ROOT, Home

GRAPH: dict[str, dict[str, Any]] = {
    "crm/records": {"deps": [], "kinds": {"sql"}},
    "crm/match_models": {"deps": ["crm/records"], "kinds": {"splink", "duckdb"}},
    "crm/entities": {"deps": ["crm/match_models", "crm/records"], "kinds": {"splink", "duckdb"}},
    "crm/chunks": {"deps": ["crm/records"], "kinds": {"python"}},
    "crm/dense_vectors": {"deps": ["crm/chunks"], "kinds": {"fastembed"}},
    "crm/sparse_vectors": {"deps": ["crm/chunks"], "kinds": {"fastembed"}},
    "crm/collection": {
        "deps": ["crm/dense_vectors", "crm/entities", "crm/sparse_vectors"],
        "kinds": {"qdrant"},
    },
}
OF_REPOSITORIES: dict[str, dict[str, Any]] = {
    "repositories/files": {"deps": [], "kinds": {"git"}},
    "repositories/chunks": {"deps": ["repositories/files"], "kinds": {"treesitter"}},
    "repositories/dense_vectors": {"deps": ["repositories/chunks"], "kinds": {"fastembed"}},
    "repositories/sparse_vectors": {"deps": ["repositories/chunks"], "kinds": {"fastembed"}},
    "repositories/collection": {
        "deps": ["repositories/dense_vectors", "repositories/sparse_vectors"],
        "kinds": {"qdrant"},
    },
}
OF_PAPERS: dict[str, dict[str, Any]] = {
    "papers/articles": {"deps": [], "kinds": {"python"}},
    "papers/bundles": {"deps": ["papers/articles"], "kinds": {"python"}},
    "papers/merged_entities": {"deps": ["papers/bundles"], "kinds": {"python"}},
    "papers/knowledge_graph": {"deps": ["papers/merged_entities"], "kinds": {"python"}},
    "papers/chunks": {"deps": ["papers/articles"], "kinds": {"python"}},
    "papers/dense_vectors": {"deps": ["papers/chunks"], "kinds": {"fastembed"}},
    "papers/sparse_vectors": {"deps": ["papers/chunks"], "kinds": {"fastembed"}},
    "papers/collection": {
        "deps": ["papers/dense_vectors", "papers/knowledge_graph", "papers/sparse_vectors"],
        "kinds": {"qdrant"},
    },
}
OF_SPOOL: dict[str, dict[str, Any]] = {
    "spool/batches": {"deps": [], "kinds": {"python"}},
    "spool/chunks": {"deps": ["spool/batches"], "kinds": {"python"}},
    "spool/dense_vectors": {"deps": ["spool/chunks"], "kinds": {"fastembed"}},
    "spool/sparse_vectors": {"deps": ["spool/chunks"], "kinds": {"fastembed"}},
    "spool/collection": {"deps": ["spool/dense_vectors", "spool/sparse_vectors"], "kinds": {"qdrant"}},
}
SOURCES = ("crm", "papers", "repositories", "spool")
EVERYTHING = GRAPH | OF_PAPERS | OF_REPOSITORIES | OF_SPOOL
OF_ENTITIES = {
    "every_record_has_an_entity",
    "no_giant_entity",
    "decisions_agree",
    "models_fit",
    "labels_agree",
}
OF_ALL = {"complete", "no_removal_held", "nothing_parked", "search_answers"}
OF_RECORDS = {"readable"}
QUICK = OF_ALL | OF_ENTITIES | OF_RECORDS
CHECKS = QUICK | {"agrees_with_ledger"}
# By stage of the papers' lineage.
OF_GRAPHS = {
    "bundles": {"every_bundle_has_its_paper", "every_paper_has_a_bundle"},
    "merged_entities": {"nothing_provisional_is_known"},
    "knowledge_graph": {"counts_agree", "ids_resolve", "offsets_quote_the_text"},
}
# By stage of the spool's lineage. A refresh looks at what changed, a build and the nightly audit at all.
OF_BATCHES = {
    "batches": {"everybody_was_told", "counts_add_up", "records_are_there"},
    "collection": {"archived_batches_are_indexed", "nothing_locked_is_searchable"},
}
OF_EVERY_RUN = {"everybody_was_told", "counts_add_up"}
# Job: its assets, its checks. The check that reads every point is not part of a refresh.
JOBS: dict[str, tuple[set[str], set[str]]] = {
    "build_search_index": (set(GRAPH), CHECKS),
    "refresh_search_index": (set(GRAPH), QUICK),
    "train_match_models": (set(GRAPH), QUICK),
    "build_papers": (set(OF_PAPERS), OF_ALL.union({"agrees_with_ledger"}, *OF_GRAPHS.values())),
    "refresh_papers": (set(OF_PAPERS), OF_ALL | OF_GRAPHS["bundles"]),
    "index_repository": (set(OF_REPOSITORIES), OF_ALL),
    "build_spool": (set(OF_SPOOL), OF_ALL.union({"agrees_with_ledger"}, *OF_BATCHES.values())),
    "refresh_spool": (set(OF_SPOOL), OF_ALL.union(*OF_BATCHES.values())),
    "audit_search_index": (
        set(),
        {"agrees_with_ledger"}.union(*OF_GRAPHS.values(), *OF_BATCHES.values())
        - OF_GRAPHS["bundles"]
        - OF_EVERY_RUN,
    ),
}
HEAVY = ("qdrant_client", "qdrant_edge", "fastembed", "onnxruntime", "pandas", "tokenizers", "httpx")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs({"crm_ingest_sync_interval_min": 45, "crm_sensor_interval_s": 17})


def test_the_asset_graph(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    nodes = {"/".join(key.path): graph.get(key) for key in graph.get_all_asset_keys()}
    assert set(nodes) == set(EVERYTHING)
    for name, node in nodes.items():
        assert sorted("/".join(key.path) for key in node.parent_keys) == EVERYTHING[name]["deps"]
        assert node.kinds == EVERYTHING[name]["kinds"]
        source = name.partition("/")[0]
        assert node.group_name == source
        assert node.owners == ["team:data-platform"]
        # Runs for repositories fetch in parallel (test_repositories), and then take a lock in turn.
        assert node.pools == (set() if source == "repositories" else {source})
        assert (node.partitions_def is not None) == (name == "repositories/files")
        assert re.fullmatch(r"\d+", node.code_version or "")
        assert re.match(r"One (row|point) per ", node.description or ""), f"{name} does not state its grain"


def test_the_checks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    keys = graph.asset_check_keys
    assert {key.name for key in keys} == CHECKS.union(*OF_GRAPHS.values(), *OF_BATCHES.values())
    for source, of_stages in (("papers", OF_GRAPHS), ("spool", OF_BATCHES)):
        for stage, names in of_stages.items():
            found = {key.name for key in keys if key.asset_key == dg.AssetKey([source, stage])}
            assert found - CHECKS == names
    of_entities = {key.name for key in keys if key.asset_key == dg.AssetKey(["crm", "entities"])}
    assert of_entities == OF_ENTITIES
    of_records = {key.name for key in keys if key.asset_key == dg.AssetKey(["crm", "records"])}
    assert of_records == OF_RECORDS
    of_crm = OF_ENTITIES | OF_RECORDS
    others = {key.asset_key for key in keys if key.name in CHECKS - of_crm}
    assert others == {dg.AssetKey([source, "collection"]) for source in SOURCES}
    specs = [
        spec
        for checks in definitions.asset_checks or []
        if isinstance(checks, dg.AssetChecksDefinition)
        for spec in checks.check_specs
    ]
    own = sum(map(len, (*OF_GRAPHS.values(), *OF_BATCHES.values())))
    assert len(specs) == len(of_crm) + len(SOURCES) * len(CHECKS - of_crm) + own
    for spec in specs:
        assert spec.description
        # A check that blocks would be trusted across runs: these only report.
        assert not spec.blocking


def test_the_jobs_and_what_they_run_in_one_process(definitions: dg.Definitions) -> None:
    for name, (assets, checks) in JOBS.items():
        job = definitions.resolve_job_def(name)
        assert job.description
        assert {"/".join(key.path) for key in job.asset_layer.selected_asset_keys} == assets
        assert {key.name for key in _checks_of(job)} == checks
        assert job.executor_def.name == "in_process"
    others = {"__ASSET_JOB", EMBED}  # which has no assets
    assert {job.name for job in definitions.resolve_all_job_defs()} - others == set(JOBS)
    embed = definitions.resolve_job_def(EMBED)
    assert embed.description
    assert embed.executor_def.name == "in_process"
    assert embed.partitions_def is not None
    assert embed.partitions_def.get_partition_keys() == ["1-of-4", "2-of-4", "3-of-4", "4-of-4"]


def _checks_of(job: dg.JobDefinition) -> set[dg.AssetCheckKey]:
    nodes = [NodeHandle(name, parent=None) for name in job.graph.node_dict]
    keys = [key for node in nodes for key in job.asset_layer.get_selected_entity_keys_for_node(node)]
    return {key for key in keys if isinstance(key, dg.AssetCheckKey)}


def test_only_the_build_job_rebuilds(definitions: dg.Definitions) -> None:
    build = definitions.resolve_job_def("build_search_index").run_config
    assert build == {
        "ops": {name.replace("/", "__"): {"config": {"rebuild": True}} for name in GRAPH},
    }
    assert not definitions.resolve_job_def("refresh_search_index").run_config
    assert not definitions.resolve_job_def("audit_search_index").run_config


def test_schedules_and_sensor_are_on_and_follow_their_settings(definitions: dg.Definitions) -> None:
    schedule = definitions.get_repository_def().get_schedule_def("refresh_search_index_schedule")
    assert schedule.job_name == "refresh_search_index"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "*/15 * * * *"
    assert "45 minutes" in (schedule.description or "")
    audit = definitions.get_repository_def().get_schedule_def("audit_search_index_schedule")
    assert audit.job_name == "audit_search_index"
    assert audit.default_status == dg.DefaultScheduleStatus.RUNNING
    assert audit.description
    of_repositories = definitions.get_repository_def().get_schedule_def("refresh_repositories_schedule")
    assert of_repositories.cron_schedule == schedule.cron_schedule
    assert of_repositories.default_status == dg.DefaultScheduleStatus.RUNNING
    assert len(definitions.get_repository_def().schedule_defs) == 5
    sensors = definitions.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {
        "crm_change_sensor",
        "papers_sensor",
        "spool_sensor",
        "repository_heads_sensor",
        "indexing_jobs_sensor",
    }
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}
    sensor = definitions.get_repository_def().get_sensor_def("crm_change_sensor")
    assert sensor.job_name == "refresh_search_index"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 17
    assert sensor.description


def test_wrong_settings_are_named_when_the_definitions_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_INGEST_SYNC_INTERVAL_MIN", "soon")
    with pytest.raises(ConfigurationError, match="CRM_INGEST_SYNC_INTERVAL_MIN='soon'"):
        build_defs()


def modules_after(program: str, home: Home) -> set[str]:
    """What is imported in a fresh process after some lines of Python."""
    program += "\nimport sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=home.path,
        env=home.env,
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_importing_the_definitions_reads_nothing_and_loads_nothing_heavy(empty: Home) -> None:
    # Settings that would be refused if they were read, and a ledger that could not be opened.
    wrong = empty.with_settings(
        crm_ingest_sync_interval_min="soon", ingest_ledger_url="postgresql://nobody@127.0.0.1:1/none"
    )
    before = sorted(wrong.path.rglob("*"))
    modules = modules_after("import ingest_assets.definitions", wrong)
    assert "dagster" in modules
    assert not modules.intersection(HEAVY)
    assert sorted(wrong.path.rglob("*")) == before


def test_building_the_definitions_loads_nothing_heavy_and_touches_nothing(empty: Home) -> None:
    before = sorted(empty.path.rglob("*"))
    modules = modules_after("from ingest_assets.definitions import build_defs\nbuild_defs()", empty)
    assert not modules.intersection(HEAVY)
    assert sorted(empty.path.rglob("*")) == before


def test_the_command_line_loads_dagster_only_to_run_jobs(built: Home) -> None:
    status = modules_after(commands(["--help"], ["status", "--json"], ["parked", "--json"]), built)
    assert "dagster" not in status
    assert not status.intersection(HEAVY)
    assert not status.intersection({"alembic", "ingest_assets.embedding"})
    search = modules_after(commands(["search", "renewal"], ["audit"]), built)
    assert "dagster" not in search
    assert not search.intersection({"pandas", "qdrant_client", "alembic"})


def commands(*lines: list[str]) -> str:
    run = "\ntry: main({!r})\nexcept SystemExit as end: assert not end.code"
    return "from ingest_assets.interfaces.cli import main" + "".join(run.format(line) for line in lines)


def test_dagster_and_dg_are_configured_with_the_code_location() -> None:
    assert "module_name: ingest_assets.definitions" in (ROOT / "workspace.yaml").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    assert 'code_location_target_module = "ingest_assets.definitions"' in project


def test_a_source_is_stale_after_three_missed_refreshes_or_when_it_says() -> None:
    crm, loaded = load_sources()["crm"], load_settings()
    by_interval = replace(crm, freshness=None, triggers=Triggers(interval_min=lambda _: 20))
    by_cron = replace(crm, freshness=None, triggers=Triggers(cron=lambda _: "0 5 * * *"))
    given = replace(by_cron, freshness=lambda _: timedelta(hours=30))
    for source, window in ((by_interval, timedelta(hours=1)), (by_cron, None), (given, timedelta(hours=30))):
        specs = [spec for made in source_assets(source, loaded) for spec in made.specs]
        policies = [spec.freshness_policy for spec in specs if spec.freshness_policy is not None]
        expected = [] if window is None else [dg.FreshnessPolicy.time_window(fail_window=window)]
        assert policies == expected, window
