"""A job's event stream: in order, resumed, replayed, kept alive, and never delaying the job."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import httpx
import pytest

from ingest_assets.interfaces.http.streaming import PAGE
from ingest_assets_tests.interfaces.http.memory_jobs import MemoryJobs
from ingest_assets_tests.interfaces.http.served import Served, served
from ingest_assets_tests.support.built_index import Home

REPO = "https://example.org/repo.git"


def events_of(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parse server-sent events as a client does."""
    number = None
    for line in lines:
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            assert number is not None
            yield number, json.loads(line[6:])


def read(client: httpx.Client, path: str, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    with client.stream("GET", path, **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(events_of(answer.iter_lines()))


def newest(jobs: MemoryJobs, repo: str, git_ref: str | None = None) -> str:
    deadline = time.monotonic() + 10
    while not (found := jobs.list(repo=repo, git_ref=git_ref, limit=1)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0].job_id


def test_a_stream_from_start_to_end(api: httpx.Client, jobs: MemoryJobs) -> None:
    def work() -> None:
        jobs.finish(newest(jobs, f"{REPO}?1", "main"), chunks=5)

    worker = Thread(target=work)
    worker.start()
    found = read(api, "/ingest", params={"repo_url": f"{REPO}?1", "git_ref": "main"})
    worker.join()
    assert [number for number, _ in found] == list(range(7))
    assert [event["sequence"] for _, event in found] == list(range(7))
    assert found[0][1]["event_type"] == "ingest.started.v1"
    assert found[-1][1]["event_type"] == "ingest.completed.v1"
    assert found[1][1]["payload"]["content"] == "Zeile 0\r\nmit ä und \u2028 darin"


def test_a_stream_is_resumed_and_replayed(api: httpx.Client, jobs: MemoryJobs) -> None:
    job = api.post("/jobs", json={"repo_url": f"{REPO}?2"}).json()["job_id"]
    jobs.finish(job, chunks=PAGE * 2)
    before = len(jobs.list())
    whole = read(api, f"/jobs/{job}/events")
    assert [number for number, _ in whole] == list(range(PAGE * 2 + 2))
    for last in (0, 7, PAGE, PAGE * 2):
        header = {"Last-Event-ID": str(last)}
        assert read(api, f"/jobs/{job}/events", headers=header) == whole[last + 1 :]
        assert read(api, "/ingest", params={"repo_url": f"{REPO}?2"}, headers=header) == whole[last + 1 :]
        assert read(api, f"/jobs/{job}/events", params={"after": last}) == whole[last + 1 :]
    # A client that has received everything is told not to reconnect.
    header = {"Last-Event-ID": str(PAGE * 2 + 1)}
    assert api.get("/ingest", params={"repo_url": f"{REPO}?2"}, headers=header).status_code == 204
    assert len(jobs.list()) == before


def test_a_job_that_ends_without_a_last_event_ends_the_stream(api: httpx.Client, jobs: MemoryJobs) -> None:
    job = api.post("/jobs", json={"repo_url": f"{REPO}?3"}).json()["job_id"]
    jobs.emit(job, "started")
    assert api.post(f"/jobs/{job}/cancel").json()["status"] == "cancelled"
    assert api.post(f"/jobs/{job}/cancel").status_code == 409
    assert len(read(api, f"/jobs/{job}/events")) == 1


def test_where_nothing_runs_jobs_none_is_started_for_a_stream(built_once: Home) -> None:
    jobs = MemoryJobs()
    jobs.none_run = "Nothing runs jobs at the moment."
    with served(built_once, jobs) as server, server.client() as client:
        refused = client.get("/ingest", params={"repo_url": REPO})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["error"] == {"code": "nothing_runs_jobs", "message": jobs.none_run}
        assert jobs.list() == []
        # What waits in the queue says so in its status; a stream of what has been done is given.
        job = client.post("/jobs", json={"repo_url": REPO}).json()["job_id"]
        jobs.finish(job, chunks=0)
        assert len(read(client, "/ingest", params={"repo_url": REPO}, headers={"Last-Event-ID": "0"})) == 1


def test_a_quiet_stream_is_kept_alive(built_once: Home) -> None:
    jobs = MemoryJobs()
    with served(built_once, jobs) as server, server.client() as client:
        assert server.service.keep_alive_s == 15
        server.service.keep_alive_s = 0.3
        with client.stream("GET", "/ingest", params={"repo_url": REPO}) as answer:
            assert answer.headers["ingest-job-id"] == "job-1"
            lines = answer.iter_lines()
            assert next(line for line in lines if "keep-alive" in line) == ": keep-alive"
            jobs.finish("job-1", chunks=0)
            assert len(list(events_of(lines))) == 2


def test_a_slow_client_holds_a_bounded_part_and_delays_nobody_else(built_once: Home) -> None:
    jobs = MemoryJobs()
    with served(built_once, jobs) as server, server.client() as client:
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            slow.connect((host, int(port)))
            slow.sendall(b"GET /ingest?repo_url=slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            job = newest(jobs, "slow")
            for i in range(20_000):  # some 40 MB
                jobs.emit(job, "chunk_created", chunk_id=str(i), content="x" * 2_000)
            jobs.emit(job, "completed", error=None)
            jobs.end(job, "completed")
            time.sleep(1)
            assert sum(jobs.pages) < 10_000  # the server stopped fetching when the client stopped reading
            assert client.get("/search", params={"query": "contract"}).status_code == 200
            assert len(server.service.streams) == 1
        _wait_for_streams(server, 0)


def test_streams_are_bounded_and_end_with_their_clients_and_with_the_server(built_once: Home) -> None:
    jobs = MemoryJobs()
    with served(built_once, jobs, ingest_http_max_streams=1) as server, server.client() as client:
        with client.stream("GET", "/ingest", params={"repo_url": REPO}) as answer:
            lines = answer.iter_lines()  # kept: the connection is closed with the last iterator over it
            assert next(lines) == ": job job-1"
            refused = client.get("/jobs/job-1/events")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        _wait_for_streams(server, 0)
        assert jobs.status("job-1").status == "pending"  # a client that disconnects cancels nothing
        read_to_the_end: list[str] = []
        reader = Thread(target=lambda: read_to_the_end.extend(_lines(server, "/jobs/job-1/events")))
        reader.start()
        _wait_for_streams(server, 1)
        started = time.monotonic()
    # The server was told to stop while a client was reading: the stream ended cleanly, at once.
    reader.join(10)
    assert read_to_the_end[0] == ": job job-1"
    assert time.monotonic() - started < 5


def test_jobs_are_listed_and_shown(api: httpx.Client, jobs: MemoryJobs) -> None:
    body = {"repo_path": "/srv/list", "project_id": "p", "force_reindex": True, "git_ref": "v1"}
    answer = api.post("/jobs", json=body)
    job = answer.json()["job_id"]
    assert (answer.status_code, answer.headers["location"]) == (202, f"/jobs/{job}")
    shown = api.get(f"/jobs/{job}").json()
    assert (shown["repo"], shown["project_id"], shown["git_ref"], shown["status"]) == (
        "/srv/list",
        "p",
        "v1",
        "pending",
    )
    assert api.get("/jobs", params={"limit": 1}).json()["jobs"] == [shown]
    jobs.end(job, "failed")
    assert job in [one["job_id"] for one in api.get("/jobs", params={"status": "failed"}).json()["jobs"]]


def test_a_server_without_jobs_says_so(built_once: Home) -> None:
    with served(built_once) as server, server.client() as client:
        for answer in (client.get("/jobs"), client.get("/ingest", params={"repo_url": "x"})):
            assert answer.status_code == 501
            assert answer.json()["error"]["code"] == "no_jobs"


def _lines(server: Served, path: str) -> list[str]:
    with server.client() as client, client.stream("GET", path) as answer:
        return list(answer.iter_lines())


def _wait_for_streams(server: Served, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.service.streams) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _forget_earlier_fetches(jobs: MemoryJobs) -> None:
    jobs.pages.clear()
