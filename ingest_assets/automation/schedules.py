"""The hands-off refresh, every so many minutes, and the nightly audit."""

import math
from datetime import datetime

import dagster as dg

from ingest_assets.automation.jobs import AUDIT, REFRESH
from ingest_assets.automation.reasons import active_run, not_configured
from ingest_assets.resources import Ingest
from ingest_assets.settings import Settings

MINUTES_AN_HOUR, HOURS_A_DAY = 60, 24


def refresh_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Every CRM_INGEST_SYNC_INTERVAL_MIN minutes, counted from 1970 so that all machines agree.

    Cron cannot say "every 45 minutes": the schedule ticks at the largest step that divides both the
    interval and the hour (or the day), and skips the ticks between.
    """
    interval = settings.crm_ingest_sync_interval_min

    @dg.schedule(
        name="refresh_search_index_schedule",
        job_name=REFRESH,
        cron_schedule=cron(interval),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refresh every {interval} minutes (CRM_INGEST_SYNC_INTERVAL_MIN). Skips, and says why, "
        "when the CRM is not configured or another run is at work.",
    )
    def refresh_search_index_schedule(
        context: dg.ScheduleEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | dg.RunRequest:
        due = is_due(context.scheduled_execution_time, interval)
        reason = None if due else f"between two refreshes, which are {interval} minutes apart"
        reason = reason or not_configured(ingest) or active_run(context.instance)
        if reason:
            return dg.SkipReason(f"SKIPPED: {reason}.")
        context.log.info(f"STARTED: the refresh of every {interval} minutes.")
        return dg.RunRequest(tags={"ingest/started_by": "schedule"})

    return refresh_search_index_schedule


def is_due(at: datetime, interval_min: int) -> bool:
    """Whether a refresh is due in this minute, and not only the schedule's tick."""
    return int(at.timestamp() // 60) % interval_min == 0


def cron(interval_min: int) -> str:
    """The fewest ticks among which are all those that are due."""
    minute = _every(math.gcd(interval_min, MINUTES_AN_HOUR), MINUTES_AN_HOUR)
    if interval_min % MINUTES_AN_HOUR:
        return f"{minute} * * * *"
    hour = _every(math.gcd(interval_min // MINUTES_AN_HOUR, HOURS_A_DAY), HOURS_A_DAY)
    return f"{minute} {hour} * * *"


def _every(step: int, whole: int) -> str:
    return "*" if step == 1 else "0" if step == whole else f"*/{step}"


def audit_schedule() -> dg.ScheduleDefinition:
    """Every night: a refresh proves that it is complete, an audit that nobody else changed the index."""

    @dg.schedule(
        name="audit_search_index_schedule",
        job_name=AUDIT,
        cron_schedule="30 3 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Audit every night. Skips, and says why, when the CRM is not configured or a run is on.",
    )
    def audit_search_index_schedule(
        context: dg.ScheduleEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | dg.RunRequest:
        reason = not_configured(ingest) or active_run(context.instance)
        if reason:
            return dg.SkipReason(f"SKIPPED: {reason}.")
        return dg.RunRequest(tags={"ingest/started_by": "schedule"})

    return audit_search_index_schedule
