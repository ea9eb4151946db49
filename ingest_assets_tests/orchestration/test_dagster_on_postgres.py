"""Dagster's own storage on Postgres, as dagster.yaml has it: the libraries must agree on a driver."""

import json
from pathlib import Path

import dagster as dg

from ingest_assets.definitions import build_defs
from ingest_assets.sources.crm.sample import write_sample


def test_a_refresh_is_recorded_on_postgres(tmp_path: Path, postgres: str) -> None:
    storage = {"postgres": {"postgres_url": postgres}}
    config = {"telemetry": {"enabled": False}, "storage": storage}
    (tmp_path / "dagster.yaml").write_text(json.dumps(config), encoding="utf-8")
    write_sample(tmp_path / "crm.sqlite", documents=40, seed=1)
    overrides = {"ingest_home": str(tmp_path / "home"), "crm_db_path": str(tmp_path / "crm.sqlite")}
    job = build_defs(overrides).resolve_job_def("refresh_search_index")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        result = job.execute_in_process(instance=instance)
        assert result.success
        record = instance.get_run_record_by_id(result.run_id)
        assert record is not None
        assert record.dagster_run.status == dg.DagsterRunStatus.SUCCESS
