"""A sensor a source, that notices changes soon after they are made."""

import dagster as dg

from ingest_assets.automation.jobs import REFRESH
from ingest_assets.automation.reasons import active_run, not_configured
from ingest_assets.catalog import CATALOG
from ingest_assets.model import IngestError, SourceUnavailableError
from ingest_assets.reconcile import is_settled
from ingest_assets.resources import Ingest
from ingest_assets.settings import Settings, load_settings
from ingest_assets.workbench import Workbench


def change_sensor(source: str, settings: Settings) -> dg.SensorDefinition:
    """Asks the source for its cheap signature; a changed one requests a refresh.

    The signature is the run's key, so that a change is asked for once. Should that run fail, the
    schedule tries again: a source that breaks every run must not be tried every few seconds.
    """

    @dg.sensor(
        name=f"{source}_change_sensor",
        job_name=REFRESH,
        minimum_interval_seconds=settings.crm_sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes soon after the source has changed. An untouched source costs a look at "
        "its files' headers.",
    )
    def source_change_sensor(
        context: dg.SensorEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | dg.RunRequest:
        reason = not_configured(ingest)
        if reason:
            return dg.SkipReason(f"SKIPPED: {reason}.")
        try:
            changed = _changed(ingest, source)
        except IngestError as error:
            return dg.SkipReason(f"SKIPPED: {error}")
        if changed is None:
            return dg.SkipReason(f"SKIPPED: {source} has not changed since the last refresh.")
        reason = active_run(context.instance)
        if reason:
            return dg.SkipReason(f"SKIPPED: {source} has changed, but {reason}.")
        context.log.info(f"STARTED: {source} has changed.")
        return dg.RunRequest(run_key=changed, tags={"ingest/started_by": "sensor"})

    return source_change_sensor


def _changed(ingest: Ingest, source: str) -> str | None:
    """What the source looks like now, if it is not what the index was made from."""
    with Workbench(load_settings(**ingest.overrides)) as bench:
        stage = bench.stage(source, CATALOG[source].documents)
        with bench.ledger.reading() as connection:
            looks = stage.looks_at(connection)
            if looks is None:
                raise SourceUnavailableError(
                    f"{source} cannot be looked at now (is it there, and readable?). The next scheduled "
                    "refresh tries to read it, and says what is wrong."
                )
            return None if is_settled(connection, stage, looks) else looks
