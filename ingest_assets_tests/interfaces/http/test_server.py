"""Health, status, metrics, headers and mounted applications; and the process, `ingest serve`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from ingest_assets.interfaces.http import Mounted
from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.http.app import operations_of
from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, Served, served
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere
from ingest_assets_tests.support.processes import start_server


def test_health_is_exactly_this(api: httpx.Client) -> None:
    answer = api.get("/health")
    assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')


def test_ready_names_each_part(built_once: Home) -> None:
    for heartbeat, state in ((None, "missing"), (500.0, "missing"), (12.0, "ok")):
        with served(built_once, heartbeat=heartbeat) as server, server.client() as client:
            answer = client.get("/ready")
            assert answer.status_code == 200  # searching does not need the daemon
            parts = answer.json()["parts"]
            assert parts.pop("daemon")["state"] == state
            assert set(parts) == {"ledger", "dense_model", "collection_crm"}
            assert {part["state"] for part in parts.values()} == {"ok"}


def test_status_is_the_same_as_on_the_command_line(
    built_once: Home, api: httpx.Client, ingest_here: IngestHere
) -> None:
    assert api.get("/status").json() == json.loads(ingest_here(built_once, "status", "--json").out)


def test_metrics(built_once: Home) -> None:
    with served(built_once) as server, server.client() as client:
        for _ in range(3):
            client.get("/search", params={"query": "contract"})
        client.get("/search")
        client.get("/nothing/at/all")
        text = client.get("/metrics").text
        held = client.get("/status").json()["sources"]["crm"]
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def counted(route: str, status: str) -> float:
        labels = [("method", "GET"), ("route", route), ("status", status)]
        return samples["ingest_http_requests_total", *labels]

    assert (counted("/search", "200"), counted("/search", "400"), counted("unmatched", "404")) == (3, 1, 1)
    assert samples["ingest_http_seconds_count", ("route", "/search")] == 4
    for name in ("documents", "chunks", "points", "parked"):
        assert samples[f"ingest_{name}", ("source", "crm")] == held[name]
    assert 0 < samples["ingest_seconds_since_last_success", ("source", "crm")] < 3_600
    assert samples["ingest_ledger_readable",] == 1
    # Of the server's own process.
    assert samples["process_cpu_seconds_total",] > 0
    assert samples["process_resident_memory_bytes",] > 10_000_000


def test_security_headers(api: httpx.Client) -> None:
    for path in ("/", "/status", "/nothing", "/search"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def test_the_openapi_document_describes_all_that_is_served(open_server: Served) -> None:
    with open_server.client() as client:
        document = client.get("/openapi.json").json()
    documented = {
        (o.method.lower(), o.path) for o in operations_of(open_server.service.bench.sources) if o.documented
    }
    assert {(m, path) for path, ops in document["paths"].items() for m in ops} == documented
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(document["components"]["schemas"])


@asynccontextmanager
async def _lifespan() -> AsyncIterator[None]:
    LIVED.append("began")
    yield
    LIVED.append("ended")


LIVED: list[str] = []


async def _other(scope: Scope, receive: Receive, send: Send) -> None:
    received = await receive()
    answer = {"caller": scope[CALLER].name, "path": scope["path"], "size": len(received["body"])}
    await JSONResponse(answer)(scope, receive, send)


def test_a_mounted_application_is_behind_the_same_tokens_and_limits(built_once: Home) -> None:
    LIVED.clear()
    mounted = Mounted("/mcp", _other, "ingest", _lifespan)
    with served(built_once, mounted=[mounted], ingest_api_tokens=TOKENS) as server:
        with server.client() as nobody, server.client(READER) as reader, server.client(AGENT) as agent:
            assert nobody.post("/mcp").status_code == 401
            assert reader.post("/mcp").status_code == 403
            for path in ("/mcp", "/mcp/deeper/x"):
                answer = agent.post(path, content=b"abc").json()
                assert answer == {"caller": "agent", "path": path, "size": 3}
            assert agent.post("/mcp", content=b"x" * 100_000).status_code == 413
            assert agent.post("/mcpx").status_code == 404
        assert LIVED == ["began"]
    assert LIVED == ["began", "ended"]


@contextmanager
def process(home: Home) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ingest serve --json` in a process of its own, and where it listens."""
    started, url = start_server(home, subprocess.PIPE)
    try:
        yield started, url
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_process_shuts_down_cleanly(built_once: Home, end: signal.Signals) -> None:
    with (
        process(built_once) as (server, url),
        httpx.Client(base_url=url, trust_env=False, timeout=20) as client,
    ):
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/search", params={"query": "contract"}).json()["hits"]
        started = time.monotonic()
        server.send_signal(end)
        _, said = server.communicate(timeout=15)
        assert time.monotonic() - started < 8
        assert "Traceback" not in said
        assert server.returncode in {0, -end, 128 + end}


def test_the_command_line_does_not_import_the_server() -> None:
    heavy = ("starlette", "uvicorn", "h11", "prometheus_client", "dagster")
    script = (
        f"import sys, ingest_assets.interfaces.cli; print([name for name in {heavy} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
