"""The change sensor: what it notices, how often it requests runs, and why it skips."""

import dagster as dg
import pytest

from ingest_assets.orchestration.orphaned_runs import process_tags
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.sensors import change_sensor
from ingest_assets.reconcile import observer
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets_tests.orchestration.runs import add_run, looked
from ingest_assets_tests.support.built_index import Home


def look(home: Home, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """One evaluation, as the daemon does it."""
    sensor = change_sensor(CRM, load_settings(crm_sensor_interval_s=5))
    with dg.build_sensor_context(
        instance=instance, resources={"ingest": Ingest(overrides=home.overrides)}
    ) as context:
        return looked(sensor, context)


def reason(said: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(said, dg.SkipReason), said
    assert (said.skip_message or "").startswith("SKIPPED: ")
    return said.skip_message or ""


def key(said: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(said, dg.RunRequest), said
    assert said.tags["ingest/started_by"] == "sensor"
    assert said.run_key
    return said.run_key


def test_it_requests_one_run_per_change(built: Home) -> None:
    with built.instance() as instance:
        assert built.refresh().success  # the CRM is a copy, so it looks new
        assert reason(look(built, instance)) == "SKIPPED: crm has not changed since the last refresh."
        assert key(look(built.with_settings(crm_max_document_chars=1_000), instance))
        built.edit(1, changes=2)
        first = key(look(built, instance))
        assert key(look(built, instance)) == first, "a run that fails would be requested forever"
        built.edit(2, changes=2)
        second = key(look(built, instance))
        assert second != first
        assert built.refresh().success
        assert reason(look(built, instance)) == "SKIPPED: crm has not changed since the last refresh."
        built.edit(3, deletes=1)
        assert key(look(built, instance)) not in {first, second}


def test_a_crm_without_a_count_of_changes_is_left_to_the_schedule(empty: Home) -> None:
    """Which does not need the server: what kind of server it is decides."""
    home = empty.with_settings(crm_db_path=None, crm_db_url="mysql://reader:s3cret@127.0.0.1:1/crm")
    with home.instance() as instance:
        assert reason(look(home, instance)) == (
            "SKIPPED: crm: this server keeps no count of its changes that can be trusted, so every row is "
            "compared at each scheduled refresh."
        )


def test_it_requests_a_run_for_a_crm_that_was_never_indexed(empty: Home) -> None:
    with empty.instance() as instance:
        assert key(look(empty, instance))


@pytest.mark.parametrize("asset", ["crm/records", "crm/chunks"])
def test_what_is_committed_during_a_run_is_noticed_afterwards(built: Home, asset: str) -> None:
    built.edit(1, changes=2)
    done: list[list[str]] = []

    def work_in_the_crm(name: str, _moved: int) -> None:
        if name == asset and not done:
            done.append(built.edit(2, changes=3))

    token = observer.set(work_in_the_crm)
    try:
        assert built.refresh().success
    finally:
        observer.reset(token)
    assert done
    with built.instance() as instance:
        assert key(look(built, instance))
        counts = built.refresh().assets["crm/records"]
        assert counts["changed"] == len(done[0])
        assert "has not changed" in reason(look(built, instance))


def test_it_skips_while_no_crm_is_configured(empty: Home) -> None:
    home = empty.with_settings(crm_db_path=None)
    with home.instance() as instance:
        assert reason(look(home, instance)) == "SKIPPED: CRM_DB_PATH is not set."


def test_it_skips_when_a_setting_became_wrong(built: Home) -> None:
    with built.instance() as instance:
        wrong = built.with_settings(ingest_chunk_unit="words")
        assert "INGEST_CHUNK_UNIT='words'" in reason(look(wrong, instance))


def test_a_crm_that_is_gone_is_not_mistaken_for_an_unchanged_one(built: Home) -> None:
    built.crm.unlink()
    with built.instance() as instance:
        assert "crm cannot be checked now" in reason(look(built, instance))


def test_it_skips_when_the_mapping_is_gone(built: Home) -> None:
    with built.instance() as instance:
        home = built.with_settings(crm_mapping_path=str(built.path / "gone.toml"))
        assert "gone.toml" in reason(look(home, instance))


def test_it_skips_when_the_ledger_does_not_answer(built: Home) -> None:
    home = built.with_settings(ingest_ledger_url=f"sqlite:///{built.crm.parent}")
    with built.instance() as instance:
        assert "The ledger" in reason(look(home, instance))


def test_it_requests_one_run_for_a_file_that_is_not_a_crm(built: Home) -> None:
    built.crm.write_bytes(b"no database, but as long as one " * 100)
    with built.instance() as instance:
        first = key(look(built, instance))
        report = built.refresh()
        assert not report.success
        assert key(look(built, instance)) == first


def test_it_skips_while_a_run_is_at_work(built: Home) -> None:
    built.edit(1, changes=1)
    with built.instance() as instance:
        run = add_run(instance, "build_search_index", dg.DagsterRunStatus.STARTED, process_tags())
        said = reason(look(built, instance))
        assert said == (
            f"SKIPPED: crm has changed, but run {run.run_id[:8]} of build_search_index is still at work."
        )
        instance.report_run_failed(run)
        assert key(look(built, instance))
