"""`indexing_jobs_v1`, which other programs read on Postgres: types, comments, and the same values."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.jobs import queue, workers
from ingest_assets.ledger import Ledger
from ingest_assets_tests.jobs.conftest import Start

# As the contract names them, in its order, and ours after them.
TYPES = {
    "id": "uuid",
    "repository_id": "character varying",
    "repo_path": "text",
    "repo_name": "text",
    "project_id": "character varying",
    "force_reindex": "boolean",
    "status": "character varying",
    "progress_percentage": "integer",
    "progress_message": "text",
    "files_scanned": "integer",
    "files_indexed": "integer",
    "chunks_created": "integer",
    "error_message": "text",
    "error_type": "character varying",
    "error_traceback": "text",
    **dict.fromkeys(("created_at", "started_at", "completed_at", "cancelled_at"), "timestamp with time zone"),
    "metadata": "jsonb",
    "worker_task_id": "character varying",
    "connection_id": "character varying",
    "source": "character varying",
    "git_ref": "text",
    "cancel_requested_at": "timestamp with time zone",
    "updated_at": "timestamp with time zone",
    "result": "jsonb",
}
COLUMNS = """
select a.attname, format_type(a.atttypid, null), col_description(a.attrelid, a.attnum)
from pg_attribute a where a.attrelid = 'indexing_jobs_v1'::regclass and a.attnum > 0 order by a.attnum
"""


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_names_types_and_comments(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        found = connection.execute(sa.text(COLUMNS)).all()
        about = connection.scalar(sa.text("select obj_description('indexing_jobs_v1'::regclass)"))
    assert {name: kind for name, kind, _ in found} == TYPES
    assert [name for name, _, _ in found] == list(TYPES)
    assert about
    assert all(comment and comment.endswith(".") for _, _, comment in found)


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_values_are_those_of_the_status(ledger: Ledger, start: Start) -> None:
    odd = {"note": 'it\'s \u0001 a \\\\u0000 \U0001f600 "name"', "deep": {"list": [1, 2.5, None, True]}}
    failed = start("é'--", git_ref="v1", connection_id="http", metadata=odd).job_id
    workers.mark_running(ledger, failed, "run-1")
    workers.end(ledger, failed, "failed", ValueError("it's\nwrong"))
    cancelled = start("c", force_reindex=True, project_id="other").job_id
    queue.cancel(ledger, cancelled)
    done = start("d").job_id
    workers.mark_running(ledger, done, "run-2")
    workers.end(ledger, done, "completed")
    pending = start("e").job_id
    with ledger.reading() as connection:
        rows = connection.execute(sa.text("select * from indexing_jobs_v1")).mappings().all()
    assert {str(row["id"]) for row in rows} == {failed, cancelled, done, pending}
    for row in rows:
        said: dict[str, Any] = {**queue.status_of(ledger, str(row["id"]))}
        if said["status"] == "pending":
            said["progress_message"] = "Waiting."  # for what, is worked out when a status is asked for
        mine = {name: _as_said(value) for name, value in row.items()}
        assert mine.pop("id") == said.pop("job_id")
        assert (mine.pop("cancel_requested_at") is not None) == said.pop("cancel_requested")
        assert bool(mine.pop("error_traceback")) == (said["status"] == "failed")
        assert said.pop("missing") == mine["result"].get("missing", {})
        assert mine == said


def _as_said(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value) if isinstance(value, uuid.UUID) else value


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_what_jsonb_cannot_hold_is_replaced(ledger: Ledger, start: Start) -> None:
    """One such job must not make the view unreadable."""
    smile, kept = "\U0001f600", "\\u0000 \\\\ud800 \\"
    bad = {"\0": 1, "a": f"\0{smile}\ud83d\\\0", "b": [f"\udc00{smile}\ude00{smile}", f"\ud800\ud800{smile}"]}
    start("a", metadata=bad | {"kept": kept + smile})
    with ledger.reading() as connection:
        found = connection.scalar(sa.text("select metadata from indexing_jobs_v1"))
    gone = "\ufffd"
    assert found == {
        gone: 1,
        "a": f"{gone}{smile}{gone}\\{gone}",
        "b": [f"{gone}{smile}{gone}{smile}", f"{gone}{gone}{smile}"],
        "kept": kept + smile,
    }


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_sqlite_has_the_table_alone(open_ledger: Callable[[], Ledger]) -> None:
    with open_ledger().reading() as connection:
        assert "indexing_jobs_v1" not in sa.inspect(connection).get_view_names()
        assert {"id", "created_at", "metadata"} <= {
            column["name"] for column in sa.inspect(connection).get_columns("indexing_jobs")
        }
