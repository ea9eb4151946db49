"""The scheduled refresh of each source, and the nightly audit of all."""

import math
from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets.orchestration.jobs import AUDIT
from ingest_assets.orchestration.partitions import sync_partitions
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.skip_reasons import active_run, busy_partitions, not_configured, skipped
from ingest_assets.redaction import raising_no_secrets
from ingest_assets.settings import Settings
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.registry import Sources

MINUTES_AN_HOUR, HOURS_A_DAY = 60, 24
STARTED_BY = {"ingest/started_by": "schedule"}


def refresh_schedule(source: SourceDefinition, settings: Settings) -> dg.ScheduleDefinition:
    """Refresh a source every so many minutes, counted from 1970 so that all machines agree.

    Cron cannot say "every 45 minutes": the schedule ticks at the largest step that divides both the
    interval and the hour (or the day), and skips the ticks between. A source may give a cron expression
    instead.
    """
    triggers = source.triggers
    given = triggers.cron(settings) if triggers.cron else None
    interval = triggers.interval_min(settings)
    if interval < 1:
        raise ConfigurationError(f"its interval is {interval} minutes, and must be at least one")
    when = f"by the cron schedule {given}" if given else f"every {interval} minutes"

    @dg.schedule(
        name=source.schedule_name,
        job_name=source.refresh_job,
        cron_schedule=given or cron(interval),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refresh {source.title} {when}. Skips, and says why, when there is nothing to refresh "
        "or another run is at work.",
    )
    def source_schedule(
        context: dg.ScheduleEvaluationContext, ingest: Ingest
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        with raising_no_secrets():
            if not given and not is_due(context.scheduled_execution_time, interval):
                yield dg.SkipReason(skipped(f"between two refreshes, which are {interval} minutes apart"))
            elif reason := not_configured(ingest, source):
                yield dg.SkipReason(skipped(reason))
            elif source.partitions:
                yield from _of_parts(context, ingest, source)
            elif reason := active_run(context.instance, source):
                yield dg.SkipReason(skipped(reason))
            else:
                context.log.info(f"STARTED: the refresh of {source.title} {when}.")
                yield dg.RunRequest(tags=STARTED_BY)

    return source_schedule


def _of_parts(
    context: dg.ScheduleEvaluationContext, ingest: Ingest, source: SourceDefinition
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A run for each part that has none."""
    try:
        with ingest.new_bench() as bench:
            parts = sync_partitions(context.instance, bench, source)
    except IngestError as error:
        yield dg.SkipReason(skipped(str(error)))
        return
    busy = busy_partitions(context.instance, source)
    free = [part for part in parts if part not in busy]
    if not free:
        yield dg.SkipReason(skipped("every part is being indexed" if parts else "there are no parts"))
    for part in free:
        yield dg.RunRequest(partition_key=part, tags=STARTED_BY)


def is_due(at: datetime, interval_min: int) -> bool:
    """Whether a refresh is due in this minute, not only a tick of the schedule."""
    return int(at.timestamp() // 60) % interval_min == 0


def cron(interval_min: int) -> str:
    """A cron expression with the fewest ticks that include all due ones."""
    minute = _every(math.gcd(interval_min, MINUTES_AN_HOUR), MINUTES_AN_HOUR)
    if interval_min % MINUTES_AN_HOUR:
        return f"{minute} * * * *"
    hour = _every(math.gcd(interval_min // MINUTES_AN_HOUR, HOURS_A_DAY), HOURS_A_DAY)
    return f"{minute} {hour} * * *"


def _every(step: int, whole: int) -> str:
    return "*" if step == 1 else "0" if step == whole else f"*/{step}"


def audit_schedule(sources: Sources) -> dg.ScheduleDefinition:
    """Every night: a refresh proves that it is complete, an audit that nobody else changed the index."""

    @dg.schedule(
        name="audit_search_index_schedule",
        job_name=AUDIT,
        cron_schedule="30 3 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Audit every source every night. Skips, and says why, when nothing is indexed or a run "
        "is at work.",
    )
    def audit_search_index_schedule(
        context: dg.ScheduleEvaluationContext, ingest: Ingest
    ) -> dg.SkipReason | dg.RunRequest:
        with raising_no_secrets():
            reason = _nothing_to_audit(ingest) or active_run(context.instance, *sources.values())
            if reason:
                return dg.SkipReason(skipped(reason))
            return dg.RunRequest(tags=STARTED_BY)

    return audit_search_index_schedule


def _nothing_to_audit(ingest: Ingest) -> str | None:
    """Why there is nothing to audit. A source that ever ran is audited, even if no longer configured."""
    from ingest_assets.queries.status import sources_run

    try:
        with ingest.new_bench() as bench:
            indexed = bench.has_ledger and sources_run(bench)
    except IngestError as error:
        return str(error)
    return None if indexed else "nothing has been indexed yet"
