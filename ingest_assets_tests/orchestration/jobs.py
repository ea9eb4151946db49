"""Running jobs and single assets in this process, on a real instance, and reading what they recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import sqlalchemy as sa

from ingest_assets.definitions import build_defs
from ingest_assets.ledger import tables
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets_tests.support.built_index import Home

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
COUNTS = ("added", "changed", "unchanged", "removed", "parked")


def key_of(asset: str) -> dg.AssetKey:
    return dg.AssetKey(["crm", asset])


def run(
    home: Home,
    instance: dg.DagsterInstance,
    job: str,
    config: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """A job, as the UI's launchpad runs it. Raises nothing when a step fails."""
    definition = build_defs(home.overrides).resolve_job_def(job)
    ops = {"ops": {f"crm__{stage}": {"config": dict(config)} for stage in CRM.stage_names}} if config else {}
    return definition.execute_in_process(
        instance=instance, run_config=_base(definition) | QUIET | ops, raise_on_error=False
    )


def materialize(
    home: Home, instance: dg.DagsterInstance, asset: str, **config: bool
) -> dg.ExecuteInProcessResult:
    """One asset alone, as Materialize on its node in the UI does; its checks run with it."""
    definition = build_defs(home.overrides).resolve_implicit_global_asset_job_def()
    ops = {"ops": {f"crm__{asset}": {"config": config}}} if config else {}
    return definition.execute_in_process(
        instance=instance, run_config=QUIET | ops, raise_on_error=False, asset_selection=[key_of(asset)]
    )


def _base(definition: dg.JobDefinition) -> dict[str, Any]:
    return dict(definition.run_config or {})


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Asset name to what an operator reads about its materialization."""
    return {
        event.materialization.asset_key.path[-1]: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def counts_of(result: dg.ExecuteInProcessResult) -> dict[str, tuple[int, ...]]:
    """Asset name to added, changed, unchanged, removed, parked."""
    return {asset: tuple(m[name] for name in COUNTS) for asset, m in metadata_of(result).items()}


def data_versions(instance: dg.DagsterInstance) -> dict[str, str]:
    """Asset name to the data version that the UI compares."""
    found = {}
    for stage in CRM.stage_names:
        event = instance.get_latest_materialization_event(key_of(stage))
        assert event is not None
        assert event.asset_materialization is not None
        found[stage] = (event.asset_materialization.tags or {})["dagster/data_version"]
    return found


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Check name to whether it passed, for the CRM."""
    found = result.get_asset_check_evaluations()
    return {e.check_name: e.passed for e in found if e.asset_key.path[0] == "crm"}


def failures_of(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step to the description of the dg.Failure that it ended in."""
    found = {}
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        assert data.user_failure_data is not None, data.error
        found[str(event.step_key)] = data.user_failure_data.description or ""
    return found


def rows(home: Home, table: sa.Table) -> int:
    """How many rows a table of the ledger has."""
    with home.bench() as bench, bench.ledger.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def table_sizes(home: Home) -> dict[str, int]:
    return {table.name: rows(home, table) for table in tables.metadata.sorted_tables}
