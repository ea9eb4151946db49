"""Dagster's own records: what a run says that cannot be recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.utils import make_new_run_id

from ingest_assets.model import UnavailableError
from ingest_assets.orchestration.run_records import recorded, records_kept_open


@dg.op
def nothing() -> None:
    """Something to run."""


@dg.job
def a_run() -> None:
    nothing()


@dg.asset
def looked_at(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """What another process sees of its run, meanwhile."""
    with dg.DagsterInstance.from_config(context.instance.root_directory) as other:
        seen = other.get_records_for_run(context.run_id).records
        run = other.get_run_by_id(context.run_id)
    assert run is not None
    return dg.MaterializeResult(metadata={"events": len(seen), "status": run.status.value})


def events_of(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    records = instance.get_records_for_run(run_id).records
    return [str(each.event_log_entry.dagster_event_type) for each in records]


def test_files_that_are_kept_open_hold_the_same_as_early(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = dg.Definitions([looked_at]).resolve_implicit_global_asset_job_def()
        ids = [make_new_run_id() for _ in range(3)]
        first = job.execute_in_process(instance=instance, run_id=ids[0])
        for run_id in ids[1:]:
            with records_kept_open(instance, run_id):
                job.execute_in_process(instance=instance, run_id=run_id)
        assert "_connect" not in vars(instance.event_log_storage)
        assert len(events_of(instance, ids[0])) > 5
        assert [events_of(instance, each) for each in ids[1:]] == [events_of(instance, ids[0])] * 2
        (expected,) = first.get_asset_materialization_events()
        found = instance.fetch_materializations(looked_at.key, limit=9).records
        assert {each.run_id for each in found} == set(ids)
        for each in found:
            assert each.asset_materialization is not None
            assert each.asset_materialization.metadata == expected.materialization.metadata


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of SQLite can have another page."""

    def limit(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # it takes as many as there are

    sa.event.listen(sa.pool.Pool, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(sa.pool.Pool, "connect", limit)


def test_a_run_that_cannot_be_recorded_says_so(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        a_run.execute_in_process(instance=instance)  # creates the files
        with (
            full_disk(),
            pytest.raises(UnavailableError, match=r"cannot record the run.*is full\. What") as caught,
            recorded(instance),
        ):
            a_run.execute_in_process(instance=instance, tags={"long": "x" * 200_000})
    assert str(tmp_path) in str(caught.value)
    assert "sqlalche.me" not in str(caught.value)
