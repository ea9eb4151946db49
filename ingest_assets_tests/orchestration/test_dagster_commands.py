"""`dagster` and `dg` as a user types them, in a folder with the repository's top-level files."""

import os
import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest

from ingest_assets_tests.support.built_index import ROOT, Home, Said, run_command

BIN = Path(sys.executable).parent
MODULE = ["-m", "ingest_assets.definitions"]


@pytest.fixture
def project(empty: Home) -> Home:
    """The repository's top level: its files, and its package where the files expect it."""
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, empty.path)
    (empty.path / "ingest_assets").symlink_to(ROOT / "ingest_assets", target_is_directory=True)
    return empty.with_settings(dagster_home=str(empty.path))


def typed(home: Home, *arguments: str) -> Said:
    # As in a terminal where the environment is active.
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(BIN.parent)}
    said = run_command([str(BIN / arguments[0]), *arguments[1:]], home, env=path)
    assert said.status == 0, said.everything
    assert not list(home.user.rglob("*telemetry*"))
    return said


def runs(home: Home) -> list[tuple[str, bool]]:
    with dg.DagsterInstance.from_config(str(home.path)) as instance:
        return [(run.job_name, run.is_success) for run in instance.get_runs()]


def materialized(home: Home) -> set[str]:
    with dg.DagsterInstance.from_config(str(home.path)) as instance:
        return {"/".join(key.path) for key in instance.get_asset_keys() if instance.has_asset_key(key)}


def test_dagster_definitions_validate(project: Home) -> None:
    assert (
        "Validation successful for code location ingest_assets"
        in typed(project, "dagster", "definitions", "validate").everything
    )


def test_wrong_settings_are_a_line_ahead_of_dagsters_traceback(project: Home) -> None:
    """In the log of a code server there is nothing else."""
    wrong = project.with_settings(ingest_chunk_size="large")
    said = run_command([str(BIN / "dagster"), "definitions", "validate", *MODULE], wrong)
    assert said.status != 0
    told, _, _ = said.everything.partition("Traceback")
    assert "INGEST_CHUNK_SIZE='large': input should be a valid integer" in told


def test_dagster_job_execute(project: Home) -> None:
    typed(project, "dagster", "job", "execute", *MODULE, "-j", "refresh_search_index")
    assert runs(project) == [("refresh_search_index", True)]
    assert "crm/collection" in materialized(project)


def test_dagster_asset_materialize(project: Home) -> None:
    typed(project, "dagster", "asset", "materialize", *MODULE, "--select", "crm/records")
    assert [success for _, success in runs(project)] == [True]
    assert materialized(project) == {"crm/records"}


def test_dg_check_defs(project: Home) -> None:
    assert "All definitions loaded successfully" in typed(project, "dg", "check", "defs").everything


def test_dg_launch(project: Home) -> None:
    typed(project, "dg", "launch", "--assets", "key:crm/records")
    assert [success for _, success in runs(project)] == [True]
    assert materialized(project) == {"crm/records"}
