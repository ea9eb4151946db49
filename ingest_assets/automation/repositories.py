"""When repositories are looked at: soon after a push, and every so often.

What belongs here: ticks that request runs of `index_repository`, one a repository.
"""

import time
from collections.abc import Iterator, Sequence

import dagster as dg

from ingest_assets.automation.jobs import INDEX
from ingest_assets.automation.partitions import sync_partitions
from ingest_assets.automation.reasons import busy_partitions
from ingest_assets.automation.schedules import cron, is_due
from ingest_assets.catalog import REPOSITORIES
from ingest_assets.model import IngestError
from ingest_assets.reconcile import is_settled
from ingest_assets.repositories import Repository
from ingest_assets.resources import Ingest
from ingest_assets.settings import Settings, load_settings
from ingest_assets.workbench import Workbench

# Dagster gives a tick a minute; the remotes share this much of it.
TICK_BUDGET_S, REMOTE_TIMEOUT_S = 40.0, 10.0


def heads_sensor(settings: Settings) -> dg.SensorDefinition:
    """Asks each remote what its ref stands for (`ls-remote`); another commit requests a run.

    A remote that does not answer is left out of this tick and said, never taken for an empty one. The cursor
    is the repository to go on with, so that slow remotes do not keep the others from their turn.
    """

    @dg.sensor(
        name="repository_heads_sensor",
        job_name=INDEX,
        minimum_interval_seconds=settings.crm_sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Indexes a repository soon after a push; an untouched one costs its remote a question.",
    )
    def repository_heads_sensor(context: dg.SensorEvaluationContext, ingest: Ingest) -> dg.SensorResult:
        with Workbench(load_settings(**ingest.overrides)) as bench:
            if not busy_partitions(context.instance):
                bench.repositories.forget_emptied()
            sync_partitions(context.instance, bench)
            repositories = bench.repositories.all()
            if not repositories:
                return dg.SensorResult(
                    skip_reason="SKIPPED: no repository is kept in step. `ingest repository add` adds one."
                )
            requests, said, cursor = _looked_at(context, bench, _from(repositories, context.cursor))
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        return dg.SensorResult(skip_reason=f"SKIPPED: {'; '.join(said)}.", cursor=cursor)

    return repository_heads_sensor


def _from(repositories: Sequence[Repository], cursor: str | None) -> list[Repository]:
    """The repositories, beginning where the last tick left off."""
    ids = [repository.id for repository in repositories]
    at = ids.index(cursor) if cursor in ids else 0
    return [*repositories[at:], *repositories[:at]]


def _looked_at(
    context: dg.SensorEvaluationContext, bench: Workbench, repositories: Sequence[Repository]
) -> tuple[list[dg.RunRequest], list[str], str | None]:
    """Runs to request, what is to be said of the others, and the repository to begin with next time."""
    requests: list[dg.RunRequest] = []
    said: list[str] = []
    busy = busy_partitions(context.instance)
    until = time.monotonic() + TICK_BUDGET_S
    for repository in repositories:
        if time.monotonic() > until:
            return requests, [*said, f"the time of a tick was up before {repository.id}"], repository.id
        if repository.id in busy:
            said.append(f"{repository.id} is being indexed")
            continue
        try:
            wanted = _wanted(bench, repository)
        except IngestError as error:
            said.append(f"{repository.id}: {str(error).rstrip('.')}")
            continue
        if wanted is None:
            said.append(f"{repository.id} has not changed")
        else:
            requests.append(_request(repository, "sensor", f"{repository.id} {wanted}"))
    return requests, said, None


def _wanted(bench: Workbench, repository: Repository) -> str | None:
    """What the repository stands at, if the index is not made from it."""
    if repository.removed:
        return f"removed {repository.added_at}"
    there = bench.repositories.remote(repository, REMOTE_TIMEOUT_S).commit(repository.ref)
    try:
        here = bench.repositories.head(repository)
    except IngestError:
        here = ""  # not fetched yet
    if there != here:
        return there or "empty"
    # Fetched, or read in place where it is local: has a run got to its end on it?
    stage = bench.stage(REPOSITORIES.name, REPOSITORIES.documents, part=repository.id)
    with bench.ledger.reading() as connection:
        looks = stage.looks_at(connection)
        settled = looks is not None and is_settled(connection, stage, looks)
    return None if settled else looks


def repositories_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """As often as the CRM: what a sensor's run did not manage is gone on with."""
    interval = settings.crm_ingest_sync_interval_min

    @dg.schedule(
        name="refresh_repositories_schedule",
        job_name=INDEX,
        cron_schedule=cron(interval),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refresh every repository every {interval} minutes (CRM_INGEST_SYNC_INTERVAL_MIN).",
    )
    def refresh_repositories_schedule(
        context: dg.ScheduleEvaluationContext, ingest: Ingest
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if not is_due(context.scheduled_execution_time, interval):
            yield dg.SkipReason(f"SKIPPED: between two refreshes, which are {interval} minutes apart.")
            return
        try:
            with Workbench(load_settings(**ingest.overrides)) as bench:
                sync_partitions(context.instance, bench)
                repositories = bench.repositories.all()
        except IngestError as error:
            yield dg.SkipReason(f"SKIPPED: {error}")
            return
        busy = busy_partitions(context.instance)
        if not (free := [repository for repository in repositories if repository.id not in busy]):
            why = "all are being indexed" if repositories else "no repository is kept in step"
            yield dg.SkipReason(f"SKIPPED: {why}.")
        for repository in free:
            yield _request(repository, "schedule", None)

    return refresh_repositories_schedule


def _request(repository: Repository, by: str, run_key: str | None) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, partition_key=repository.id, tags={"ingest/started_by": by})
