"""The root that Dagster loads. Nothing connects, computes or reads the environment when this is imported."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import dagster as dg

from ingest_assets.model import IngestError
from ingest_assets.orchestration.assets import source_assets
from ingest_assets.orchestration.checks import source_checks
from ingest_assets.orchestration.embedding import embed_job
from ingest_assets.orchestration.indexing_jobs import jobs_sensor
from ingest_assets.orchestration.jobs import shared_jobs, source_jobs
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.schedules import audit_schedule, refresh_schedule
from ingest_assets.orchestration.sensors import change_sensor
from ingest_assets.process import begin_process
from ingest_assets.redaction import raising_no_secrets
from ingest_assets.settings import Settings, begin_logging, load_settings
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.doubtful import doubtful_settings
from ingest_assets.sources.registry import Sources, load_sources
from ingest_assets.terminal import complain

log = logging.getLogger(__name__)


class _ToRun(NamedTuple):
    """What runs of one source need."""

    assets: Sequence[Any]
    checks: Sequence[Any]
    jobs: Sequence[Any]


class _OfSource(NamedTuple):
    """What Dagster shows of one source."""

    assets: Sequence[Any]
    checks: Sequence[Any]
    jobs: Sequence[Any]
    schedule: Any
    sensor: Any


def build_defs(overrides: dict[str, Any] | None = None) -> dg.Definitions:
    """Everything, for production and, with settings replaced by `overrides`, for tests."""
    overrides = overrides or {}
    settings, sources = _settings_and_sources(overrides)
    made = sources.derive(lambda source: _of_source(source, settings))
    _tell_of_left_out(sources)
    jobs = [*(job for each in made for job in each.jobs), *shared_jobs(sources), embed_job(settings)]
    return dg.Definitions(
        assets=[asset for each in made for asset in each.assets],
        asset_checks=[check for each in made for check in each.checks],
        jobs=jobs,
        schedules=[*(each.schedule for each in made), audit_schedule(sources)],
        sensors=[
            *(each.sensor for each in made),
            *([jobs_sensor(sources, jobs)] if sources.with_jobs() else []),
        ],
        **_running(overrides),
    )


def run_defs(names: Collection[str], overrides: dict[str, Any] | None = None) -> dg.Definitions:
    """The jobs of these sources and what they run, for a process that runs them and starts none by itself.

    What another source would be in Dagster takes longer to make than many a refresh.
    """
    overrides = overrides or {}
    settings, sources = _settings_and_sources(overrides)

    def of_source(source: SourceDefinition) -> _ToRun | None:
        return _to_run(source, settings) if source.name in names else None

    made = [each for each in sources.derive(of_source) if each is not None]
    _tell_of_left_out(sources)
    return dg.Definitions(
        assets=[asset for each in made for asset in each.assets],
        asset_checks=[check for each in made for check in each.checks],
        jobs=[job for each in made for job in each.jobs],
        **_running(overrides),
    )


def _settings_and_sources(overrides: dict[str, Any]) -> tuple[Settings, Sources]:
    settings, sources = load_settings(**overrides), load_sources()
    sources.check_fields(settings)
    return settings, sources


def _tell_of_left_out(sources: Sources) -> None:
    for left_out in sources.left_out:
        log.warning("%s", left_out)


def _running(overrides: dict[str, Any]) -> dict[str, Any]:
    """How jobs run: all steps in one process, since a process per step costs more than most refreshes."""
    return {"resources": {"ingest": Ingest(overrides=overrides)}, "executor": dg.in_process_executor}


def _to_run(source: SourceDefinition, settings: Settings) -> _ToRun:
    return _ToRun(source_assets(source, settings), source_checks(source), source_jobs(source))


def _of_source(source: SourceDefinition, settings: Settings) -> _OfSource:
    return _OfSource(
        *_to_run(source, settings),
        schedule=refresh_schedule(source, settings),
        sensor=change_sensor(source, settings),
    )


@contextmanager
def _telling() -> Iterator[None]:
    """What is wrong with the settings as one line, ahead of the traceback in which Dagster shows it."""
    try:
        yield
    except IngestError as error:
        complain(f"ingest: {error}")
        raise


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster` and `dg` load. A process that does so also runs what is defined."""
    begin_process()
    with raising_no_secrets(), _telling():
        begin_logging()
        made = build_defs()
        for doubtful in doubtful_settings(load_sources()):
            log.warning("%s", doubtful)
        return made
