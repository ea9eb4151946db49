"""Running a job through Dagster, in this process, on the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from ingest_assets.automation.instance import open_instance
from ingest_assets.automation.jobs import BUILD, INDEX, REFRESH
from ingest_assets.automation.orphans import process_tags, settle_orphans
from ingest_assets.automation.partitions import sync_partitions
from ingest_assets.catalog import CATALOG, CRM, REPOSITORIES
from ingest_assets.checks.collection import PARKED
from ingest_assets.definitions import build_defs
from ingest_assets.reconcile import observer
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

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
        """Names of the checks that failed, but for warnings and the one that says something is parked."""
        failed = [name for name, check in self.checks.items() if not (check["passed"] or check["warning"])]
        return [name for name in failed if not name.endswith(f"/{PARKED}")]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"parked": self.parked}


def run_sources(
    settings: Settings,
    *,
    sources: Sequence[str],
    repository: str | None = None,
    rebuild: bool = False,
    retry_parked: bool = False,
    show_progress: bool = False,
    overrides: dict[str, Any] | None = None,
) -> RunReport:
    """Refresh, or build, some sources, and wait: the CRM in one run, each repository in one of its own.

    Runs are recorded on the instance. They read their settings from the environment; `overrides` replaces
    single ones.
    """
    definitions = build_defs(overrides)
    config = {"rebuild": rebuild, "retry_parked": retry_parked}
    with open_instance(settings) as instance, _progress(show_progress):
        settle_orphans(instance)

        def run(job: str, source: str, partition: str | None = None) -> RunReport:
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                run_config=_run_config(source, config),
                raise_on_error=False,
                # Noted from the start: a run that is killed before its first step is settled too.
                tags={"ingest/started_by": "command line", **process_tags()},
                partition_key=partition,
            )
            return _report(result)

        reports = []
        if CRM.name in sources:
            reports.append(run(BUILD if rebuild else REFRESH, CRM.name))
        if REPOSITORIES.name in sources:
            reports += [
                run(INDEX, REPOSITORIES.name, key) for key in _partitions(settings, instance, repository)
            ]
            _forget_removed(settings, instance)
    return _together(reports)


def _run_config(source: str, config: dict[str, bool]) -> dict[str, Any]:
    return {
        "ops": {f"{source}__{stage}": {"config": config} for stage in CATALOG[source].stages},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def _partitions(settings: Settings, instance: dg.DagsterInstance, repository: str | None) -> list[str]:
    """The repositories to run, by their ids: the one asked for, or all."""
    with Workbench(settings) as bench:
        keys = sync_partitions(instance, bench)
        return keys if repository is None else [bench.repositories.get(repository).id]


def _forget_removed(settings: Settings, instance: dg.DagsterInstance) -> None:
    with Workbench(settings) as bench:
        bench.repositories.forget_emptied()
        sync_partitions(instance, bench)


def _together(reports: Sequence[RunReport]) -> RunReport:
    """One report of several runs: counts of the same asset add up, and of checks the last word counts."""
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
    """A line an asset on the terminal, counting what has moved."""
    if not show:
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} items"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def moved(asset: str, count: int) -> None:
            if asset not in tasks:
                tasks[asset] = bar.add_task(asset, total=None)
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
