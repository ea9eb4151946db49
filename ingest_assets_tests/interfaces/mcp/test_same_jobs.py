"""Programs and agents see the same jobs in the same form."""

from __future__ import annotations

from ingest_assets.interfaces.job_service import JobRequest
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs.workers import mark_running
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.interfaces.http.served import served
from ingest_assets_tests.interfaces.mcp.agents import serve
from ingest_assets_tests.support.built_index import Home

URL = "https://github.com/owner/name"


def test_a_job_is_the_same_through_every_interface(built: Home) -> None:
    with (
        built.bench() as bench,
        served(built, QueuedJobs(bench)) as server,
        server.client() as program,
        serve(built.with_settings(ingest_agent_repository_hosts="github.com")) as agent,
    ):
        started = program.post("/jobs", json={"repo_url": URL, "git_ref": "dev"}).json()
        assert (started["status"], started["repo_path"], started["existing"]) == ("pending", URL, False)
        joined = agent.call("start_indexing_background", repo_path=URL).ok()
        assert joined == started | {"existing": True, "message": joined["message"]}
        address, job_id = f"/jobs/{started['job_id']}", started["job_id"]
        status = program.get(address).json()
        assert (status["git_ref"], status["repository_id"]) == ("dev", "github.com/owner/name")
        assert agent.call("get_indexing_status", job_id=job_id).ok() == status
        assert [job["job_id"] for job in program.get("/jobs").json()["jobs"]] == [job_id]
        cancelled = agent.call("cancel_indexing_background", job_id=job_id).ok()
        assert cancelled["status"] == "cancelled"
        assert program.get(address).json() == cancelled
        assert program.post(f"{address}/cancel").status_code == 409
        assert "it ended as cancelled" in agent.call("cancel_indexing_background", job_id=job_id).refused()
        assert [job["job_id"] for job in program.get("/jobs?status=cancelled").json()["jobs"]] == [job_id]
        assert program.get("/jobs?status=running").json()["jobs"] == []
        unknown = program.get("/jobs?status=asleep")
        assert unknown.status_code == 400
        said = unknown.json()["error"]["message"]
        _, _, statuses = said.partition("Statuses: ")
        # Those of every source, by the names that its users know.
        assert set(statuses.rstrip(".").split(", ")) == {
            "pending",
            "queued",
            "running",
            "completed",
            "complete",
            "failed",
            "cancelled",
        }
        assert program.post("/jobs", json={"repo_url": "ext::sh -c id"}).status_code == 400
        refused = program.post("/jobs", json={"repo_url": URL, "source": "crm"})
        assert refused.status_code == 400
        assert "The source crm has no background jobs" in refused.json()["error"]["message"]
        call = {"repo_path": URL, "source": "crm"}
        assert "has no background jobs" in agent.call("start_indexing_background", **call).refused()
        assert program.get("/jobs/6a3c2f9e-0000-4000-8000-000000000000").status_code == 404


def test_a_start_without_a_ref_joins_an_unfinished_job_unless_it_is_being_cancelled(built: Home) -> None:
    with built.bench() as bench:
        jobs = QueuedJobs(bench)
        first = jobs.start(JobRequest(URL, "dev"))
        assert jobs.start(JobRequest(URL)).job_id == first.job_id
        assert jobs.start(JobRequest(URL, "HEAD")).git_ref is None
        mark_running(bench.ledger, first.job_id, "run")
        jobs.cancel(first.job_id)
        assert jobs.start(JobRequest(URL)).git_ref is None
        repositories_of(bench).add(URL, "kept")
        jobs.cancel(jobs.start(JobRequest(URL)).job_id)
        assert jobs.start(JobRequest(URL)).git_ref == "kept"
