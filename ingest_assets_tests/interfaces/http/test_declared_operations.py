"""The operations that a source declares are routes like all others."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ingest_assets.interfaces.http import service as service_module
from ingest_assets.interfaces.http.app import OPERATIONS
from ingest_assets.sources.operation_faults import PLACES
from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, WRITER, Served, served
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.letters import FIRST, PRIVATE, Letters


@pytest.fixture
def letters() -> Iterator[Letters]:
    made = Letters()
    yield made
    made.release.set()


@pytest.fixture
def server(built_once: Home, letters: Letters) -> Iterator[Served]:
    with served(built_once, sources=letters.sources(), ingest_api_tokens=TOKENS) as server:
        yield server


@pytest.fixture
def reader(server: Served) -> Iterator[httpx.Client]:
    with server.client(READER) as client:
        yield client


def error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert "secret-folder" not in answer.text
    return str(answer.json()["error"]["message"])


def test_arguments_come_from_the_path_and_the_query(reader: httpx.Client) -> None:
    assert reader.get("/letters/abc").json() == {
        "letter_id": "abc",
        "text": FIRST,  # as it is, without the marks that agents get
        "asked_by": ["reader", "http", "False"],
    }
    assert reader.get("/letters/newest").json()["letter_id"] == "the newest"
    assert reader.head("/letters/abc").status_code == 200
    given: Any = {"kind": ["a", "b"], "urgent": "true", "limit": "4"}
    first = reader.get("/letters", params=given).json()
    assert (first["letters"], first["kinds"], first["urgent"]) == (list("abcd"), ["a", "b"], True)
    rest = reader.get("/letters", params=given | {"cursor": first["next_cursor"]}).json()
    assert (rest["letters"], rest["next_cursor"]) == (["e"], None)


def test_arguments_come_from_the_path_and_the_body(server: Served, letters: Letters) -> None:
    with server.client(AGENT) as client, server.client(WRITER) as writer:
        copied = client.post("/letters/abc/copies", json={"text": "so", "to": ["x"]})
        assert (copied.status_code, copied.json()) == (
            202,
            {"letter_id": "abc", "text": "so", "to": ["x"], "asked_by": ["agent", "http", "False"]},
        )
        assert writer.delete("/letters/abc").json()["asked_by"] == ["writer", "http", "False"]
        assert (letters.copied, letters.shredded) == (["abc"], ["abc"])
        for body, says in (
            ({"text": "so", "letter_id": "other"}, "'letter_id' is in the path already"),
            ({"text": "so", "colour": 1}, "There is no parameter 'colour'"),
            ({"text": 7}, "valid string"),
            ({}, "text: Field required"),
            ([], "should be an object"),
            ({"text": "a\x00"}, "not valid text"),
            ({"text": "so", "to": ["a\x1bb"]}, "to: It contains characters"),
        ):
            assert says in error(client.post("/letters/abc/copies", json=body), 400)
        json = {"Content-Type": "application/json"}
        for raw in (b"{", b"", b"[" * 50_000, b'{"text": "\\ud800"}'):
            assert "Invalid JSON" in error(client.post("/letters/abc/copies", content=raw, headers=json), 400)
        assert "JSON body" in error(client.post("/letters/abc/copies?text=so", json={"text": "so"}), 400)
        assert "at most" in error(client.post("/letters/abc/copies", json={"text": "x" * 70_000}), 413)
        assert "Send JSON" in error(client.post("/letters/abc/copies", content=b"x"), 415)
        assert (letters.copied, letters.shredded) == (["abc"], ["abc"])


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/letters/ABC", 400, "letter_id: String should match"),
        ("/letters/abc?letter_id=x", 400, "in the path already"),
        ("/letters/abc?colour=x", 400, "There is no parameter 'colour'. Parameters: letter_id"),
        ("/letters/a%2Fb", 404, "nothing at this path"),
        ("/letters/" + "a" * 1_001, 400, "at most 1000"),
        ("/letters?limit=0", 400, "greater than or equal to 1"),
        ("/letters?limit=1&limit=2", 400, "more than once"),
        ("/letters?kind=a%00b", 400, "NUL"),
        ("/letters?kind=a&kind=b&kind=c&kind=d", 400, "at most 3"),
        ("/letters?cursor=x", 400, "This cursor does not belong"),
        ("/letters/missing", 404, "There is no letter 'missing'."),
        ("/letters/wrong", 400, "This letter cannot be shown."),
        ("/letters/closed", 409, "The letter is closed."),
        ("/letters/broken", 500, "Something went wrong"),
        ("/letters/liar", 500, "Something went wrong"),
        ("/letters/down", 503, "does not respond"),
    ],
)
def test_what_is_wrong_is_said_and_what_is_private_is_not(
    reader: httpx.Client, path: str, status: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = reader.get(path)
    assert says in error(answer, status)
    shown = answer.json()["error"].get("id")
    assert bool(shown) == (status >= 500)
    if shown and "liar" not in path:
        (record,) = [each for each in caplog.records if shown in each.getMessage()]
        assert PRIVATE in record.getMessage() + str(record.exc_info and record.exc_info[1])


def test_tokens_scopes_sites_and_methods(server: Served, letters: Letters) -> None:
    with server.client() as nobody, server.client(READER) as reader, server.client(AGENT) as agent:
        error(nobody.get("/letters/abc"), 401)
        assert "scope ingest" in error(reader.post("/letters/abc/copies", json={"text": "so"}), 403)
        assert "scope write" in error(agent.delete("/letters/abc"), 403)
        assert "takes GET, DELETE" in error(reader.post("/letters/abc", json={}), 405)
        foreign = {"Origin": "https://elsewhere.example"}
        error(reader.get("/letters/abc", headers=foreign), 403)
    assert (letters.copied, letters.shredded) == ([], [])


def test_an_old_browser_that_does_not_say_which_site_sent_a_change_is_refused(
    built_once: Home, letters: Letters
) -> None:
    with served(built_once, sources=letters.sources()) as server, server.client() as client:
        browser = {"User-Agent": "Mozilla/4.0"}
        assert client.get("/letters/abc", headers=browser).status_code == 200
        error(client.delete("/letters/abc", headers=browser), 403)
        assert client.delete("/letters/abc").json()["asked_by"] == ["local", "http", "False"]
    assert letters.shredded == ["abc"]


def test_many_slow_calls_leave_the_server_free(
    built_once: Home, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "OPERATION_THREADS", 2)
    monkeypatch.setattr(service_module, "OPERATION_QUEUE", 1)
    with (
        served(built_once, sources=letters.sources()) as server,
        server.client() as client,
        ThreadPoolExecutor(3) as threads,
    ):
        asked = [threads.submit(client.get, "/letters/slow") for _ in range(3)]
        wait_until(server, 3)
        refused = client.get("/letters/abc")
        assert error(refused, 503) == "Too many requests at once. Try again in a moment."
        assert refused.headers["retry-after"] == "1"
        assert client.get("/status").status_code == 200
        assert client.get("/search", params={"query": "contract"}).status_code == 200
        assert "ingest_operations_taken 3.0" in client.get("/metrics").text
        letters.release.set()
        assert [answer.result().status_code for answer in asked] == [200] * 3
        assert len(letters.benches) == 2  # each thread has its own
        wait_until(server, 0)
        assert client.get("/letters/abc").status_code == 200


def test_a_call_that_takes_too_long(built_once: Home, letters: Letters) -> None:
    limit: dict[str, Any] = {"ingest_http_timeout_s": 0.3}
    with served(built_once, sources=letters.sources(), **limit) as server, server.client() as client:
        error(client.get("/letters/slow"), 504)
        assert server.service.operations.taken == 1  # its thread is still busy, and counts
        letters.release.set()
        wait_until(server, 0)
        assert client.get("/letters/abc").status_code == 200


def wait_until(server: Served, taken: int) -> None:
    deadline = time.monotonic() + 10
    while server.service.operations.taken != taken:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_openapi_document_has_them(server: Served) -> None:
    with server.client() as client:
        document = client.get("/openapi.json").json()
    paths = document["paths"]
    assert [path for path in paths if path.startswith("/letters")] == [
        "/letters",
        "/letters/newest",
        "/letters/{letter_id}",
        "/letters/{letter_id}/copies",
    ]
    copy = paths["/letters/{letter_id}/copies"]["post"]
    assert (copy["operationId"], copy["security"]) == ("copy_letter", [{"token": ["ingest"]}])
    assert "Needs the scope `ingest`" in copy["description"]
    [parameter] = copy["parameters"]
    assert (parameter["name"], parameter["in"], parameter["schema"]["pattern"]) == (
        "letter_id",
        "path",
        "^[a-z]+$",
    )
    body = copy["requestBody"]["content"]["application/json"]["schema"]
    assert (set(body["properties"]), body["required"]) == ({"text", "to"}, ["text"])
    assert body["additionalProperties"] is False
    assert set(copy["responses"]) >= {"202", "400", "401", "404", "409", "413", "503"}
    show = paths["/letters/{letter_id}"]["get"]
    assert [each["in"] for each in show["parameters"]] == ["path"]
    assert {each["name"] for each in paths["/letters"]["get"]["parameters"]} == {
        "kind",
        "urgent",
        "limit",
        "cursor",
    }
    assert set(document["components"]["schemas"]["LetterRow"]["properties"]) == {
        "letter_id",
        "text",
        "asked_by",
    }


def test_the_paths_of_every_server_are_known() -> None:
    """So that no operation of a source can be below one of them."""
    own = {each.path.split("/")[1] for each in OPERATIONS} - {""}
    assert own | {"openapi.json", "mcp"} == PLACES
