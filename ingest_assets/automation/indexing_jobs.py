"""Background indexing jobs become runs.

What belongs here: the tick that launches what is pending, and settles what nobody works on any more.
"""

from collections.abc import Sequence
from contextlib import suppress

import dagster as dg

from ingest_assets.assets.indexing import JOB_TAG
from ingest_assets.automation.jobs import INDEX
from ingest_assets.automation.orphans import settle_orphans as settle_runs
from ingest_assets.automation.partitions import sync_partitions
from ingest_assets.jobs.rows import Job
from ingest_assets.jobs.workers import forget_old, settle, settle_orphans, to_launch
from ingest_assets.model import IngestError
from ingest_assets.resources import Ingest
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

# The daemon looks at sensors every 5 s. An interval of just that would be missed every other time.
EVERY_S = 4


def jobs_sensor() -> dg.SensorDefinition:
    """Turns each pending job into exactly one run: the job's id is the run's key."""

    @dg.sensor(
        name="indexing_jobs_sensor",
        job_name=INDEX,
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the indexing jobs that people and agents start, MAX_CONCURRENT_INDEXING_JOBS at a "
        "time; settles those whose run is gone or out of time, and forgets old ones.",
    )
    def indexing_jobs_sensor(
        context: dg.SensorEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | Sequence[dg.RunRequest]:
        with Workbench(load_settings(**ingest.overrides)) as bench:
            _settle(context.instance, bench)
            forget_old(bench.ledger, bench.settings.job_status_retention_days)
            jobs = to_launch(bench.ledger, max_concurrent=bench.settings.max_concurrent_indexing_jobs)
            wanted = [job for job in jobs if _launchable(context.instance, bench, job)]
            sync_partitions(context.instance, bench)
        if not wanted:
            return dg.SkipReason("SKIPPED: no indexing job waits.")
        return [_request(job) for job in wanted]

    return indexing_jobs_sensor


def _settle(instance: dg.DagsterInstance, bench: Workbench) -> None:
    settle_runs(instance)

    def is_alive(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is not None and not run.is_finished

    timeout_s = bench.settings.indexing_job_timeout_seconds
    for settled in settle_orphans(bench.ledger, is_alive, timeout_s=timeout_s):
        if settled.worker_task_id and is_alive(settled.worker_task_id):
            # Where the server that started it is gone, nobody can end it: it does when it looks at its job.
            with suppress(dg.DagsterError):
                instance.run_launcher.terminate(settled.worker_task_id)


def _launchable(instance: dg.DagsterInstance, bench: Workbench, job: Job) -> bool:
    """Whether a run is to be asked for. A job that can have none any more is settled."""
    runs = instance.get_runs(dg.RunsFilter(tags={JOB_TAG: job.id}), limit=1)
    if runs:
        if runs[0].is_finished:
            reason = f"Its run {runs[0].run_id} ended before it began the job: start it again."
            settle(bench.ledger, job.id, "failed", reason)
        return False
    try:
        bench.repositories.checked(job.repo_path, job.git_ref)  # is it allowed still
    except IngestError as error:
        settle(bench.ledger, job.id, "failed", error)
        return False
    return True


def _request(job: Job) -> dg.RunRequest:
    again = {
        "ops": {f"repositories__{stage}": {"config": {"rebuild": True}} for stage in ("files", "chunks")}
    }
    return dg.RunRequest(
        run_key=job.id,
        partition_key=job.repository_id,
        run_config=again if job.force_reindex else {},
        tags={JOB_TAG: job.id, "ingest/started_by": "indexing job"},
    )
