"""Running a job through Dagster, in this process, on the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from ingest_assets.automation.instance import open_instance
from ingest_assets.automation.orphans import process_tags, settle_orphans
from ingest_assets.checks.collection import PARKED
from ingest_assets.definitions import build_defs
from ingest_assets.reconcile import observer
from ingest_assets.settings import Settings
from ingest_assets.workbench import SOURCES, STAGES

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


def run_job(
    settings: Settings,
    job: str,
    *,
    sources: Sequence[str],
    rebuild: bool = False,
    retry_parked: bool = False,
    show_progress: bool = False,
    overrides: dict[str, Any] | None = None,
) -> RunReport:
    """Run a job for some sources, and wait for it. The run is recorded on the instance.

    The run reads its settings from the environment; `overrides` replaces single ones.
    """
    config = {"rebuild": rebuild, "retry_parked": retry_parked}
    run_config = {
        "ops": {f"{source}__{stage}": {"config": config} for source in sources for stage in STAGES},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    definition = build_defs(overrides).resolve_job_def(job)
    with open_instance(settings) as instance, _progress(show_progress):
        settle_orphans(instance)
        result = definition.execute_in_process(
            instance=instance,
            run_config=run_config,
            raise_on_error=False,
            # Noted from the start: a run that is killed before its first step is settled too.
            tags={"ingest/started_by": "command line", **process_tags()},
            asset_selection=_selection(sources),
        )
        return _report(result)


def _selection(sources: Sequence[str]) -> list[dg.AssetKey] | None:
    """The assets of some sources; None, which leaves the job as it is, for all."""
    if set(sources) == set(SOURCES):
        return None
    return [dg.AssetKey([source, stage]) for source in sources for stage in STAGES]


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
