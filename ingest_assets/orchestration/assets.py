"""One lineage graph per source, all of the same shape."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import dagster as dg

from ingest_assets.jobs.rows import Job
from ingest_assets.jobs.work import NoJob, Working, working_for
from ingest_assets.jobs.workers import Wait, add_result
from ingest_assets.orchestration.build_updates import announce, live_generation
from ingest_assets.orchestration.checks import report_held
from ingest_assets.orchestration.metadata import as_metadata, outcome_metadata, store_metadata
from ingest_assets.orchestration.partitions import partitions_of
from ingest_assets.orchestration.quotes import quoting_as
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.reconcile import observer, reconcile
from ingest_assets.settings import Settings
from ingest_assets.sources.definition import SourceDefinition, StageDefinition
from ingest_assets.sources.stages import shared_stages
from ingest_assets.stages.checks import failed_searches
from ingest_assets.stages.removals import RemovalsHeldError
from ingest_assets.stages.shapes import COLLECTION
from ingest_assets.tracing import span
from ingest_assets.workbench import Workbench

Reports = Working | NoJob
OWNERS = ["team:data-platform"]
JOB_TAG = "ingest/job_id"  # on the runs of a background job: its id
ALLOW_TAG = "ingest/allow_removals"  # "true" on a run that may remove however much is gone
PROGRESS_EVERY_S = 5
# A source is stale when this many refreshes in a row did not complete.
MISSED_REFRESHES = 3


class ReconcileConfig(dg.Config):
    """How a stage runs. By default it works off the difference, which is nearly always right."""

    rebuild: bool = False
    """Look at everything again, whatever is recorded as done. Safe at any time: the result is the same,
    vectors of known texts are not made again, and search answers from the old index until the new one
    is complete. For the collection: build a new generation beside the live one, then switch."""

    retrain: bool = False
    """For the match models: train them again. Other models may give other entities."""

    allow_removals: bool = False
    """Remove what is gone, however much that is. Without it, a run that would remove more than the settings
    INGEST_REMOVAL_GUARD_… let go is stopped. The tag ingest/allow_removals: true says the same of all
    stages of a run."""

    retry_parked: bool = False
    """Try parked items once more, though neither they nor the pipeline changed."""


def source_assets(source: SourceDefinition, settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets of one source, keyed [source, stage]."""
    return [_asset(source, stage, settings) for stage in (*source.stages, *shared_stages(source))]


def _asset(source: SourceDefinition, stage: StageDefinition, settings: Settings) -> dg.AssetsDefinition:
    reads = stage.name == source.documents

    @dg.asset(
        key=[source.name, stage.name],
        deps=[[source.name, dep] for dep in stage.deps],
        description=stage.description,
        group_name=source.name,
        kinds=set(stage.kinds),
        owners=OWNERS,
        code_version=stage.code_version,
        partitions_def=partitions_of(source) if stage.in_parts else None,
        freshness_policy=_freshness(source, settings) if stage.name == COLLECTION else None,
        # One slot: two refreshes of a source never run at the same time but wait in the queue. Parts are
        # prepared in parallel; for the rest, their runs wait for each other (`Ingest.hold`).
        pool=None if source.partitions else source.name,
    )
    def stage_asset(
        context: dg.AssetExecutionContext, config: ReconcileConfig, ingest: Ingest
    ) -> dg.MaterializeResult[None]:
        part = context.partition_key if stage.in_parts else ""
        with (
            ingest.open_unlocked() as bench,
            quoting_as(source),
            _for_job(context, bench, source, stage) as (job, work),
        ):
            if part:
                _prepare(ingest, bench, source, part, job, work)
            _hold(ingest, bench, source, "", job, work)
            if reads and not part and job is not None:
                _prepare_job(bench, source, job, work)
            run = replace(
                bench.run(
                    rebuild=config.rebuild,
                    retry_parked=config.retry_parked,
                    allow_removals=config.allow_removals or context.run.tags.get(ALLOW_TAG) == "true",
                ),
                again=work.again,
                progress=_Progress(context, work),
                read=work.read,
                reached=work.reached,
                worked=work.worked,
                # A build embeds more than the preloading process is meant for.
                begins=bench.preloader.start if reads and not config.rebuild else _nothing,
            )
            started = time.perf_counter()
            made = bench.stage(source.name, stage.name, part=part, retrain=config.retrain)
            generation = live_generation(bench, source) if stage.name == COLLECTION else None
            try:
                with span("stage", source=source.name, stage=stage.name, rebuild=config.rebuild) as one:
                    outcomes = reconcile(made, bench.ledger, run)
                    if one is not None:
                        one.set_attributes({"moved": outcomes.moved, "parked": outcomes.parked})
            except RemovalsHeldError:
                report_held(context.instance, source, bench)
                raise
            seconds = time.perf_counter() - started
            if job is not None and source.jobs is not None:
                add_result(bench.ledger, job.id, source.jobs.found(bench, job, made))
            metadata = outcome_metadata(outcomes, seconds)
            # Pictures take time, and when nothing moved there is nothing new to see.
            if stage.metadata is not None and (outcomes.moved or stage.in_parts):
                metadata |= as_metadata(stage.metadata(bench, made, outcomes))
            if outcomes.parked:
                context.log.warning(
                    f"{outcomes.parked} items are parked: they are missing from the index, or out of date "
                    f"there. `ingest parked` lists them."
                )
            if stage.name == COLLECTION:
                metadata |= store_metadata(bench, source)
                source.settle(bench)
                announce(bench, source, generation, outcomes)
            with bench.ledger.reading() as connection:
                content = made.content(connection)
            return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(content))

    return stage_asset


def _freshness(source: SourceDefinition, settings: Settings) -> dg.FreshnessPolicy | None:
    if source.freshness is not None:
        window = source.freshness(settings)
    elif source.triggers.cron is not None:
        return None  # a cron expression does not say how late is too late
    else:
        window = timedelta(minutes=MISSED_REFRESHES * source.triggers.interval_min(settings))
    return dg.FreshnessPolicy.time_window(fail_window=window)


@contextmanager
def _for_job(
    context: dg.AssetExecutionContext, bench: Workbench, source: SourceDefinition, stage: StageDefinition
) -> Iterator[tuple[Job | None, Reports]]:
    """The background job that the run works for, if any, and the function to report progress to."""
    job_id = context.run.tags.get(JOB_TAG)
    if job_id is None or source.jobs is None:
        yield None, NoJob()
        return
    failed = partial(failed_searches, source, bench)
    with working_for(bench, source.name, job_id, context.run.run_id, stage.name, failed) as (job, work):
        yield job, work


def _prepare(
    ingest: Ingest, bench: Workbench, source: SourceDefinition, part: str, job: Job | None, work: Reports
) -> None:
    """Bring the data of a part up to date. Another run on the same part must not change it meanwhile."""
    partitions = source.partitions
    assert partitions is not None
    _hold(ingest, bench, source, part, job, work)
    if job is not None:
        _prepare_job(bench, source, job, work)
    else:
        partitions.prepare(bench, part, _nothing)


def _prepare_job(bench: Workbench, source: SourceDefinition, job: Job, work: Reports) -> None:
    """Bring what a job asks for up to date."""
    assert source.jobs is not None
    what = f"the {source.partitions.noun}" if source.partitions else job.repo_name
    found = source.jobs.prepare(bench, job, lambda: work(0, f"Fetching {what}."))
    add_result(bench.ledger, job.id, found or {})
    work.begun()


def _hold(
    ingest: Ingest, bench: Workbench, source: SourceDefinition, part: str, job: Job | None, work: Reports
) -> None:
    """Wait for other runs: for a job, until it is cancelled. Its time limit is for its work alone."""
    if job is None:
        ingest.hold(source.name, part)
        return
    wait = Wait(bench.ledger, job.id)

    def check() -> None:
        wait.begin()
        work(0, f"Waiting for another run on {part or source.name}.")

    try:
        ingest.hold(source.name, part, wait_s=math.inf, check=check)
    finally:
        wait.end()


def _nothing() -> None:
    """Do nothing."""


class _Progress:
    """Logs a line every few seconds, not one per batch: an event costs Dagster about 10 ms."""

    def __init__(self, context: dg.AssetExecutionContext, work: Reports) -> None:
        self._context, self._moved, self._next = context, work, time.monotonic() + PROGRESS_EVERY_S
        self._observer: Callable[[str, int], None] | None = observer.get()

    def __call__(self, moved: int) -> None:
        self._moved(moved)
        if self._observer is not None:
            self._observer("/".join(self._context.asset_key.path), moved)
        if time.monotonic() >= self._next:
            self._context.log.info(f"{moved:,} items so far")
            self._next = time.monotonic() + PROGRESS_EVERY_S
