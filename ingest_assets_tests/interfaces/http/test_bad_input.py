"""Invalid requests get a clear JSON error of the right status, which reveals nothing about this machine."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from ingest_assets_tests.interfaces.http.served import Served

JSON = {"Content-Type": "application/json"}


def refused(answer: httpx.Response, status: int, says: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert says in error["message"]
    assert set(error) == {"code", "message"}  # no id: nothing was withheld
    assert not any(leak in answer.text for leak in ("Traceback", "/tmp", "site-packages", ".py", "pydantic"))


WRONG_PARAMETERS = [
    ({}, "query: Field required"),
    ({"query": ""}, "at least 1 character"),
    ({"query": "   "}, "The query is empty"),
    ({"query": "a\x00b"}, "not valid text"),
    ({"query": "x" * 10_001}, "at most 10000"),
    ({"query": "x", "limit": "-1"}, "greater than or equal to 1"),
    ({"query": "x", "limit": "0"}, "greater than or equal to 1"),
    ({"query": "x", "limit": "1001"}, "less than or equal to 1000"),
    ({"query": "x", "limit": "1e3"}, "valid integer"),
    ({"query": "x", "limit": "9" * 5_000}, "limit"),
    ({"query": "x", "mode": "magic"}, "'dense', 'sparse' or 'hybrid'"),
    ({"query": "x", "source": "nowhere"}, "Sources: crm"),
    ({"query": "x", "filter": "kind"}, "FIELD=VALUE"),
    ({"query": "x", "filter": "colour=red"}, "Cannot filter by colour"),
    ({"query": "x", "filter": "kind=\x00"}, "not valid text"),
    ({"query": "x", "filter": "since=yesterday"}, "not a date or time"),
    ({"query": "x", "colour": "red"}, "There is no parameter 'colour'"),
    ({"query": ["x", "y"]}, "more than once"),
]


@pytest.mark.parametrize(("parameters", "says"), WRONG_PARAMETERS, ids=[str(i) for i in range(18)])
def test_parameters(api: httpx.Client, parameters: Any, says: str) -> None:
    refused(api.get("/search", params=parameters), 400, says)


WRONG_BODIES: list[tuple[bytes, str]] = [
    (b"", "Invalid JSON"),
    (b"{", "Invalid JSON"),
    (b"[" * 50_000, "Invalid JSON"),
    (b'{"query":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "Invalid JSON"),
    (b'{"query":"x","limit":' + b"9" * 50_000 + b"}", "out of range"),
    (b'{"query":"\\ud800"}', "Invalid JSON"),
    (b'{"query":"\xff"}', "Invalid JSON"),
    (b'{"query":"a\\u0000b"}', "not valid text"),
    (b'{"query":"x","limit":true}', "valid integer"),
    (b'{"query":"x","limit":"5"}', "valid integer"),
    (b'{"query":"x","limit":1.5}', "valid integer"),
    (b'{"query":"x","limit":NaN}', "valid integer"),
    (b'{"query":7}', "valid string"),
    (b'"x"', "should be an object"),
    (b"null", "should be an object"),
    (b'{"query":"x","filters":{"colour":["red"]}}', "Cannot filter by colour"),
    (b'{"query":"x","filters":{"kind":[7]}}', "filters.kind"),
    (b'{"query":"x","filters":[]}', "filters"),
    (b'{"query":"x","filter":"kind=email"}', "There is no parameter 'filter'"),
    (json.dumps({"query": "x", "filters": {"kind": ["a"] * 1_001}}).encode(), "at most 1000"),
    (json.dumps({"query": "x", "filters": {str(i): "a" for i in range(21)}}).encode(), "at most 20"),
]


@pytest.mark.parametrize(("body", "says"), WRONG_BODIES, ids=[str(i) for i in range(21)])
def test_bodies(api: httpx.Client, body: bytes, says: str) -> None:
    refused(api.post("/search", content=body, headers=JSON), 400, says)


def test_a_body_that_is_too_large(api: httpx.Client) -> None:
    large = json.dumps({"query": "x" * 1_000_000}).encode()
    refused(api.post("/search", content=large, headers=JSON), 413, "65536 bytes")
    pieces = (large[i : i + 1_000] for i in range(0, len(large), 1_000))
    refused(api.post("/search", content=pieces, headers=JSON), 413, "65536 bytes")


def test_a_body_that_is_declared_far_too_large(open_server: Served) -> None:
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert raw(open_server, head + b"Content-Length: 99999999999\r\n\r\n{").startswith(b"HTTP/1.1 413")


def test_content_types(api: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = api.post("/search", content=b'{"query":"x"}', headers={"Content-Type": kind})
        refused(answer, 415, "application/json")
    packed = api.post("/search", content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": "gzip"})
    refused(packed, 415, "uncompressed")
    assert api.post(
        "/search", content=b'{"query":"x"}', headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )


def test_routes_and_methods_that_do_not_exist(api: httpx.Client) -> None:
    for path in (
        "/nothing",
        "/search/",
        "/page/../page.py",
        "/page/page.py",
        "/%2e%2e/etc/passwd",
        "/jobs/a/b",
    ):
        refused(api.get(path), 404, "/openapi.json")
    for method, path, allowed in (
        ("PUT", "/search", "GET, POST"),
        ("DELETE", "/search", "GET, POST"),
        ("POST", "/health", "GET"),
        ("OPTIONS", "/status", "GET"),
        ("HEAD", "/ingest", "GET"),
        ("PATCH", "/jobs/job-1", "GET, DELETE"),
    ):
        answer = api.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert api.head("/health").status_code == 200


@pytest.mark.parametrize("job", ["..%2f..%2fetc", "%00", "a" * 5_000, "x y", "nobody"])
def test_ids_of_jobs(api: httpx.Client, job: str) -> None:
    for answer in (api.get(f"/jobs/{job}"), api.delete(f"/jobs/{job}"), api.get(f"/jobs/{job}/events")):
        refused(answer, 404, "There is no")


def test_jobs_that_are_refused(api: httpx.Client) -> None:
    for body, says in (
        ({}, "repo_url or repo_path"),
        ({"repo_url": "a", "repo_path": "b"}, "repo_url or repo_path"),
        ({"repo_url": "https://example.org/\x00"}, "not valid text"),
        ({"repo_url": "https://example.org/\nx"}, "line break"),
        ({"repo_url": "x" * 5_000}, "at most 4096"),
        ({"repo_path": "/srv/../etc"}, "leaves its root"),
        ({"repo_path": "/srv", "force_reindex": "yes"}, "valid boolean"),
    ):
        refused(api.post("/jobs", json=body), 400, says)
    refused(api.get("/jobs", params={"status": "asleep"}), 400, "no job status 'asleep'")
    refused(api.get("/ingest", params={"repo_url": "/srv/../etc"}), 400, "leaves its root")
    refused(api.get("/ingest"), 400, "repo_url: Field required")
    parameters, header = {"repo_url": "/srv"}, {"Last-Event-ID": "-1"}
    refused(api.get("/ingest", params=parameters, headers=header), 400, "sequence number")


def raw(server: Served, request: bytes) -> bytes:
    """What the server sends in response to these bytes until it closes the connection."""
    with server.connect() as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
        return answer


def test_requests_that_are_not_http(open_server: Served) -> None:
    for request in (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    ):
        head, _, body = raw(open_server, request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert json.loads(body)["error"]["code"] == "invalid_http"


def test_a_client_that_disconnects_leaves_nothing_behind(open_server: Served) -> None:
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 20\r\n\r\n"
    for sent in (head, head + b'{"query', head + b'{"query":"renewal" }'):
        with open_server.connect() as connection:
            connection.sendall(sent)
    with open_server.client() as client:
        assert client.get("/search", params={"query": "renewal"}).status_code == 200
    deadline = time.monotonic() + 5
    while open_server.service.pool.taken and time.monotonic() < deadline:
        time.sleep(0.02)
    assert open_server.service.pool.taken == 0
