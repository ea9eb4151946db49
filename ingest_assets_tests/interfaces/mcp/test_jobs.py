"""Indexing jobs through tools: the answers that clients rely on, and what is refused."""

from __future__ import annotations

import time
from pathlib import Path

from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.interfaces.mcp.agents import Served, serve
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home

URL = "https://github.com/owner/name"
REFUSED = [
    "https://ada:s3cret@github.com/owner/name",
    "git@github.com:owner/name",
    "ext::sh -c id",
    "file:///etc",
    "https://github.com/%2e%2e/x",
    "--upload-pack=id",
    "/etc/passwd",
    "x" * 2_001,
    "a\0b",
]


def test_start_watch_and_cancel(served: Served) -> None:
    begun = time.perf_counter()
    started = served.call("start_indexing_background", repo_path=URL, project_id="mine").ok()
    assert time.perf_counter() - begun < 2
    assert (started["status"], started["project_id"], started["existing"]) == ("pending", "mine", False)
    assert started["message"]
    again = served.call("start_indexing_background", repo_path=f"{URL}.git", project_id="mine").ok()
    assert (again["job_id"], again["existing"]) == (started["job_id"], True)
    status = served.call("get_indexing_status", job_id=started["job_id"]).ok()
    assert set(status) >= {
        *("job_id", "status", "progress_percentage", "progress_message", "files_scanned", "files_indexed"),
        *("chunks_created", "error_message", "created_at", "started_at", "completed_at"),
    }
    assert (status["status"], status["progress_percentage"], status["started_at"]) == ("pending", 0, None)
    cancelled = served.call("cancel_indexing_background", job_id=started["job_id"]).ok()
    assert cancelled["status"] == "cancelled"
    refusal = served.call("cancel_indexing_background", job_id=started["job_id"]).refused()
    assert "it ended as cancelled" in refusal
    with served.home.bench() as bench:
        assert repositories_of(bench).all() == []  # a repository is kept in step once a job has fetched it


def test_a_repository_keeps_its_ref(served: Served) -> None:
    with served.home.bench() as bench:
        repositories_of(bench).add(URL, "dev")
    assert served.call("start_indexing_background", repo_path=URL).ok()["git_ref"] == "dev"


def test_a_local_repository_where_the_settings_allow_it(built: Home, tmp_path: Path) -> None:
    with TestRepo(tmp_path / "repositories" / "mine.git"):
        pass
    path = str(tmp_path / "repositories" / "mine.git")
    readable = built.with_settings(
        ingest_repository_protocols="file", ingest_repository_roots=str(tmp_path / "repositories")
    )
    with serve(readable) as server:
        assert (
            "operator has not allowed" in server.call("start_indexing_background", repo_path=path).refused()
        )
    with serve(readable.with_settings(ingest_agent_local_repositories=True)) as server:
        assert server.call("start_indexing_background", repo_path=path).ok()["status"] == "pending"
        assert '".."' in server.call("start_indexing_background", repo_path=f"{path}/../x").refused()
    with serve(built.with_settings(ingest_agent_local_repositories=True)) as server:
        assert "not allowed" in server.call("start_indexing_background", repo_path=path).refused()


def test_what_may_not_be_read_is_refused_without_a_trace(served: Served) -> None:
    for given in REFUSED:
        said = served.call("start_indexing_background", repo_path=given).refused()
        assert "s3cret" not in said
    assert len(served.log()) == len(REFUSED)
    assert "s3cret" not in repr(served.log())
    with served.home.bench() as bench:
        assert repositories_of(bench).all() == []
