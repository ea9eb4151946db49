"""The root that Dagster loads. Nothing connects, computes or reads the environment when this is imported."""

from __future__ import annotations

from typing import Any

import dagster as dg

from ingest_assets.assets import source_assets
from ingest_assets.automation.indexing_jobs import jobs_sensor
from ingest_assets.automation.jobs import jobs
from ingest_assets.automation.repositories import heads_sensor, repositories_schedule
from ingest_assets.automation.schedules import audit_schedule, refresh_schedule
from ingest_assets.automation.sensors import change_sensor
from ingest_assets.catalog import CRM, SOURCES
from ingest_assets.checks import source_checks
from ingest_assets.resources import Ingest
from ingest_assets.settings import load_settings


def build_defs(overrides: dict[str, Any] | None = None) -> dg.Definitions:
    """Everything, for production and, with settings replaced by `overrides`, for tests."""
    overrides = overrides or {}
    settings = load_settings(**overrides)
    return dg.Definitions(
        assets=[asset for source in SOURCES for asset in source_assets(source)],
        asset_checks=[check for source in SOURCES for check in source_checks(source)],
        jobs=jobs(),
        schedules=[refresh_schedule(settings), repositories_schedule(settings), audit_schedule()],
        sensors=[change_sensor(CRM.name, settings), heads_sensor(settings), jobs_sensor()],
        resources={"ingest": Ingest(overrides=overrides)},
        # Steps of a small graph in one process: a spawned step costs more than most refreshes.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster` and `dg` load."""
    return build_defs()
