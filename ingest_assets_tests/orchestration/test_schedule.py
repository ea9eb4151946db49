"""The scheduled refresh: when it is due, and why it is skipped."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from ingest_assets.orchestration.orphaned_runs import process_tags
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.schedules import audit_schedule, is_due, refresh_schedule
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.sources.registry import load_sources
from ingest_assets_tests.orchestration.runs import add_run, ticked
from ingest_assets_tests.support.built_index import Home

START = datetime(2026, 2, 27, 13, 1, tzinfo=UTC)


def tick(home: Home, instance: dg.DagsterInstance, at: datetime) -> dg.RunRequest | dg.SkipReason:
    """One tick, evaluated as the daemon does."""
    schedule = refresh_schedule(CRM, load_settings(**home.overrides))
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, resources={"ingest": Ingest(overrides=home.overrides)}
    ) as context:
        return _one(ticked(schedule, context))


def _one(said: object) -> dg.RunRequest | dg.SkipReason:
    assert isinstance(said, dg.RunRequest | dg.SkipReason)
    return said


def ticks(cron: str, start: datetime, hours: int) -> Iterator[datetime]:
    """When Dagster's daemon evaluates a schedule."""
    end = start + timedelta(hours=hours)
    every = schedule_execution_time_iterator(start.timestamp(), cron, "UTC", ascending=True)
    return takewhile(lambda at: at < end, every)


def reason(said: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(said, dg.SkipReason), said
    assert said.skip_message
    assert said.skip_message.startswith("SKIPPED: ")
    return said.skip_message


@pytest.mark.parametrize(
    ("interval", "cron"),
    [
        (1, "* * * * *"),
        (7, "* * * * *"),
        (45, "*/15 * * * *"),
        (60, "0 * * * *"),
        (90, "*/30 * * * *"),
        (120, "0 */2 * * *"),
        (300, "0 * * * *"),
        (1440, "0 0 * * *"),
    ],
)
def test_the_due_ticks_of_three_days_are_exactly_so_many_minutes_apart(interval: int, cron: str) -> None:
    assert refresh_schedule(CRM, load_settings(crm_ingest_sync_interval_min=interval)).cron_schedule == cron
    due = [at for at in ticks(cron, START, 72) if is_due(at, interval)]
    first = int(START.timestamp() // 60)
    minutes = [m for m in range(first, first + 72 * 60) if m % interval == 0]
    assert [int(at.timestamp() // 60) for at in due] == minutes
    assert minutes


def test_ticks_between_two_refreshes_are_skipped(empty: Home) -> None:
    home = empty.with_settings(crm_ingest_sync_interval_min=45)
    with home.instance() as instance:
        said = [tick(home, instance, at) for at in ticks("*/15 * * * *", START, 3)]
    started = [isinstance(each, dg.RunRequest) for each in said]
    assert started in ([True, False, False] * 4, [False, True, False] * 4, [False, False, True] * 4)
    skipped = next(each for each in said if isinstance(each, dg.SkipReason))
    assert reason(skipped) == "SKIPPED: between two refreshes, which are 45 minutes apart."


def test_a_due_tick_requests_a_refresh(empty: Home) -> None:
    with empty.instance() as instance:
        said = tick(empty, instance, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert isinstance(said, dg.RunRequest)
    assert said.tags["ingest/started_by"] == "schedule"
    # No key: a tick requests a run whatever happened to the previous one.
    assert said.run_key is None


def test_a_tick_is_skipped_while_no_crm_is_configured(empty: Home) -> None:
    home = empty.with_settings(crm_db_path=None)
    with home.instance() as instance:
        assert reason(tick(home, instance, datetime(2026, 3, 1, 12, tzinfo=UTC))) == (
            "SKIPPED: CRM_DB_PATH is not set."
        )


def test_a_tick_is_skipped_when_a_setting_became_wrong(empty: Home) -> None:
    schedule = refresh_schedule(CRM, load_settings(**empty.overrides))
    wrong = Ingest(overrides=empty.overrides | {"ingest_chunk_size": 1})
    with (
        empty.instance() as instance,
        dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 3, 1, 12, tzinfo=UTC),
            resources={"ingest": wrong},
        ) as context,
    ):
        assert "INGEST_CHUNK_SIZE='1': input should be" in reason(_one(ticked(schedule, context)))


AT_WORK = {
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
}
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@pytest.mark.parametrize("job", ["build_search_index", "refresh_search_index"])
def test_a_tick_is_skipped_while_a_run_is_at_work_but_not_after_it_ended(empty: Home, job: str) -> None:
    with empty.instance() as instance:
        for status in ENDED | AT_WORK:
            run = add_run(instance, job, status, process_tags())
            said = tick(empty, instance, datetime(2026, 3, 1, 12, tzinfo=UTC))
            if status in ENDED:
                assert isinstance(said, dg.RunRequest), status
            else:
                assert isinstance(said, dg.SkipReason), status
                assert reason(said) == f"SKIPPED: run {run.run_id[:8]} of {job} is still at work."
            instance.delete_run(run.run_id)


def test_a_run_of_another_job_does_not_skip_a_tick(empty: Home) -> None:
    with empty.instance() as instance:
        add_run(instance, "somebody_elses", dg.DagsterRunStatus.STARTED, process_tags())
        assert isinstance(tick(empty, instance, datetime(2026, 3, 1, 12, tzinfo=UTC)), dg.RunRequest)


def test_the_audit_is_nightly_and_skipped_while_a_run_is_at_work(built: Home) -> None:
    def look(home: Home) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 3, 1, 3, 30, tzinfo=UTC),
            resources={"ingest": Ingest(overrides=home.overrides)},
        ) as context:
            return _one(ticked(audit_schedule(load_sources()), context))

    with built.instance() as instance:
        assert isinstance(look(built), dg.RunRequest)
        # What was indexed is audited, whether its source is still configured or not.
        assert isinstance(look(built.with_settings(crm_db_path=None)), dg.RunRequest)
        assert (
            reason(look(built.with_settings(ingest_home=str(built.path / "new"))))
            == "SKIPPED: nothing has been indexed yet."
        )
        for job in ("refresh_search_index", "index_repository"):
            run = add_run(instance, job, dg.DagsterRunStatus.STARTED, process_tags())
            assert "is still at work" in reason(look(built))
            instance.report_run_failed(run)
