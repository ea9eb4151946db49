"""The serverless handler, called as platforms call it."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.serverless import handler as module
from deploy.serverless.handler import Handler
from ingest_assets.model import Chunk, Document
from ingest_assets.sources.repositories.fetch import FetchLimits
from ingest_assets.sources.repositories.tree import TreeLimits
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer
from ingest_assets_tests.sources.repositories.repos import TestRepo

FILES = {"src/a.rs": b"fn main() {}\n", "b.py": b"x = 1\n", "c.bin": b"\0\1"}


@dataclass
class Served:
    url: str
    commit: str
    handler: Handler


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A repository behind HTTP, and a handler that may fetch it."""
    folder = tmp_path_factory.mktemp("served")
    with TestRepo(folder / "repo") as repo:
        commit = repo.commit(FILES)
        repo.commit({"d.py": b"y = 2\n"}, "other")
        with GitServer(folder).running() as server:
            yield Served(server.url(), commit, Handler(policy=LOOPBACK))


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def _succeeded(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["status"] == "success", answer
    assert set(answer) == {"status", "summary", "events"}
    return answer


def _failed(answer: dict[str, Any]) -> str:
    assert answer["status"] == "error", answer
    assert set(answer) == {"status", "message", "events"}
    assert answer["message"]
    return str(answer["message"])


def test_success(served: Served) -> None:
    answer = _succeeded(served.handler({"repo_url": served.url, "git_ref": "main"}))
    assert answer["summary"] | {"duration_ms": 0} == {
        "status": "success",
        "files_detected": 3,
        "files_processed": 2,
        "files_skipped": 1,
        "chunks_created": 2,
        "duration_ms": 0,
        "language_breakdown": {"Python": 1, "Rust": 1},
    }
    events = answer["events"]
    assert events[0]["payload"] == {
        "repo_url": served.url,
        "git_ref": "main",
        "commit_sha": served.commit,
    }
    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert [event["event_type"] for event in events].count("ingest.completed.v1") == 1
    assert events[-1]["event_type"] == "ingest.completed.v1"
    chunks = {
        event["payload"]["file_path"]: event["payload"] for event in events if "chunk" in event["event_type"]
    }
    assert chunks["src/a.rs"]["content"] == "fn main() {}"
    assert (chunks["src/a.rs"]["symbol_kind"], chunks["src/a.rs"]["symbol_name"]) == ("function", "main")
    json.dumps(answer)


@pytest.mark.parametrize(
    "shape",
    [
        lambda given: given,
        lambda given: {"id": "req-1", "input": given},
        lambda given: {"input": given, "webhook": None},
        json.dumps,
        lambda given: json.dumps(given).encode(),
    ],
)
def test_plain_shapes(served: Served, shape: Any) -> None:
    answer = _succeeded(served.handler(shape({"repo_url": served.url, "git_ref": "other"})))
    assert answer["summary"]["language_breakdown"] == {"Python": 1}


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_gateways(served: Served, version: str) -> None:
    given = json.dumps({"repo_url": served.url})
    http = {"version": version, "requestContext": {"stage": "prod"}, "headers": {}}
    calls: list[dict[str, Any]] = [
        {"body": given, "isBase64Encoded": False},
        {"body": base64.b64encode(given.encode()).decode(), "isBase64Encoded": True},
        {"body": None, "queryStringParameters": {"repo_url": served.url}},
        {"body": json.dumps({"input": {"repo_url": served.url}})},
    ]
    for call in calls:
        answer = served.handler(http | call)
        assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/json")
        assert _succeeded(json.loads(answer["body"]))["summary"]["files_detected"] == 3


@pytest.mark.parametrize(
    "body", [None, "", "{", "[]", '"x"', "[" * 60_000, "ü=", "x" * 100_000, 7, '{"repo_url": 7}', "\0"]
)
def test_an_invalid_body_is_a_400(served: Served, body: Any) -> None:
    answer = served.handler({"httpMethod": "POST", "body": body})
    assert answer["statusCode"] == 400
    _failed(json.loads(answer["body"]))
    if isinstance(body, str):
        assert served.handler({"body": body, "isBase64Encoded": True})["statusCode"] == 400


@pytest.mark.parametrize(
    "event",
    [
        None,
        7,
        [],
        {},
        "",
        "{",
        {"input": None},
        {"repo_url": None},
        {"repo_url": ""},
        {"repo_url": "x", "git_ref": 7},
        {"repo_url": "file:///etc"},
        {"repo_url": "/etc"},
        {"repo_url": "https://user:secret@example.com/a/b"},
        {"repo_url": "http://169.254.169.254/latest"},
        {"repo_url": "https://example.com/%2e%2e/x"},
        {"repo_url": "https://example.com/\0"},
        {"repo_url": "x" * 1_000_000},
        {"repo_url": "https://github.com/a/b", "git_ref": "--upload-pack=x"},
    ],
)
def test_bad_input_is_an_error_without_events(event: Any) -> None:
    answer = module.handler(event, None)
    message = _failed(answer)
    assert answer["events"] == []
    assert "secret" not in message
    assert len(message) < 300


def test_a_missing_repository_or_ref(served: Served) -> None:
    _failed(served.handler({"repo_url": served.url.replace("repo", "gone")}))
    assert "nowhere" in _failed(served.handler({"repo_url": served.url, "git_ref": "nowhere"}))


def test_a_limit(served: Served) -> None:
    tight = replace(served.handler, tree_limits=TreeLimits(total_bytes=15))
    answer = tight({"repo_url": served.url})
    assert "15 bytes, the limit" in _failed(answer)
    assert answer["events"][-1]["status"] == "failed"
    assert answer["events"][-1]["payload"]["error"] == answer["message"]
    _failed(replace(served.handler, fetch_limits=FetchLimits(repository_bytes=10))({"repo_url": served.url}))


class Slow:
    """A chunker that takes 200 s per file, by its own clock."""

    now = 0.0
    source = fingerprint = "slow"

    def chunks(self, _document: Document) -> list[Chunk]:
        Slow.now += 200
        return []


@pytest.mark.parametrize(("left_ms", "processed"), [(None, 2), (250_000, 2), (150_000, 1), (1_000_000, 2)])
def test_running_out_of_time(tmp_path: Path, served: Served, left_ms: int | None, processed: int) -> None:
    """Five minutes, or less if the platform leaves less: checked before each file."""
    Slow.now = 0.0
    slow = replace(served.handler, chunker=lambda _: Slow(), clock=lambda: Slow.now)
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms) if left_ms else None
    with TestRepo(tmp_path / "served" / "repo") as repo:
        repo.commit({f"{n}.py": b"x = 1\n" for n in range(3)})
        with GitServer(tmp_path / "served").running() as server:
            answer = slow({"repo_url": server.url()}, context)
    assert "time is up" in _failed(answer)
    assert answer["events"][-1]["payload"]["files_processed"] == processed
    shutil.rmtree(tmp_path / "served")


def test_no_time_left_at_the_start(served: Served) -> None:
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 0, aws_request_id="r")
    assert "time is up" in _failed(served.handler({"repo_url": served.url}, context))


def test_any_failure_is_an_answer(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Any) -> Any:
        raise ZeroDivisionError("inner workings")

    answer = replace(served.handler, chunker=broken)({"repo_url": served.url})
    assert "Something went wrong in the server." in _failed(answer)
    assert "inner workings" in caplog.text
    assert (
        replace(served.handler, chunker=broken)({"body": json.dumps({"repo_url": served.url})})["statusCode"]
        == 500
    )


def test_ids_are_derived_from_the_call(served: Served) -> None:
    def ids(event: dict[str, Any]) -> set[str]:
        events = served.handler(event)["events"]
        return {event["context"]["job_id"] for event in events} | {e["event_id"] for e in events}

    given = {"repo_url": served.url}
    assert ids(given) == ids(given)
    assert not ids({"id": "1", "input": given}) & ids({"id": "2", "input": given})


def test_the_worker_hands_the_handler_to_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's package is an extra that tests go without: what it is given is what it would call."""
    from deploy.serverless import runpod_worker

    started: list[dict[str, Any]] = []
    runpod = SimpleNamespace(serverless=SimpleNamespace(start=started.append))
    monkeypatch.setitem(sys.modules, "runpod", runpod)
    runpod_worker.main()
    (given,) = started
    answer = given["handler"]({"id": "1", "input": {"repo_url": "ftp://host.example/x"}})
    assert "may not be fetched by ftp" in _failed(answer)
