"""Agents see what is wrong with their request, and nothing of this machine or what it depends on."""

from __future__ import annotations

import http.server
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from ingest_assets.interfaces.mcp.calls import Call, Tool, answer
from ingest_assets.interfaces.tokens import LOCAL_CALLER
from ingest_assets.jobs.workers import end, mark_running
from ingest_assets.model import (
    ConfigurationError,
    IngestError,
    ItemError,
    NotPublishedError,
    RequestError,
    SourceUnavailableError,
    UnavailableError,
)
from ingest_assets_tests.interfaces.mcp.agents import log_of, over_stdio, said, serve
from ingest_assets_tests.support.built_index import Home

KEY = "q-9f3c1e77d2ab4408"
WITHHELD = re.compile(r"(unavailable|not_configured|failed|internal_error): [^/]*under ([0-9a-f]{12})[^/]*")


class Nothing(BaseModel):
    """No arguments, or an empty answer."""


def tool(run: Callable[[Call, Any], BaseModel]) -> dict[str, Tool]:
    return {"probe": Tool("probe", "Probe", "Fails.", "read", Nothing, Nothing, run)}


SECRETS = f"qdrant:6334 refused api-key={KEY}: SELECT * FROM document -- /srv/ingest/ledger.sqlite C:\\data"
FAILURES: list[tuple[Exception, str]] = [
    (ConfigurationError(SECRETS), "not_configured"),
    (UnavailableError(SECRETS), "unavailable"),
    (SourceUnavailableError(SECRETS), "unavailable"),
    (ItemError(SECRETS), "failed"),
    (IngestError(SECRETS), "failed"),
    (OSError(2, SECRETS, "/srv/ingest/x"), "internal_error"),
    (sa.exc.ProgrammingError(SECRETS, {}, Exception(SECRETS)), "internal_error"),
    (KeyError(SECRETS), "internal_error"),
    (RecursionError(SECRETS), "internal_error"),
    (ExceptionGroup(SECRETS, [ValueError(SECRETS)]), "internal_error"),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_errors_of_the_installation_are_withheld(
    empty: Home, caplog: pytest.LogCaptureFixture, error: Exception, code: str
) -> None:
    def run(_call: Call, _asked: Any) -> BaseModel:
        raise error

    with empty.bench() as bench, caplog.at_level(logging.WARNING):
        answered = answer(tool(run), Call(bench, LOCAL_CALLER, "http", "probe"))
    found = WITHHELD.fullmatch(answered.text)
    assert found, answered.text
    assert found[1] == code
    assert KEY not in answered.text
    logged = [record for record in caplog.records if found[2] in record.getMessage()]
    assert len(logged) == 1, "the operator finds the details under the id"
    [row] = log_of(empty)
    assert (row.outcome, row.message) == ("failed", answered.text)


@pytest.mark.parametrize("kind", [RequestError, NotPublishedError])
def test_errors_about_the_request_are_shown(empty: Home, kind: type[RequestError]) -> None:
    def run(_call: Call, _asked: Any) -> BaseModel:
        raise kind("Say\nwhom  to look for.")

    with empty.bench() as bench:
        answered = answer(tool(run), Call(bench, LOCAL_CALLER, "http", "probe"))
    assert answered.text == "Say whom to look for."
    assert log_of(empty)[0].outcome == "refused"


class _Echo(http.server.BaseHTTPRequestHandler):
    """A store whose errors repeat the request, with its key, as some proxies do."""

    def do_GET(self) -> None:  # of the base class
        body = f"{self.headers} {self.path} {KEY}".encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class's name

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def echo() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_key_of_a_store_that_fails_is_not_shown(built: Home) -> None:
    with echo() as url:
        home = built.with_settings(qdrant_url=url, qdrant_api_key=KEY)
        with serve(home) as server:
            told = server.call("search", query="contract", mode="sparse").refused()

        async def talk(client: Any) -> Any:
            return said(await client.call_tool("search", {"query": "contract", "mode": "sparse"}))

        by_stdio = over_stdio(home, talk).refused()
    for text in (told, by_stdio):
        found = WITHHELD.fullmatch(text)
        assert found, text
        assert not any(hidden in text for hidden in (KEY, "127.0.0.1", "api-key", str(home.path)))
        assert found[2] in " ".join(row.message for row in log_of(home))
    assert KEY not in repr(log_of(home))


def test_sql_is_not_shown(built: Home) -> None:
    with serve(built) as server:
        with built.bench() as bench, bench.ledger.transaction() as connection:
            connection.execute(sa.text("ALTER TABLE document RENAME TO gone"))
        told = server.call("list_documents").refused()
    assert WITHHELD.fullmatch(told), told
    assert "document" not in told


@pytest.mark.parametrize(
    "settings",
    [
        {"ingest_repository_tokens": f"github.com-{KEY}"},
        {"ingest_repository_protocols": "https,ssh"},  # without known hosts
    ],
)
def test_wrong_settings_are_not_shown(built: Home, settings: dict[str, str]) -> None:
    home = built.with_settings(ingest_agent_repository_hosts="github.com", **settings)
    with serve(home) as server:
        told = server.call("start_indexing_background", repo_path="https://github.com/owner/name").refused()
    assert told.startswith("not_configured: ")
    assert "INGEST_" not in told
    assert KEY not in told


def test_why_a_job_failed_is_for_the_operator(built: Home, tmp_path: Path) -> None:
    with serve(built.with_settings(ingest_agent_repository_hosts="github.com")) as server:
        job_id = server.call("start_indexing_background", repo_path="https://github.com/owner/name").ok()[
            "job_id"
        ]
        with built.bench() as bench:
            mark_running(bench.ledger, job_id, "run")
            end(bench.ledger, job_id, "failed", UnavailableError(f"{tmp_path}/mirror: {SECRETS}"))
        status = server.call("get_indexing_status", job_id=job_id).ok()
    assert status["status"] == "failed"
    assert "The operator finds the reason" in status["error_message"]
    assert not any(hidden in repr(status) for hidden in (KEY, str(tmp_path), "SELECT"))
