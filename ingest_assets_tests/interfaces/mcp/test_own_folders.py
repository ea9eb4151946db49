"""Which folders of this machine can be named, on each interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ingest_assets.interfaces.job_service import JobRequest
from ingest_assets.interfaces.queued_jobs import GIVEN, QueuedJobs
from ingest_assets.jobs.queue import COMMITTED_ONLY, OWN_FOLDER, list_jobs
from ingest_assets.model import ConfigurationError
from ingest_assets.sources.repositories.definition import SOURCE
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.interfaces.mcp.agents import over_stdio, said, serve
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """No repository, and below no folder that a setting names."""
    made = tmp_path / "people" / "ada" / "project"
    made.mkdir(parents=True)
    (made / "a.py").write_text("a = 1\n")
    return made


def jobs(home: Home) -> list[dict[str, Any]]:
    with home.bench() as bench:
        return [dict(each["metadata"]) for each in list_jobs(bench.ledger)]


def test_the_command_line_and_an_agent_of_this_machine_may_name_any_folder(
    built: Home, ingest_here: IngestHere, folder: Path
) -> None:
    at_a_branch = ingest_here(built, "job", "start", str(folder), "--ref", "main")
    assert (at_a_branch.status, "not a git repository" in at_a_branch.err) == (2, True)
    started = ingest_here(built, "job", "start", str(folder), "--project", "mine", "--json")
    assert started.status == 0, started.err
    assert json.loads(started.out)["project_id"] == "mine"

    async def start(client: Client) -> Any:
        return await client.call_tool("start_indexing_background", {"repo_path": str(folder)})

    assert said(over_stdio(built, start)).ok()["status"] == "pending"
    assert [each[OWN_FOLDER] for each in jobs(built)] == [True, True]
    assert ingest_here(built, "job", "start", "people/ada").status == 2
    assert ingest_here(built, "job", "start", f"{folder}/../project").status == 2


def test_over_a_network_only_folders_below_the_roots_can_be_named(built: Home, folder: Path) -> None:
    open_to_agents = built.with_settings(ingest_agent_local_repositories=True)
    with serve(open_to_agents) as server:
        refused = server.call("start_indexing_background", repo_path=str(folder)).refused()
        assert "INGEST_REPOSITORY_ROOTS" in refused
    rooted = {"ingest_repository_protocols": "file", "ingest_repository_roots": str(folder.parent)}
    with serve(built.with_settings(**rooted)) as server:
        refused = server.call("start_indexing_background", repo_path=str(folder)).refused()
        assert "has not allowed" in refused
    with serve(open_to_agents.with_settings(**rooted)) as server:
        for given in (folder.parent.parent, "/etc", folder.parent / "nothing"):
            server.call("start_indexing_background", repo_path=str(given)).refused()
        server.call("start_indexing_background", repo_path=str(folder)).ok()
    assert jobs(built) == [{"caller": "ada", GIVEN: str(folder)}]


@pytest.mark.parametrize("roots", [False, True])
def test_a_link_below_a_root_does_not_lead_out_of_it(built: Home, folder: Path, roots: bool) -> None:
    allowed = folder.parent.parent / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(folder)
    home = built.with_settings(
        ingest_repository_protocols="file", ingest_repository_roots=str(allowed) if roots else None
    )
    with home.bench() as bench:
        with pytest.raises(ConfigurationError):
            QueuedJobs(bench, "http").start(JobRequest(str(allowed / "link")))
        started = QueuedJobs(bench, "command line", here=True).start(JobRequest(str(allowed / "link")))
    assert started.status == "pending"


def test_a_folder_that_somebody_here_named_stays_closed_to_others(built: Home, folder: Path) -> None:
    """Nor can what is kept be switched to another reading by those who may not name it."""
    with built.bench() as bench:
        kept = repositories_of(bench).add(str(folder), own_folder=True)
        assert not kept.committed
        with pytest.raises(ConfigurationError):
            QueuedJobs(bench, "http").start(JobRequest(str(folder), committed_only=True))
        assert QueuedJobs(bench, "http").list(limit=5, repo=str(folder)) == []
        assert SOURCE.jobs is not None
        with pytest.raises(ConfigurationError):
            SOURCE.jobs.target_for(bench, str(folder), None, here=False)
        assert repositories_of(bench).get(kept.id) == kept


def test_a_folder_without_commits_is_refused_at_once_if_they_are_asked_for(
    built: Home, tmp_path: Path
) -> None:
    plain = tmp_path / "notes"
    plain.mkdir()
    rooted = built.with_settings(ingest_repository_protocols="file", ingest_repository_roots=str(tmp_path))
    with rooted.bench() as bench:
        for queued in (QueuedJobs(bench, "http"), QueuedJobs(bench, "command line", here=True)):
            with pytest.raises(ConfigurationError, match="not a git repository"):
                queued.start(JobRequest(str(plain), committed_only=True))
            assert queued.list() == []
        assert QueuedJobs(bench, "http").start(JobRequest(str(plain))).status == "pending"


def test_two_ways_of_reading_are_two_jobs(built: Home, folder: Path) -> None:
    with built.bench() as bench:
        queued = QueuedJobs(bench, "command line", here=True)
        first = queued.start(JobRequest(str(folder)))
        again = queued.start(JobRequest(str(folder)))
        stands = queued.start(JobRequest(str(folder), committed_only=False))
    assert (again.job_id, again.existing) == (first.job_id, True)
    assert (stands.job_id != first.job_id, stands.existing) == (True, False)
    assert sorted(each.get(COMMITTED_ONLY, True) for each in jobs(built)) == [False, True]
