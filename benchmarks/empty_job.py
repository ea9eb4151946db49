"""A job of the refresh job's shape that does nothing: as many assets and checks, the same resource.

With `--tuned`, in a process whose garbage collector is tuned as that of `ingest` is. Of the source that is
named; by default the first one.
"""

import sys
from collections.abc import Iterator

import dagster as dg

from ingest_assets.garbage import collect_rarely
from ingest_assets.orchestration.assets import ReconcileConfig
from ingest_assets.orchestration.checks import quick_check_keys
from ingest_assets.orchestration.instance import open_instance
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.settings import load_settings
from ingest_assets.sources.registry import load_sources
from ingest_assets.sources.stages import shared_stages

NAMED = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
SOURCE = load_sources()[NAMED[0]] if NAMED else load_sources().first
CHECKED: dict[str, list[str]] = {}
for _key in quick_check_keys(SOURCE):
    CHECKED.setdefault(_key.asset_key.path[-1], []).append(_key.name)


def _asset(name: str, deps: list[str]) -> dg.AssetsDefinition:
    @dg.asset(key=["empty", name], deps=[["empty", dep] for dep in deps], pool="empty")
    def nothing(config: ReconcileConfig, ingest: Ingest) -> dg.MaterializeResult[None]:  # noqa: ARG001 - as the real one has them
        return dg.MaterializeResult(metadata={"added": 0}, data_version=dg.DataVersion("1"))

    return nothing


def _checks(asset: str) -> dg.AssetChecksDefinition:
    specs = [dg.AssetCheckSpec(name, asset=["empty", asset]) for name in CHECKED[asset]]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def checked(ingest: Ingest) -> Iterator[dg.AssetCheckResult]:  # noqa: ARG001 - as the real one has them
        for name in CHECKED[asset]:
            yield dg.AssetCheckResult(check_name=name, asset_key=["empty", asset], passed=True)

    return checked


def main() -> None:
    """Run it on the instance that `ingest` uses."""
    if "--tuned" in sys.argv:
        collect_rarely()
    definitions = dg.Definitions(
        assets=[_asset(spec.name, list(spec.deps)) for spec in (*SOURCE.stages, *shared_stages(SOURCE))],
        asset_checks=[_checks(asset) for asset in CHECKED],
        jobs=[dg.define_asset_job("empty", selection="*")],
        resources={"ingest": Ingest()},
        executor=dg.in_process_executor,
    )
    with open_instance(load_settings()) as instance:
        job = definitions.resolve_job_def("empty")
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if not job.execute_in_process(instance=instance, run_config=quiet).success:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
