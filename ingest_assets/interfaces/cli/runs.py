"""Run jobs through Dagster, in this process, on the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from dagster._core.utils import make_new_run_id

from ingest_assets.definitions import run_defs
from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets.orchestration.indexing_jobs import request_for
from ingest_assets.orchestration.instance import open_instance
from ingest_assets.orchestration.orphaned_runs import fail_orphaned_runs, process_tags
from ingest_assets.orchestration.partitions import sync_partitions
from ingest_assets.orchestration.run_records import recorded, records_kept_open
from ingest_assets.reconcile import observer
from ingest_assets.settings import Settings
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.parts import forget_emptied
from ingest_assets.stages.checks import PARKED
from ingest_assets.terminal import console_of, escape
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.jobs.rows import JobRow

COUNTS = ("added", "changed", "unchanged", "removed", "parked", "seconds")


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did: counts by asset, checks by name, and what went wrong."""

    run_id: str
    success: bool
    assets: dict[str, dict[str, Any]]
    checks: dict[str, dict[str, Any]]
    errors: list[str]

    @property
    def parked(self) -> int:
        return sum(counts["parked"] for counts in self.assets.values())

    @property
    def failed_checks(self) -> list[str]:
        """The names of failed checks, except for warnings and for the check that nothing is parked."""
        failed = [name for name, check in self.checks.items() if not (check["passed"] or check["warning"])]
        return [name for name in failed if not name.endswith(f"/{PARKED}")]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self) | {"parked": self.parked}


@dataclass(frozen=True, slots=True)
class Asked:
    """What people ask of a run, of all stages: see `ReconcileConfig`."""

    rebuild: bool = False
    retry_parked: bool = False
    allow_removals: bool = False
    retrain: bool = False


class Runs:
    """Runs of some sources in this process, one after the other. What all share is opened by the first one.

    They are recorded on the instance. They read their settings from the environment; `overrides` replaces
    individual ones.
    """

    def __init__(
        self, settings: Settings, sources: Sequence[str], overrides: dict[str, Any] | None = None
    ) -> None:
        self._settings, self._sources, self._overrides = settings, sources, overrides
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        self._opened.close()

    @cached_property
    def _definitions(self) -> dg.Definitions:
        return run_defs(self._sources, self._overrides)

    @cached_property
    def _instance(self) -> dg.DagsterInstance:
        return self._opened.enter_context(open_instance(self._settings))

    def run(
        self, *, part: str | None = None, asked: Asked = Asked(), show_progress: bool = False
    ) -> RunReport:
        """Refresh or rebuild the sources, and wait. Each takes one run, or one run for each of its parts."""
        with Workbench(self._settings) as bench, _progress(show_progress):
            for name in bench.sources.keys() & set(self._sources):
                bench.sources[name].start_ahead(bench)
            fail_orphaned_runs(self._instance)
            reports: list[RunReport] = []
            for name in self._sources:
                try:
                    # One that cannot be used may have been left out since it was asked for.
                    reports += self._run_source(bench, bench.sources[name], part, asked)
                except IngestError as error:
                    if len(self._sources) == 1:
                        raise
                    # The other sources are brought up to date nevertheless.
                    reports.append(RunReport("", False, {}, {}, [f"{name}: {error}"]))
        return _combined(reports)

    def _run_source(
        self, bench: Workbench, source: SourceDefinition, part: str | None, asked: Asked
    ) -> list[RunReport]:
        if source.partitions is None:
            return [self._run_once(source.build_job if asked.rebuild else source.refresh_job, source, asked)]
        keys = _parts(bench, self._instance, source, part)
        done = [self._run_once(source.refresh_job, source, asked, key) for key in keys]
        forget_emptied(bench, source)
        sync_partitions(self._instance, bench, source)
        return done

    def _run_once(
        self, job: str, source: SourceDefinition, asked: Asked, partition: str | None = None
    ) -> RunReport:
        result = _execute(
            self._definitions,
            self._instance,
            job,
            run_config=_run_config(source, asked),
            tags={"ingest/started_by": "command line"},
            partition_key=partition,
        )
        return _report(result)


def run_sources(
    settings: Settings,
    *,
    sources: Sequence[str],
    part: str | None = None,
    asked: Asked = Asked(),
    show_progress: bool = False,
    overrides: dict[str, Any] | None = None,
) -> RunReport:
    """Refresh or rebuild sources once, and wait. See `Runs`."""
    with Runs(settings, sources, overrides) as runs:
        return runs.run(part=part, asked=asked, show_progress=show_progress)


def run_job(settings: Settings, job_id: str) -> JobRow:
    """Run a pending background job, and wait. Returns how it ended: a run may get through without success.

    It has not ended if that could not be recorded. Raises JobStateError if it is not pending.
    """
    from ingest_assets.jobs.errors import JobStateError
    from ingest_assets.jobs.queue import status_of
    from ingest_assets.jobs.rows import checked_id, job_of, require

    with open_instance(settings) as instance, Workbench(settings) as bench:
        with bench.ledger.reading() as connection:
            row = require(connection, checked_id(job_id))
        if row.status != "pending":
            raise JobStateError(f"The job is {row.status}: start a new one.")
        job = job_of(row)
        source = bench.sources[job.source]
        if source.partitions is not None:
            sync_partitions(instance, bench, source)
        request = request_for(bench, job)
        _execute(
            run_defs([source.name]),
            instance,
            source.refresh_job,
            run_config={**_quiet(), **request.run_config},
            tags=request.tags,
            partition_key=request.partition_key,
        )
        return status_of(bench.ledger, job.id)


def _execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    *,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
    partition_key: str | None,
) -> dg.ExecuteInProcessResult:
    run_id = make_new_run_id()
    with recorded(instance), records_kept_open(instance, run_id):
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_id=run_id,
            run_config=run_config,
            raise_on_error=False,
            # Set from the start, so that a run killed before its first step is marked as failed too.
            tags={**tags, **process_tags()},
            partition_key=partition_key,
        )


def _run_config(source: SourceDefinition, asked: Asked) -> dict[str, Any]:
    config = asdict(asked)
    return {
        "ops": {f"{source.name}__{stage}": {"config": config} for stage in source.stage_names},
        **_quiet(),
    }


def _quiet() -> dict[str, Any]:
    return {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _parts(
    bench: Workbench, instance: dg.DagsterInstance, source: SourceDefinition, asked: str | None
) -> list[str]:
    """The parts to run: the one that was asked for, or all."""
    known = sync_partitions(instance, bench, source)
    if asked is not None and asked not in known:
        raise ConfigurationError(f"There is no part {asked!r} of {source.name}.")
    return known if asked is None else [asked]


def _combined(reports: Sequence[RunReport]) -> RunReport:
    """One report of several runs: counts of an asset are added up, and the last result of a check counts."""
    if not reports:
        return RunReport("", True, {}, {}, [])
    assets: dict[str, dict[str, Any]] = {}
    for report in reports:
        for asset, counts in report.assets.items():
            earlier = assets.setdefault(asset, dict.fromkeys(COUNTS, 0))
            assets[asset] = {name: round(earlier[name] + counts[name], 3) for name in COUNTS}
    return RunReport(
        run_id=reports[-1].run_id,
        success=all(report.success for report in reports),
        assets=assets,
        checks={name: check for report in reports for name, check in report.checks.items()},
        errors=[error for report in reports for error in report.errors],
    )


@contextmanager
def _progress(show: bool) -> Iterator[None]:
    """Show a line for each asset on the terminal, which counts its processed items."""
    if not show:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} items"))
    with Progress(*columns, TimeElapsedColumn(), console=console_of(errors=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def moved(asset: str, count: int) -> None:
            if asset not in tasks:
                tasks[asset] = bar.add_task(escape(asset), total=None)
            bar.update(tasks[asset], completed=count)

        token = observer.set(moved)
        try:
            yield
        finally:
            observer.reset(token)


def _report(result: dg.ExecuteInProcessResult) -> RunReport:
    assets = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        assets["/".join(event.materialization.asset_key.path)] = {
            name: metadata[name].value for name in COUNTS
        }
    checks = {
        "/".join([*e.asset_key.path, e.check_name]): {
            "passed": e.passed,
            "warning": e.severity == dg.AssetCheckSeverity.WARN,
            "description": e.description,
        }
        for e in result.get_asset_check_evaluations()
    }
    return RunReport(result.run_id, result.success, assets, checks, list(_errors(result)))


def _errors(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        failure = data.user_failure_data
        if failure is not None and failure.description:
            yield f"{event.step_key}: {failure.description}"
        elif data.error is not None:
            cause = data.error.cause or data.error
            yield f"{event.step_key}: {cause.message.strip()}"
