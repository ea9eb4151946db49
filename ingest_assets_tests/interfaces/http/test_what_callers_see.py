"""Callers see what is about their request and their jobs; what is about this machine is for the operator."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from ingest_assets.interfaces.http.service import Service
from ingest_assets.interfaces.http.streaming import frame
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.interfaces.tokens import Caller
from ingest_assets.jobs import workers
from ingest_assets.jobs.queue import CALLER
from ingest_assets.jobs.transitions import Failure, finish
from ingest_assets.model import ConfigurationError, IngestError, UnavailableError
from ingest_assets.redaction import HIDDEN
from ingest_assets.sources.operations import StreamEvent
from ingest_assets.workbench import Workbench
from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, Served, served
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere

OTHER = "other-" + "0123456789" * 3
LEAK = "/srv/secret-folder"
PRIVATE = f"{LEAK}/index.sqlite: select token from users; backend said <no>"


@pytest.fixture
def bench(built: Home) -> Iterator[Workbench]:
    with built.bench() as bench:
        yield bench


@pytest.fixture
def server(built: Home, tmp_path: Path) -> Iterator[Served]:
    """With tokens, real jobs, and local repositories."""
    tokens = TOKENS + f",other:{OTHER}:read+ingest"
    local = {"ingest_repository_protocols": "file,https", "ingest_repository_roots": str(tmp_path)}
    home = built.with_settings(**local)
    settings: dict[str, Any] = {"ingest_api_tokens": tokens, "ingest_max_pending_jobs": 3}

    def as_caller(caller: Caller) -> QueuedJobs:
        return QueuedJobs.of(of_jobs, "http", caller)

    with (
        Workbench(home.with_settings(**settings).load()) as of_jobs,
        served(home, as_caller, **settings) as server,
    ):
        yield server


ERRORS: list[tuple[Exception, int, str]] = [
    (ConfigurationError(PRIVATE), 503, "not_configured"),
    (UnavailableError(PRIVATE), 503, "unavailable"),
    (IngestError(PRIVATE), 500, "failed"),
    (RuntimeError(PRIVATE), 500, "internal_error"),
    (sqlite3.OperationalError(PRIVATE), 500, "internal_error"),
    (OperationalError(PRIVATE, {"token": "x"}, Exception(PRIVATE)), 500, "internal_error"),
    (OSError(2, "No such file", LEAK), 500, "internal_error"),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS, ids=[type(e).__name__ for e, _, _ in ERRORS])
@pytest.mark.parametrize("path", ["/status", "/search?query=x", "/jobs", "/sources", "/metrics", "/ready"])
def test_an_error_has_a_code_a_sentence_and_an_id_that_is_in_the_log(
    path: str,
    error: Exception,
    status: int,
    code: str,
    open_server: Served,
    api: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_given: object, **_named: object) -> Any:
        raise error

    monkeypatch.setattr("ingest_assets.interfaces.http.health.describe_sources", fails)
    monkeypatch.setattr(open_server.service.status, "get", fails)
    monkeypatch.setattr(open_server.service.pool, "search", fails)
    monkeypatch.setattr(Service, "require_jobs", fails)
    monkeypatch.setattr("ingest_assets.interfaces.http.readiness.open_search", fails)
    monkeypatch.setattr(open_server.service.readiness, "_task", None)
    with caplog.at_level(logging.WARNING):
        answer = api.get(path)
    assert LEAK not in answer.text + str(answer.headers)
    assert "select" not in answer.text
    if path == "/metrics" and isinstance(error, IngestError):
        assert (answer.status_code, "ingest_ledger_readable 0.0" in answer.text) == (200, True)
        return
    if path == "/ready":
        assert answer.status_code == 503
        (shown,) = set(re.findall("[0-9a-f]{12}", answer.json()["parts"]["collection_crm"]["message"]))
    else:
        said = answer.json()["error"]
        assert (answer.status_code, said["code"]) == (status, code)
        assert said["id"] in said["message"]
        assert ("retry-after" in answer.headers) == (code == "unavailable")
        shown = said["id"]
    (record,) = [each for each in caplog.records if shown in each.getMessage()]
    assert LEAK in record.getMessage() + str(record.exc_info and record.exc_info[1])


def test_a_local_path_is_shown_to_whoever_gave_it(
    built: Home, bench: Workbench, server: Served, tmp_path: Path, ingest_here: IngestHere
) -> None:
    with TestRepo(tmp_path / "real" / "project") as repo:
        repo.commit({"a.py": b"x = 1\n"})
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    given = str(link / "project")
    with server.client(AGENT) as agent, server.client(OTHER) as other, server.client(READER) as reader:
        started = agent.post("/jobs", json={"repo_path": given}).json()
        job = started["job_id"]
        assert started["repo_path"] == given
        assert agent.get(f"/jobs/{job}").json()["repo"] == given
        for stranger in (other, reader):
            assert stranger.get(f"/jobs/{job}").json()["repo"] == "project"
            assert str(tmp_path) not in stranger.get("/jobs").text
        # Whoever gives the path too may see it, but not how the other one spelled it.
        again = other.post("/jobs", json={"repo_path": str(tmp_path / "real" / "project")}).json()
        assert (again["existing"], again["repo_path"]) == (True, str(tmp_path / "real" / "project"))
        workers.mark_running(bench.ledger, job, "run")
        with bench.ledger.transaction() as connection:
            failure = Failure.of(UnavailableError(PRIVATE))
            finish(connection, job, "failed", expected="running", now=2e9, failure=failure)
        for caller in (agent, other, reader):
            texts = [caller.get(path).text for path in (f"/jobs/{job}", "/jobs", f"/jobs/{job}/events")]
            assert not any(LEAK in text or "backend said" in text for text in texts)
            assert all(
                f"The job failed. The operator finds the reason under its id, {job}." in t for t in texts
            )
        events = reader.get(f"/jobs/{job}/events").text
        assert str(tmp_path) not in events
        assert given in agent.get(f"/jobs/{job}/events").text
    held = json.loads(ingest_here(built, "job", "show", job, "--json").out)
    assert held["error_message"] == PRIVATE
    assert held["metadata"][CALLER] == "agent"
    assert held["repo_path"] == str(tmp_path / "real" / "project")
    listed = ingest_here(built, "job", "list", "--status", "failed")
    assert "agent" in listed.out
    assert ingest_here(built, "job", "list", "--status", "asleep").status == 2


def test_what_is_wrong_with_a_request_is_said(server: Served, tmp_path: Path) -> None:
    with server.client(AGENT) as agent:
        for body, says in (
            ({"repo_url": "https://user:secret@example.org/r"}, "holds credentials"),
            ({"repo_url": "ftp://example.org/r"}, "by ftp"),
            ({"repo_url": "https://localhost/r"}, "private"),
            ({"repo_path": "/etc"}, "outside the folders"),
            ({"repo_path": str(tmp_path / "nothing")}, "cannot be opened"),
            ({"repo_url": "https://example.org/r", "git_ref": "a..b"}, "not the name of a branch"),
            ({"repo_url": "https://example.org/r", "project_id": "\x80"}, "control character"),
        ):
            answer = agent.post("/jobs", json=body)
            assert answer.status_code == 400, answer.text
            assert says in answer.json()["error"]["message"]
            assert "id" not in answer.json()["error"]
            assert not any(each in answer.text for each in ("secret", str(tmp_path)))


def test_settings_that_are_wrong_are_not_the_callers_business(
    built: Home, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"ingest_repository_protocols": "file", "ingest_repository_roots": "secret-folder/x"}
    with Workbench(built.with_settings(**wrong).load()) as bench, served(built, QueuedJobs(bench)) as server:
        with server.client() as client:
            answer = client.post("/jobs", json={"repo_path": "/srv/x"})
        assert answer.status_code == 503
        assert "secret-folder" not in answer.text
        assert "secret-folder" in caplog.text


def test_pending_jobs_are_limited_for_each_caller(server: Served) -> None:
    with server.client(AGENT) as agent, server.client(OTHER) as other, ThreadPoolExecutor(4) as threads:
        url = "https://example.org/r{}"
        bodies = [{"repo_url": url.format(i)} for i in range(12)]
        statuses = [a.status_code for a in threads.map(lambda body: agent.post("/jobs", json=body), bodies)]
        assert statuses.count(202) == 3
        refused = agent.post("/jobs", json={"repo_url": url.format(99)})
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "too_many_jobs"
        assert "3 pending jobs" in refused.json()["error"]["message"]
        workers.note_launcher(server.service.bench.ledger)  # where nothing runs jobs it would be 503
        assert agent.get("/ingest", params={"repo_url": url.format(99)}).status_code == 429
        mine = agent.get("/jobs").json()["jobs"]
        assert agent.post("/jobs", json={"repo_url": mine[0]["repo"]}).json()["existing"]
        assert other.post("/jobs", json={"repo_url": url.format(99)}).status_code == 202
        assert agent.delete(f"/jobs/{mine[0]['job_id']}").status_code == 202
        assert agent.post("/jobs", json={"repo_url": url.format(99)}).status_code == 202


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, 10**18, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400])
def test_numbers_without_a_place_in_a_database_are_wrong_requests(server: Served, number: int) -> None:
    with server.client(AGENT) as agent:
        job = agent.post("/jobs", json={"repo_url": "https://example.org/r"}).json()["job_id"]
        agent.delete(f"/jobs/{job}")
        for path in (f"/jobs?limit={number}", f"/search?query=x&limit={number}"):
            assert agent.get(path).status_code == 400
        allowed = number == 2**31 - 1
        after = agent.get(f"/jobs/{job}/events", params={"after": str(number)})
        assert after.status_code == (204 if allowed else 400), after.text
        header = {"Last-Event-ID": str(number)}
        assert agent.get(f"/jobs/{job}/events", headers=header).status_code == (204 if allowed else 400)
        body = {"query": "x", "limit": number}
        assert agent.post("/search", json=body).status_code == 400


def test_a_secret_of_the_settings_that_a_document_holds_is_hidden(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = "/search?query=renewal&mode=dense"
    word = max(re.findall(r"\w{8,}", api.get(search).json()["hits"][0]["text"]), key=len)
    monkeypatch.setattr("ingest_assets.redaction._secrets", {word})
    said = api.get(search).text
    assert word not in said
    assert HIDDEN in said
    event = StreamEvent(1, {"sequence": 1, "payload": {"text": f"a {word}", word: [word]}})
    assert word not in frame(event).decode()
