"""Why a tick may have to be skipped."""

from __future__ import annotations

import dagster as dg

from ingest_assets.model import IngestError
from ingest_assets.orchestration.orphaned_runs import fail_orphaned_runs
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.redaction import redact
from ingest_assets.sources.definition import SourceDefinition

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def skipped(reason: str) -> str:
    """What a tick that is skipped says: one sentence without secrets."""
    return redact(f"SKIPPED: {reason.removesuffix('.')}.")


def not_configured(ingest: Ingest, source: SourceDefinition) -> str | None:
    """What is missing for a refresh of a source to make sense."""
    try:
        with ingest.new_bench() as bench:
            missing = bench.missing(source.name)
    except IngestError as error:
        return str(error)
    return None if missing is None else missing.reason


def busy_partitions(instance: dg.DagsterInstance, source: SourceDefinition) -> set[str]:
    """The parts of a source that have a run. Orphaned runs are marked as failed first."""
    fail_orphaned_runs(instance)
    runs = instance.get_runs(dg.RunsFilter(job_name=source.refresh_job, statuses=_ACTIVE))
    return {run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags}


def active_run(instance: dg.DagsterInstance, *sources: SourceDefinition) -> str | None:
    """The run that a new one would have to wait for. Orphaned runs are marked as failed first."""
    fail_orphaned_runs(instance)
    for job in (job for source in sources for job in (source.build_job, source.refresh_job) if job):
        runs = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_ACTIVE), limit=1)
        if runs:
            return f"run {runs[0].dagster_run.run_id[:8]} of {job} is still at work"
    return None
