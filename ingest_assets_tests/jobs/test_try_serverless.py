"""`tools.try_serverless`: the handler here, and an endpoint that answers as RunPod documents."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools import try_serverless
from tools.serverless_contract import faults_of_error, faults_of_success

KEY = "rpa_0123456789"
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def answers() -> dict[bool, Answer]:
    """A success and an error, as the handler gives them."""
    with try_serverless._made() as (folder, handler):
        given = {"repo_url": str(folder), "git_ref": "main"}
        good = handler({"id": "1", "input": given})
        bad = handler({"id": "2", "input": given | {"git_ref": "gone"}})
    return {True: json.loads(json.dumps(good)), False: json.loads(json.dumps(bad))}


class RunPod:
    """Jobs as the platform's queue has them: each is asked for a few times before it has ended."""

    def __init__(self, answers: dict[bool, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.ends_as = "COMPLETED"
        self.waits = 2  # requests before a job has ended
        self.sync_waits = False  # /runsync returns before the job has ended
        self.streams = False
        self.asked_by = "GET"
        self.jobs: dict[str, list[Any]] = {}

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path.partition('?')[0]}")
        operation, _, job_id = path.partition("?")[0].removeprefix("/v2/abc/").partition("/")
        if method == "POST" and operation in ("run", "runsync"):
            return self._started(operation, body)
        if operation in ("status", "stream") and job_id in self.jobs:
            if method != self.asked_by:
                return 405, {"detail": "Method Not Allowed"}
            return 200, self._state(job_id) if operation == "status" else self._stream(job_id)
        return 404, {"error": "not found"}

    def _started(self, operation: str, body: Any) -> tuple[int, Any]:
        if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
            return 400, {"error": "input is required"}
        job_id = f"{operation}-{len(self.jobs)}-u1"
        good = not str(body["input"].get("repo_url", "ftp:")).startswith("ftp:")
        self.jobs[job_id] = [0, self.answers[good]]
        if operation == "run":
            return 200, {"id": job_id, "status": "IN_QUEUE"}
        if not self.sync_waits:
            self.jobs[job_id][0] = self.waits
        return 200, self._state(job_id)

    def _state(self, job_id: str) -> Any:
        asked, output = self.jobs[job_id]
        self.jobs[job_id][0] += 1
        if asked < self.waits:
            return {"id": job_id, "status": "IN_PROGRESS" if asked else "IN_QUEUE", "delayTime": 12}
        state = {"id": job_id, "status": self.ends_as, "delayTime": 12, "executionTime": 34}
        return state | ({"output": output} if self.ends_as == "COMPLETED" else {"error": "out of memory"})

    def _stream(self, job_id: str) -> Any:
        state = self._state(job_id)
        parts = [{"metrics": {}, "output": state["output"]}] if self.streams and "output" in state else []
        return {"status": state["status"], "stream": parts}

    @contextmanager
    def running(self) -> Iterator[str]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["content-length"]))
                self._answer(json.loads(sent) if sent else None)

            def do_GET(self) -> None:
                self._answer(None)

            def _answer(self, body: Any) -> None:
                status, answer = 401, "unauthorized"
                if self.headers["authorization"] == f"Bearer {KEY}":
                    status, answer = served.answer(self.command, self.path, body)
                sent = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/v2/abc"
            server.shutdown()


@pytest.fixture
def runpod(answers: dict[bool, Answer], monkeypatch: pytest.MonkeyPatch) -> RunPod:
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    monkeypatch.setattr(try_serverless, "POLL_S", 0.0)
    return RunPod(answers)


def _tried(runpod: RunPod, end: str = "") -> int:
    with runpod.running() as url:
        return try_serverless.main([url + end, "--repo", "https://github.com/a/b"])


def test_the_handler_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert try_serverless.main([]) == 0
    printed = capsys.readouterr().out
    assert printed.count("ok ") == 6
    assert "WRONG" not in printed


@pytest.mark.parametrize("streams", [True, False])
def test_an_endpoint(runpod: RunPod, capsys: pytest.CaptureFixture[str], *, streams: bool) -> None:
    runpod.streams = runpod.sync_waits = streams
    runpod.asked_by = "GET" if streams else "POST"  # as the platform, and as the server of its package
    assert _tried(runpod, "/runsync" if streams else "/") == 0, capsys.readouterr().out
    assert {line.split("/v2/abc/")[1].split("/")[0] for line in runpod.asked} == {
        "runsync", "run", "status", "stream",
    }  # fmt: skip
    assert "2 files, 2 chunks" in capsys.readouterr().out


def test_an_endpoint_that_does_not_keep_the_contract(
    runpod: RunPod, capsys: pytest.CaptureFixture[str]
) -> None:
    runpod.answers = copy.deepcopy(runpod.answers)
    runpod.answers[True]["events"][1]["sequence"] = 7
    assert _tried(runpod) == 1
    printed = capsys.readouterr().out
    assert printed.count("has the sequence 7") == 3
    assert "3 of it did not hold" in printed


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "CANCELLED"])
def test_a_call_that_the_platform_ends(
    runpod: RunPod, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    runpod.ends_as = status
    assert _tried(runpod) == 1
    assert f"The platform ended the call as {status}: out of memory" in capsys.readouterr().out


def test_what_is_said_of_a_wrong_url_or_key(
    runpod: RunPod, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "wrong")
    assert _tried(runpod) == 1
    assert "/runsync answered 401: unauthorized" in capsys.readouterr().out
    assert try_serverless.main(["http://127.0.0.1:9/v2/x"]) == 1
    assert "The endpoint cannot be reached" in capsys.readouterr().out
    for url, said in (("host.example/v2/x", "is not a URL"), ("http://host.example/v2/x", "use https")):
        with pytest.raises(SystemExit) as ended:
            try_serverless.main([url])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
    monkeypatch.delenv("RUNPOD_API_KEY")
    with pytest.raises(SystemExit):
        try_serverless.main(["https://host.example/v2/x"])
    assert "RUNPOD_API_KEY is not set" in capsys.readouterr().err


def _chunk(answer: Answer) -> Answer:
    found: Answer = next(e for e in answer["events"] if e["event_type"] == "ingest.chunk_created.v1")
    return found


DAMAGE: dict[str, Callable[[Answer], object]] = {
    "no summary": lambda a: a.pop("summary"),
    "a key of the summary": lambda a: a["summary"].pop("duration_ms"),
    "a count": lambda a: a["summary"].update(chunks_created=9),
    "a breakdown": lambda a: a["summary"]["language_breakdown"].update(Rust=7),
    "an event twice": lambda a: a["events"].append(a["events"][-1]),
    "no end": lambda a: a["events"].pop(),
    "an order": lambda a: a["events"].reverse(),
    "a time": lambda a: a["events"][0].update(timestamp="yesterday"),
    "an envelope": lambda a: a["events"][0].pop("meta"),
    "another job": lambda a: a["events"][0]["context"].update(job_id="x"),
    "a failure": lambda a: a["events"][-1].update(status="failed"),
    "a kind": lambda a: _chunk(a)["payload"].update(symbol_kind="thing"),
    "a range": lambda a: _chunk(a)["payload"].update(byte_range={"start": 3, "end": 3}),
    "a payload": lambda a: _chunk(a)["payload"].pop("content"),
    "a type": lambda a: _chunk(a).update(event_type="ingest.chunk.v1"),
    "an error": lambda a: a.update(status="error", message="no"),
    "no object": lambda a: a["events"].insert(0, "event"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_fault_is_found(answers: dict[bool, Answer], damage: str) -> None:
    answer = copy.deepcopy(answers[True])
    assert faults_of_success(answer) == []
    DAMAGE[damage](answer)
    assert faults_of_success(answer) != []


def test_errors_have_a_message_and_events(answers: dict[bool, Answer]) -> None:
    assert faults_of_error(answers[False]) == []
    assert faults_of_error(answers[True]) != []
    for wrong in ({"message": ""}, {"events": None}, {"events": answers[True]["events"]}):
        assert faults_of_error(answers[False] | wrong) != []
