"""Runs of `ingest refresh`: of several sources, of which one cannot be run, and one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster import DagsterEventType

from ingest_assets.interfaces.cli import runs as cli_runs
from ingest_assets.interfaces.cli.runs import RunReport, Runs, run_sources
from ingest_assets.interfaces.cli.watched_runs import WatchedRuns
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.orchestration import instance
from ingest_assets.settings import Settings
from ingest_assets_tests.support.built_index import Home

DONE = RunReport("", True, {}, {}, [])


def test_a_source_that_cannot_be_run_does_not_stop_the_others(built: Home) -> None:
    # As after it was left out while the definitions were made.
    report = run_sources(built.load(), sources=["mail", "crm"], overrides=built.overrides)
    assert not report.success
    assert report.errors == ["mail: There is no source 'mail'. Sources: crm, papers, repositories, spool."]
    assert report.checks["crm/collection/complete"]["passed"]


def test_runs_one_after_the_other_share_what_is_opened_and_are_recorded_each(
    built: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dg.DagsterInstance] = []

    @contextmanager
    def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
        with instance.open_instance(settings) as it:
            opened.append(it)
            yield it

    monkeypatch.setattr(cli_runs, "open_instance", open_instance)
    with Runs(built.load(), ["crm"], built.overrides) as runs:
        reports = [runs.run() for _ in range(3)]
        assert len(opened) == 1
        ids = [each.run_id for each in reports]
        assert len(set(ids)) == 3
        for run_id in ids:
            assert opened[0].get_run_by_id(run_id).is_success  # type: ignore[union-attr]
            of_run = opened[0].get_records_for_run(run_id).records
            kinds = {record.event_log_entry.dagster_event_type for record in of_run}
            assert {DagsterEventType.STEP_SUCCESS, DagsterEventType.RUN_SUCCESS} <= kinds


def test_what_is_open_is_opened_again_after_a_failure(built: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Flawed] = []

    class Flawed:
        def __init__(self, *_: object) -> None:
            made.append(self)
            self.is_closed = False

        def run(self) -> RunReport:
            if len(made) == 1:
                raise UnavailableError("Dagster's records cannot be used.")
            return DONE

        def close(self) -> None:
            self.is_closed = True

    monkeypatch.setattr(cli_runs, "Runs", Flawed)
    with WatchedRuns(built.load(), "crm") as runs:
        with pytest.raises(UnavailableError):
            runs.run()
        assert [runs.run(), runs.run()] == [DONE, DONE]
        assert [each.is_closed for each in made] == [True, False]
    assert all(each.is_closed for each in made)


def test_a_source_that_cannot_be_run_alone_is_an_error(built: Home) -> None:
    with pytest.raises(ConfigurationError, match="There is no source 'mail'"):
        run_sources(built.load(), sources=["mail"], overrides=built.overrides)
