"""One sensor per source, which notices changes soon after they are made.

What belongs here: looking for changes and requesting runs. What does not: how a source detects a change.
"""

import time
from collections.abc import Sequence

import dagster as dg

from ingest_assets.model import IngestError, SourceUnavailableError
from ingest_assets.orchestration.partitions import sync_partitions
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.skip_reasons import active_run, busy_partitions, not_configured, skipped
from ingest_assets.reconcile import is_up_to_date, last_success
from ingest_assets.redaction import raising_no_secrets
from ingest_assets.settings import Settings
from ingest_assets.sources.definition import Due, SourceDefinition
from ingest_assets.sources.parts import forget_emptied
from ingest_assets.stages.removals import held
from ingest_assets.workbench import Workbench

STARTED_BY = {"ingest/started_by": "sensor"}
# Dagster gives a tick a minute; looking at parts may take this much of it.
TICK_BUDGET_S = 40.0
# How long the sensor leaves a source alone whose last run was stopped because of what it would have removed.
STOPPED_FOR_S = 600.0


def change_sensor(source: SourceDefinition, settings: Settings) -> dg.SensorDefinition:
    """Asks a source, or each of its parts, whether it has changed; a change requests a refresh.

    The source's current state is the run's key, so that each change requests one run. If that run fails, the
    schedule tries again: a source that breaks every run must not be tried every few seconds.
    """
    triggers = source.triggers

    @dg.sensor(
        name=source.sensor_name,
        job_name=source.refresh_job,
        minimum_interval_seconds=triggers.sensor_interval_s(settings),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=triggers.sensor_description,
    )
    def source_sensor(context: dg.SensorEvaluationContext, ingest: Ingest) -> dg.SensorResult:
        with raising_no_secrets():
            return _evaluated(context, ingest, source)

    return source_sensor


def _evaluated(
    context: dg.SensorEvaluationContext, ingest: Ingest, source: SourceDefinition
) -> dg.SensorResult:
    reason = not_configured(ingest, source)
    if reason:
        return dg.SensorResult(skip_reason=skipped(reason), cursor=context.cursor)
    try:
        with ingest.new_bench() as bench:
            if source.partitions is None:
                return _whole(context, bench, source)
            return _parts(context, bench, source)
    except IngestError as error:
        return dg.SensorResult(skip_reason=skipped(str(error)), cursor=context.cursor)


def _whole(
    context: dg.SensorEvaluationContext, bench: Workbench, source: SourceDefinition
) -> dg.SensorResult:
    due = source.triggers.due(bench) if source.triggers.due else _due(bench, source)
    if due.key is None:
        return dg.SensorResult(skip_reason=skipped(due.reason))
    if stopped := _stopped(bench, source, ""):
        return dg.SensorResult(skip_reason=skipped(stopped))
    if reason := active_run(context.instance, source):
        return dg.SensorResult(skip_reason=skipped(f"{due.reason}, but {reason}"))
    context.log.info(f"STARTED: {due.reason}.")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=due.key, tags=STARTED_BY)])


def _due(bench: Workbench, source: SourceDefinition) -> Due:
    if reason := source.triggers.only_scheduled(bench):
        return Due(f"{source.name}: {reason}")
    changed = _changed(bench, source, "")
    if changed is None:
        return Due(f"{source.name} has not changed since the last refresh")
    return Due(f"{source.name} has changed", changed)


def _parts(
    context: dg.SensorEvaluationContext, bench: Workbench, source: SourceDefinition
) -> dg.SensorResult:
    """A part that does not answer is skipped and reported in this tick, never mistaken for an empty one.

    The cursor is the part to continue with, so that slow parts do not keep the others from their turn.
    """
    assert source.partitions is not None
    if not busy_partitions(context.instance, source):
        forget_emptied(bench, source)
    parts = sync_partitions(context.instance, bench, source)
    if not parts:
        lacking = bench.missing(source.name)
        reason = lacking.reason if lacking else f"there is no {source.partitions.noun}"
        return dg.SensorResult(skip_reason=skipped(reason))
    requests, said, cursor = _looked_at(context, bench, source, _from(parts, context.cursor))
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=cursor)
    return dg.SensorResult(skip_reason=skipped("; ".join(said)), cursor=cursor)


def _from(parts: Sequence[str], cursor: str | None) -> list[str]:
    """The parts, beginning where the last tick left off."""
    at = parts.index(cursor) if cursor in parts else 0
    return [*parts[at:], *parts[:at]]


def _looked_at(
    context: dg.SensorEvaluationContext, bench: Workbench, source: SourceDefinition, parts: Sequence[str]
) -> tuple[list[dg.RunRequest], list[str], str | None]:
    """Runs to request, what to say of the other parts, and the part to begin with next time."""
    requests: list[dg.RunRequest] = []
    said: list[str] = []
    busy = busy_partitions(context.instance, source)
    until = time.monotonic() + TICK_BUDGET_S
    for part in parts:
        if time.monotonic() > until:
            return requests, [*said, f"the time of a tick was up before {part}"], part
        if part in busy:
            said.append(f"{part} is being indexed")
            continue
        try:
            changed = _changed(bench, source, part)
        except IngestError as error:
            said.append(f"{part}: {str(error).rstrip('.')}")
            continue
        if changed is None:
            said.append(f"{part} has not changed")
        elif stopped := _stopped(bench, source, part):
            said.append(f"{part}: {stopped.removesuffix('.')}")
        else:
            requests.append(dg.RunRequest(run_key=f"{part} {changed}", partition_key=part, tags=STARTED_BY))
    return requests, said, None


def _stopped(bench: Workbench, source: SourceDefinition, part: str) -> str | None:
    """Why no run is requested, if the last one was stopped before it removed too much.

    If it is repaired, or meant to be, a person runs it, or the schedule. A source that goes on changing must
    not be tried every few seconds; after a while it is, because it may have been repaired.
    """
    with bench.ledger.reading() as connection:
        stopped = [each for each in held(connection, source.name) if each.part in ("", part)]
    if not stopped or time.time() - stopped[0].at > STOPPED_FOR_S:
        return None
    return f"the last run was stopped. {stopped[0].message}"


def _changed(bench: Workbench, source: SourceDefinition, part: str) -> str | None:
    """The current state of a source or a part, as a run's key; None if the index was made from it.

    The key also depends on the state of the index, so that a change back to an earlier state requests a run.
    """
    stage = bench.stage(source.name, source.documents, part=part)
    with bench.ledger.reading() as connection:
        since = last_success(connection, stage)
        if source.partitions and source.partitions.changed and part in source.partitions.parts(bench):
            changed = source.partitions.changed(bench, part)
            if changed is not None:
                return f"{changed} since {since}" if changed else None
        # Has a run completed on the current state?
        digest = stage.input_digest(connection)
        if digest is None:
            raise SourceUnavailableError(
                f"{part or source.name} cannot be checked now (is it there, and readable?). The next "
                "scheduled refresh tries to read it, and says what is wrong."
            )
        return None if is_up_to_date(connection, stage, digest) else f"{digest} since {since}"
