"""Jobs as clients see them: started, looked up, listed, cancelled."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.jobs import event_log, queue, rows, workers
from ingest_assets.jobs.errors import JobStateError, UnknownJobError
from ingest_assets.jobs.queue import JobTarget
from ingest_assets.ledger import Ledger, job_tables
from ingest_assets.model import ConfigurationError
from ingest_assets_tests.jobs.conftest import Start, repository

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
NOBODY = "7d0e4a3c-5f64-5c1e-9d0a-0d6e6d6e6d6e"
CONTRACT = {
    "job_id",
    "status",
    "progress_percentage",
    "progress_message",
    "files_scanned",
    "files_indexed",
    "chunks_created",
    "error_message",
    "created_at",
    "started_at",
    "completed_at",
}


@both
def test_a_started_job_has_a_status(ledger: Ledger, start: Start) -> None:
    job = start(project_id="shop", git_ref="main", connection_id="c1", metadata={"by": "Ada"})
    assert (job.status, job.project_id, job.existing) == ("pending", "shop", False)
    status = queue.status_of(ledger, job.job_id)
    assert status.keys() >= CONTRACT
    assert (status["status"], status["progress_percentage"], status["started_at"]) == ("pending", 0, None)
    assert (status["git_ref"], status["connection_id"], status["metadata"]) == ("main", "c1", {"by": "Ada"})
    assert status["created_at"] == job.created_at
    assert status["progress_message"].startswith("Waiting for a daemon: nothing runs jobs at the moment")
    workers.note_launcher(ledger)
    waiting = queue.status_of(ledger, status["job_id"])["progress_message"]
    assert waiting == "Waiting: it is the next to run."


@both
def test_ids_are_derived_from_what_is_indexed_and_never_reused(ledger: Ledger, start: Start) -> None:
    first = start()
    queue.cancel(ledger, first.job_id)
    assert workers.forget_old(ledger, 0) == 1
    second = start()
    assert first.job_id == "3bf8712d-cf71-5edb-b149-037e99bd9ec5"
    assert second.job_id not in (first.job_id, start("other").job_id)
    assert first.project_id == "github.com/owner/name"


@both
def test_a_second_start_returns_the_existing_job(ledger: Ledger, start: Start) -> None:
    first = start(git_ref="main")
    again = start(git_ref="main")
    assert (again.job_id, again.existing, again.status) == (first.job_id, True, "pending")
    assert "already" in again.message
    workers.mark_running(ledger, first.job_id, "run")
    assert start(git_ref="main").status == "running"
    queue.cancel(ledger, first.job_id)  # a start after the cancellation is a new job
    assert not start(git_ref="main").existing


@both
def test_another_ref_project_or_a_forced_reindex_is_another_job(start: Start) -> None:
    jobs = [start(), start(git_ref="v1"), start(project_id="shop"), start(force_reindex=True)]
    assert len({job.job_id for job in jobs}) == 4
    assert start(force_reindex=True).job_id == jobs[3].job_id
    assert start().existing  # the forced job does all that this one would


@both
def test_cancel(ledger: Ledger, start: Start) -> None:
    waiting, running = start("a").job_id, start("b").job_id
    assert queue.cancel(ledger, waiting)["status"] == "cancelled"
    status = queue.status_of(ledger, waiting)
    assert status["cancelled_at"] == status["completed_at"] is not None
    with pytest.raises(JobStateError, match="cannot be cancelled: it ended as cancelled at 20"):
        queue.cancel(ledger, waiting)
    workers.mark_running(ledger, running, "run")
    for _ in range(2):
        assert queue.cancel(ledger, running)["status"] == "running"
    status = queue.status_of(ledger, running)
    assert (status["cancel_requested"], status["progress_message"]) == (True, "Stopping, as requested.")
    workers.end(ledger, running, "cancelled")
    assert queue.status_of(ledger, running)["status"] == "cancelled"
    assert event_log.after(ledger, running)[-1]["payload"]["error"] == "The job was cancelled."


@both
def test_an_unknown_job(ledger: Ledger) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda job_id: queue.status_of(ledger, job_id),
        lambda job_id: queue.cancel(ledger, job_id),
        lambda job_id: event_log.after(ledger, job_id),
        lambda job_id: event_log.append(ledger, job_id, []),
        lambda job_id: workers.end(ledger, job_id, "failed"),
        lambda job_id: workers.mark_running(ledger, job_id, "run"),
    ]
    odd = [NOBODY, "", "x" * 1_000_000, "\0", "\udc80", NOBODY[:-1] + "\0", "٣" * 36, "%2e%2e/", None, 7]
    for call, job_id in itertools.product(calls, odd):
        with pytest.raises(UnknownJobError, match="There is no job") as caught:
            call(job_id)
        assert len(str(caught.value)) < 500
        str(caught.value).encode()


@both
def test_bad_input_is_refused_and_nothing_is_started(ledger: Ledger, start: Start) -> None:
    wrong: list[dict[str, Any]] = [
        {"project_id": "x" * 501},
        {"project_id": "a\0b"},
        {"project_id": "\ud800"},
        {"git_ref": "x" * 1_000_000},
        {"connection_id": "a\nb"},
        {"metadata": {"x": "y" * 20_000}},
        {"metadata": {"x": object()}},
        {"metadata": {"x": float("nan")}},
    ]
    for more in wrong:
        with pytest.raises(ConfigurationError) as caught:
            start(**more)
        assert len(str(caught.value)) < 200
    for path in ["", " ", "a\0", "x" * 5_000, "\udcff"]:
        with pytest.raises(ConfigurationError, match="URL or path"):
            queue.start(ledger, JobTarget("repositories", "id", path, "name"))
    assert queue.list_jobs(ledger) == []


@both
def test_metadata_may_be_any_json(ledger: Ledger, start: Start) -> None:
    odd = {"a\0": ["\ud800", None, 1.5, {"ü": "'; drop table indexing_jobs; --"}]}
    assert queue.status_of(ledger, start(metadata=odd).job_id)["metadata"] == odd


@both
def test_lists(ledger: Ledger, start: Start) -> None:
    ids = [start(str(n), project_id="odd" if n % 2 else "even").job_id for n in range(7)]
    queue.cancel(ledger, ids[3])
    newest_first = ids[::-1]

    def listed(**more: Any) -> list[str]:
        return [job["job_id"] for job in queue.list_jobs(ledger, **more)]

    assert listed() == newest_first
    assert listed(limit=3) == newest_first[:3]
    assert listed(limit=3, before=newest_first[2]) == newest_first[3:6]
    assert listed(before=newest_first[6]) == []
    assert listed(status="cancelled") == [ids[3]]
    assert listed(project_id="odd", status="pending") == [ids[5], ids[1]]
    assert listed(repository_id=repository("4").id) == [ids[4]]
    wrong: list[dict[str, Any]] = [{"limit": -1}, {"limit": 0}, {"limit": 10**12}, {"status": "gone"}]
    wrong += [{"before": NOBODY}, {"project_id": "\0"}, {"limit": "5"}]
    for more in wrong:
        with pytest.raises(ConfigurationError):
            listed(**more)


@both
def test_a_waiting_job_says_what_it_waits_for(ledger: Ledger, start: Start) -> None:
    start("a")
    job = start("b").job_id
    nobody = queue.status_of(ledger, job)["progress_message"]
    assert nobody.startswith("Waiting for a daemon: nothing runs jobs at the moment")
    assert (queue.why_none_run(ledger) or "").startswith("Nothing runs jobs at the moment")
    workers.note_launcher(ledger)
    assert queue.why_none_run(ledger) is None
    assert queue.status_of(ledger, job)["progress_message"] == "Waiting for its turn; jobs before it: 1."
    launcher = job_tables.indexing_job_launcher
    with ledger.transaction() as connection:
        connection.execute(launcher.update().values(looked_at=launcher.c.looked_at - 3_600))
    assert "nothing runs jobs at the moment" in queue.status_of(ledger, job)["progress_message"]
    workers.to_launch(ledger, max_concurrent=1)
    assert "jobs before it: 1" in queue.status_of(ledger, job)["progress_message"]
    # One that says that it stops is soon known to have, unless there is another one.
    workers.note_no_launcher(ledger)
    assert queue.why_none_run(ledger) is None
    with ledger.transaction() as connection:
        soon = launcher.c.looked_at - workers.ANOTHER_LOOKS_S
        connection.execute(launcher.update().values(looked_at=soon))
    before = queue.why_none_run(ledger) or ""
    workers.note_no_launcher(ledger)
    assert queue.why_none_run(ledger) == before != ""


@both
def test_the_table_enforces_its_checks(ledger: Ledger, start: Start) -> None:
    start()
    changes: list[dict[str, Any]] = [{"status": "lost"}, {"progress_percentage": 101}]
    for change in [*changes, {"progress_percentage": -1}]:
        with pytest.raises(sa.exc.IntegrityError), ledger.transaction() as connection:
            connection.execute(job_tables.indexing_jobs.update().values(**change))


def test_queries_use_the_partial_indexes(ledger: Ledger) -> None:
    queries = {
        "ix_indexing_jobs_pending": f"where {rows.PENDING} order by created_at, id",
        "ix_indexing_jobs_running": f"where {rows.RUNNING} order by started_at",
        "ix_indexing_jobs_active": f"where {rows.ACTIVE} and repository_id = 'x'",
        "ix_indexing_jobs_finished": f"where {rows.FINISHED} and completed_at < 1 order by completed_at",
        "ix_indexing_jobs_created_at": "order by created_at desc, id desc limit 5",
    }
    for index, query in queries.items():
        with ledger.reading() as connection:
            plan = connection.exec_driver_sql(f"explain query plan select id from indexing_jobs {query}")
            assert index in str(plan.all()), index
