"""Turns background indexing jobs into runs.

What belongs here: the sensor that launches pending jobs, and ends jobs that nothing works on any longer.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import dagster as dg

from ingest_assets.jobs.missing import is_anything_parked
from ingest_assets.jobs.queue import ALLOW_REMOVALS, OWN_FOLDER
from ingest_assets.jobs.rows import Job
from ingest_assets.jobs.workers import end, end_orphans, forget_old, to_launch
from ingest_assets.model import IngestError
from ingest_assets.orchestration.assets import ALLOW_TAG, JOB_TAG
from ingest_assets.orchestration.orphaned_runs import fail_orphaned_runs
from ingest_assets.orchestration.partitions import sync_partitions
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.skip_reasons import skipped
from ingest_assets.queries.status import jobs_meant
from ingest_assets.redaction import raising_no_secrets
from ingest_assets.sources.registry import Sources
from ingest_assets.workbench import Workbench

# The daemon looks at sensors every 5 s. An interval of exactly that would be missed every other time.
EVERY_S = 4


def jobs_sensor(sources: Sources, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Turns each pending job into exactly one run: the job's id is the run's key."""

    @dg.sensor(
        name="indexing_jobs_sensor",
        jobs=[job for job in jobs if job.name in {source.refresh_job for source in sources.with_jobs()}],
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the indexing jobs that people and agents start, MAX_CONCURRENT_INDEXING_JOBS at a "
        "time; ends those whose run is gone or out of time, and deletes old ones.",
    )
    def indexing_jobs_sensor(
        context: dg.SensorEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | Sequence[dg.RunRequest]:
        with raising_no_secrets():
            try:
                with ingest.new_bench() as bench:
                    wanted = due_jobs(context.instance, bench).launch
                    if not wanted:
                        return dg.SkipReason(skipped("no indexing job is waiting"))
                    return [request_for(bench, job) for job in wanted]
            except IngestError as error:  # the ledger is away, or of a newer version: jobs wait in it
                return dg.SkipReason(skipped(str(error)))

    return indexing_jobs_sensor


class DueJobs(NamedTuple):
    """The jobs to launch now, and the ids of those that were ended: their workers must be, too."""

    launch: list[Job]
    ended: list[str]


def due_jobs(instance: dg.DagsterInstance, bench: Workbench) -> DueJobs:
    """End the jobs that nothing works on any longer, delete old ones, and say which may be launched."""
    ended = _end_orphans(instance, bench)
    forget_old(bench.ledger, bench.settings.job_status_retention_days)
    jobs = to_launch(bench.ledger, max_concurrent=bench.settings.max_concurrent_indexing_jobs)
    wanted = [job for job in jobs if _launchable(instance, bench, job)]
    for source in bench.sources.with_jobs():
        if source.partitions is not None:
            sync_partitions(instance, bench, source)
    return DueJobs(wanted, ended)


def _end_orphans(instance: dg.DagsterInstance, bench: Workbench) -> list[str]:
    fail_orphaned_runs(instance)

    def is_alive(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is not None and not run.is_finished

    timeout_s = bench.settings.indexing_job_timeout_seconds
    found = end_orphans(bench.ledger, is_alive, timeout_s=timeout_s)
    for ended in found:
        if ended.worker_task_id and is_alive(ended.worker_task_id):
            # If the server that started the run is gone, nobody can end it: it ends when it checks its job.
            with suppress(dg.DagsterError):
                instance.run_launcher.terminate(ended.worker_task_id)
    return [ended.job_id for ended in found]


def _launchable(instance: dg.DagsterInstance, bench: Workbench, job: Job) -> bool:
    """Whether to request a run for a job. A job that can no longer have one is ended."""
    runs = instance.get_runs(dg.RunsFilter(tags={JOB_TAG: job.id}), limit=1)
    if runs:
        if runs[0].is_finished:
            reason = f"Its run {runs[0].run_id} ended before it began the job: start it again."
            end(bench.ledger, job.id, "failed", reason)
        return False
    try:
        jobs = bench.sources[jobs_meant(bench, job.source)].jobs
        assert jobs is not None
        here = job.metadata.get(OWN_FOLDER) is True
        jobs.target_for(bench, job.repo_path, job.git_ref, here=here)  # is it still allowed?
    except IngestError as error:
        end(bench.ledger, job.id, "failed", error)
        return False
    return True


def request_for(bench: Workbench, job: Job) -> dg.RunRequest:
    """The run that works on a job."""
    source = bench.sources[job.source]
    assert source.jobs is not None
    scope = source.jobs.scope(bench, job)
    # Whoever asks again means that what failed is tried again.
    retry = scope is not None and is_anything_parked(bench, source.name, scope)
    rebuild = job.force_reindex and source.jobs.rebuilds
    # Of a source that says which documents are a job's, the later stages make these again (`work.again`). The
    # others look at everything, in their own stages.
    own = {stage.name for stage in (source.stages[:1] if scope is not None else source.stages)}
    ops = {
        f"{source.name}__{stage}": {"config": {"rebuild": rebuild and stage in own, "retry_parked": retry}}
        for stage in source.stage_names
    }
    allowed = {ALLOW_TAG: "true"} if job.metadata.get(ALLOW_REMOVALS) is True else {}
    return dg.RunRequest(
        run_key=job.id,
        job_name=source.refresh_job,
        partition_key=job.repository_id if source.partitions else None,
        run_config={"ops": ops} if rebuild or retry else {},
        tags={JOB_TAG: job.id, "ingest/started_by": "indexing job"} | allowed,
    )
