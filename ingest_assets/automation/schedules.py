"""The hands-off refresh, every so many minutes."""

import math

import dagster as dg

from ingest_assets.automation.jobs import REFRESH
from ingest_assets.automation.reasons import active_run, not_configured
from ingest_assets.resources import Ingest
from ingest_assets.settings import Settings

MINUTES_AN_HOUR = 60


def refresh_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Every CRM_INGEST_SYNC_INTERVAL_MIN minutes, counted from 1970 so that all machines agree.

    Cron cannot say "every 45 minutes": the schedule ticks at the largest step that divides both the
    hour and the interval, and skips the ticks between.
    """
    interval = settings.crm_ingest_sync_interval_min
    step = math.gcd(interval, MINUTES_AN_HOUR)
    cron = "0 * * * *" if step == MINUTES_AN_HOUR else f"*/{step} * * * *"

    @dg.schedule(
        name="refresh_search_index_schedule",
        job_name=REFRESH,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refresh every {interval} minutes (CRM_INGEST_SYNC_INTERVAL_MIN). Skips, and says why, "
        "when the CRM is not configured or another run is at work.",
    )
    def refresh_search_index_schedule(
        context: dg.ScheduleEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | dg.RunRequest:
        due = int(context.scheduled_execution_time.timestamp() // 60) % interval == 0
        reason = None if due else f"between two refreshes, which are {interval} minutes apart"
        reason = reason or not_configured(ingest) or active_run(context.instance)
        if reason:
            return dg.SkipReason(f"SKIPPED: {reason}.")
        context.log.info(f"STARTED: the refresh of every {interval} minutes.")
        return dg.RunRequest(tags={"ingest/started_by": "schedule"})

    return refresh_search_index_schedule
