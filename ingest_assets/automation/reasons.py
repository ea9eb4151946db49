"""Why a tick may have to be skipped."""

from __future__ import annotations

import dagster as dg

from ingest_assets.automation.jobs import BUILD, INDEX, REFRESH
from ingest_assets.automation.orphans import settle_orphans
from ingest_assets.model import IngestError
from ingest_assets.resources import Ingest
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def not_configured(ingest: Ingest) -> str | None:
    """What is missing for a refresh to make sense."""
    try:
        with Workbench(load_settings(**ingest.overrides)) as bench:
            return None if bench.has_crm else "CRM_DB_PATH is not set"
    except IngestError as error:
        return str(error).removesuffix(".")


def busy_partitions(instance: dg.DagsterInstance) -> set[str]:
    """The repositories that have a run. Runs whose process is gone are settled first."""
    settle_orphans(instance)
    runs = instance.get_runs(dg.RunsFilter(job_name=INDEX, statuses=_ACTIVE))
    return {run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags}


def active_run(instance: dg.DagsterInstance) -> str | None:
    """The run that a new one would have to wait for. Runs whose process is gone are settled first."""
    settle_orphans(instance)
    for job in (BUILD, REFRESH):
        runs = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_ACTIVE), limit=1)
        if runs:
            return f"run {runs[0].dagster_run.run_id[:8]} of {job} is still at work"
    return None
