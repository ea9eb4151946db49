"""Dagster's own records: what a run says that cannot be recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from ingest_assets.model import UnavailableError
from ingest_assets.orchestration.instance import recorded


@dg.op
def nothing() -> None:
    """Something to run."""


@dg.job
def a_run() -> None:
    nothing()


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
