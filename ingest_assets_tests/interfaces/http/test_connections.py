"""Connections are bounded in number and time, and a flood without a token leaves room for tokens."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from ingest_assets.interfaces.http import connections
from ingest_assets_tests.interfaces.http.memory_jobs import MemoryJobs
from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, Served, served
from ingest_assets_tests.support.built_index import Home

POST = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
TOKEN = b"Authorization: Bearer %s\r\n" % READER.encode()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connections, "LINGER_S", 0.4)
    monkeypatch.setattr(connections, "SEND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connections, "LINGER_BYTES", 4 << 20)


@pytest.fixture(scope="module")
def small(built_once: Home) -> Iterator[Served]:
    """With tokens, and few connections."""
    with served(built_once, MemoryJobs(), ingest_api_tokens=TOKENS, ingest_http_max_connections=8) as server:
        yield server


def ended(connection: socket.socket) -> bytes:
    """What the server sent until it closed the connection, which it does soon."""
    connection.settimeout(5)
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST + b"Content-Length: 60000\r\n\r\n", b"401"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"401"),
        (POST.replace(b"/search", b"/nothing") + b"Content-Length: 60000\r\n\r\n", b"404"),
        (POST.replace(b"POST", b"PUT") + b"Content-Length: 60000\r\n\r\n", b"405"),
        (POST + TOKEN + b"Content-Length: 99999999\r\n\r\n", b"413"),
        (POST.replace(b"json", b"xml") + TOKEN + b"Content-Length: 60000\r\n\r\n", b"415"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n", b"200"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n", b"200"),
        (b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n", b"400"),
    ],
    ids=lambda value: value.decode() if len(value) == 3 else "",
)  # fmt: skip
def test_after_an_early_answer_the_body_is_discarded_for_a_moment(
    small: Served, head: bytes, status: bytes
) -> None:
    with small.connect() as connection:
        connection.sendall(head)
        started = time.monotonic()
        connection.settimeout(0.05)
        received = b""
        while True:  # a client that sends on and on, slowly
            assert time.monotonic() - started < 5
            try:
                connection.sendall(b"1\r\nx\r\n")
                if part := connection.recv(65_536):
                    received += part
                else:
                    time.sleep(0.05)  # the answer is complete, but we may still send
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nconnection: close\r\n" in received.lower()


def test_a_client_that_sends_a_large_body_sees_the_answer_but_not_without_end(small: Served) -> None:
    for size, seen in ((3 << 20, True), (200 << 20, False)):
        with small.connect() as connection:
            connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % size)
            try:
                for _ in range(size >> 20):
                    connection.sendall(b"x" * (1 << 20))
                sent = True
            except (ConnectionResetError, BrokenPipeError):
                sent = False
            assert sent == seen
            if seen:
                assert ended(connection).startswith(b"HTTP/1.1 401")


def test_connections_that_wait_are_closed(small: Served) -> None:
    answered = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for said in (b"", b"GET /heal", POST, answered, answered + b"GET /"):
        with small.connect() as connection:
            connection.sendall(said)
            started = time.monotonic()
            assert ended(connection).count(b"HTTP/1.1 200") == (said.startswith(answered))
            assert time.monotonic() - started < 4


def test_a_head_that_arrives_slowly_is_not_waited_for(small: Served) -> None:
    with small.connect() as connection:
        started = time.monotonic()
        with suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() - started < 5:
                connection.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - started < 4


def test_a_half_closed_connection_is_closed(small: Served) -> None:
    for said in (
        b"",
        POST + b"Content-Length: 9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        with small.connect() as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            ended(connection)


def test_a_client_that_reads_nothing_is_disconnected(built_once: Home) -> None:
    jobs = MemoryJobs()
    with served(built_once, jobs) as server, server.client() as client:
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            job = client.post("/jobs", json={"repo_url": "slow"}).json()["job_id"]
            for i in range(8_000):  # some 16 MB
                jobs.emit(job, "chunk_created", chunk_id=str(i), content="x" * 2_000)
            slow.connect((host, int(port)))
            slow.sendall(b"GET /jobs/%s/events HTTP/1.1\r\nHost: localhost\r\n\r\n" % job.encode())
            deadline = time.monotonic() + 10
            while not len(server.service.streams):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            while len(server.service.streams):
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_a_flood_without_a_token_leaves_room_for_those_who_have_one(small: Served) -> None:
    with ExitStack() as stack:
        agent = stack.enter_context(small.client(AGENT))
        stream = stack.enter_context(agent.stream("GET", "/ingest", params={"repo_url": "x"}))
        lines = stream.iter_lines()
        assert next(lines).startswith(": job")
        for said in (b"", b"GET /he", POST + b"Content-Length: 60000\r\n\r\n"):
            for _ in range(20):
                stack.enter_context(small.connect()).sendall(said)
            # A connection of its own: one that is idle may be closed at the moment when it is used again.
            with small.client(READER) as reader:
                assert reader.get("/search", params={"query": "contract"}).status_code == 200
        assert len(small.service.streams) == 1  # the stream was left alone
        assert next(line for line in lines if not line) == ""


def test_streams_are_limited_for_each_token_before_a_job_is_queued(built_once: Home) -> None:
    jobs = MemoryJobs()
    limits: dict[str, Any] = {"ingest_http_max_streams": 3, "ingest_http_max_streams_per_caller": 1}
    with (
        served(
            built_once, jobs, ingest_api_tokens=TOKENS + f",other:{'o' * 20}:read+ingest", **limits
        ) as server,
        server.client(AGENT) as agent,
        server.client("o" * 20) as other,
        agent.stream("GET", "/ingest", params={"repo_url": "a"}) as stream,
    ):
        lines = stream.iter_lines()  # kept: the connection is closed with the last iterator over it
        assert next(lines).startswith(": job")
        for path in ("/ingest?repo_url=b", "/jobs/job-1/events"):
            refused = agent.get(path)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert [job.repo for job in jobs.list()] == ["a"]
        assert other.get("/jobs/nobody/events").status_code == 404
        with other.stream("GET", "/jobs/job-1/events") as theirs:
            assert theirs.status_code == 200
        assert agent.get("/jobs/nobody/events").status_code == 503
        _wait_for_streams(server, 1)
        jobs.finish("job-1", chunks=0)
        assert other.get("/jobs/job-1/events?after=9").status_code == 204
    _wait_for_streams(server, 0)


def _wait_for_streams(server: Served, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.service.streams) > count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
