"""A client that was written from the contracts of streams, jobs, agents and serverless workers alone.

It knows the names, fields and numbers that users were promised, and nothing of this package: it imports none
of it (a test holds that), and talks over HTTP and MCP. What is wrong with an answer is an AssertionError.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

Event = dict[str, Any]
Status = dict[str, Any]

PAYLOADS = {
    "ingest.started.v1": {"repo_url", "git_ref", "commit_sha"},
    "ingest.file_detected.v1": {"file_path", "language", "size_bytes"},
    "ingest.file_skipped.v1": {"file_path", "reason"},
    "ingest.chunk_created.v1": {
        *("chunk_id", "file_path", "language", "byte_range", "symbol_kind", "symbol_name", "content"),
    },
    "ingest.completed.v1": {
        *("files_detected", "files_processed", "files_skipped", "chunks_created", "duration_ms"),
        *("language_breakdown", "error"),
    },
}
ENVELOPE = {"event_id", "event_type", "timestamp", "sequence", "context", "meta", "payload"}
REASONS = {"binary", "too_large", "unsupported_language", "ignore_pattern", "parse_error"}
KINDS = {
    *("function", "class", "module", "struct", "trait", "enum", "method", "const", "static", "interface"),
    *("type_alias", "impl", "macro"),
}
STATUS = {
    *("job_id", "status", "progress_percentage", "progress_message", "files_scanned", "files_indexed"),
    *("chunks_created", "error_message", "error_type", "created_at", "started_at", "completed_at"),
    "cancelled_at",
}
SUMMARY = {
    *("status", "files_detected", "files_processed", "files_skipped", "chunks_created", "duration_ms"),
    "language_breakdown",
}
ENDED = {"completed", "failed", "cancelled"}
CANCELLED_WITHIN_S = 5.0
PATIENCE_S = 90.0


# --- Events -------------------------------------------------------------------------------------------------


def check_event(event: Event, sequence: int) -> None:
    """The envelope and the payload of one event."""
    kind = event["event_type"]
    assert set(event) == ENVELOPE | ({"status"} if kind == "ingest.completed.v1" else set()), event
    assert event["sequence"] == sequence
    assert set(event["context"]) == {"job_id", "repo_url", "git_ref"}
    uuid.UUID(event["event_id"])
    moment(event["timestamp"])
    payload = event["payload"]
    assert set(payload) - {"missing"} == PAYLOADS[kind], event
    if kind == "ingest.file_skipped.v1":
        assert payload["reason"] in REASONS
    if kind == "ingest.chunk_created.v1":
        assert payload["symbol_kind"] in KINDS
        assert set(payload["byte_range"]) == {"start", "end"}
    if kind == "ingest.completed.v1":
        assert event["status"] in {"success", "failed"}
        assert (payload["error"] is None) == (event["status"] == "success")


def check_events(events: list[Event]) -> None:
    """All events of one job: in order, each once, from the first to the last, with counts that add up."""
    for sequence, event in enumerate(events):
        check_event(event, sequence)
    assert len({event["event_id"] for event in events}) == len(events)
    assert len({event["context"]["job_id"] for event in events}) == 1
    kinds = [event["event_type"].split(".")[1] for event in events]
    assert kinds.count("completed") == 1
    assert kinds[-1] == "completed"
    assert kinds.count("started") <= 1
    assert "started" not in kinds[1:]
    times = [moment(event["timestamp"]) for event in events]
    assert times == sorted(times)
    said = events[-1]["payload"]
    paths = [event["payload"]["file_path"] for event in _of(events, "file_detected")]
    assert len(set(paths)) == len(paths) == said["files_detected"]
    skipped = [event["payload"]["file_path"] for event in _of(events, "file_skipped")]
    assert len(set(skipped)) == len(skipped) == said["files_skipped"]
    assert set(skipped) <= set(paths)
    chunks = [event["payload"] for event in _of(events, "chunk_created")]
    assert len({chunk["chunk_id"] for chunk in chunks}) == len(chunks) == said["chunks_created"]
    assert said["files_processed"] == said["files_detected"] - said["files_skipped"]
    assert sum(said["language_breakdown"].values()) == said["files_processed"]
    detected = set[str]()
    for event in events:  # a file is told of before its chunks
        if event["event_type"] == "ingest.file_detected.v1":
            detected.add(event["payload"]["file_path"])
        elif "file_path" in event["payload"]:
            assert event["payload"]["file_path"] in detected


def _of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event_type"] == f"ingest.{kind}.v1"]


def moment(text: str) -> datetime:
    """A time as the contract has it: ISO 8601, with its zone."""
    found = datetime.fromisoformat(text)
    assert found.tzinfo is not None
    return found


# --- Streams ------------------------------------------------------------------------------------------------


class Stream:
    """`GET /ingest`, or the events of a job: reads server-sent events, and notes when each came."""

    def __init__(self, api: httpx.Client, path: str, last: int | None = None, **params: str) -> None:
        self._api, self._path, self._params = api, path, params
        self._headers = {} if last is None else {"Last-Event-ID": str(last)}
        self.keep_alives: list[float] = []
        self.job_id = ""

    def events(self, most: int | None = None) -> Iterator[Event]:
        """As they come; closes the connection after `most` of them."""
        waits = httpx.Timeout(10, read=PATIENCE_S)
        with self._api.stream(
            "GET", self._path, params=self._params, headers=self._headers, timeout=waits
        ) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            self.job_id = answer.headers.get("ingest-job-id", "")
            seen = 0
            for line in answer.iter_lines():
                if line.startswith(":"):
                    self.keep_alives.append(time.monotonic())
                if line.startswith("data: "):
                    seen += 1
                    yield json.loads(line.removeprefix("data: "))
                    if seen == most:
                        return
        # It closes after the completed event, and not before.


# --- Jobs ---------------------------------------------------------------------------------------------------


class Jobs:
    """Start, watch and cancel over HTTP."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api

    def start(self, location: str, **options: Any) -> dict[str, Any]:
        name = "repo_url" if "://" in location else "repo_path"
        answer = self._api.post("/jobs", json={name: location, **options})
        assert answer.status_code == 202, answer.text
        return checked_start(answer.json())

    def status(self, job_id: str) -> Status:
        answer = self._api.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return checked_status(answer.json())

    def cancel(self, job_id: str) -> bool:
        """False when it is refused, because the job has ended."""
        answer = self._api.post(f"/jobs/{job_id}/cancel")
        assert answer.status_code in {202, 409}, answer.text
        return answer.status_code == 202

    def events(self, job_id: str) -> list[Event]:
        return list(Stream(self._api, f"/jobs/{job_id}/events").events())


class Agent:
    """The three tools, over MCP."""

    def __init__(self, url: str) -> None:
        self._url = url

    def start(self, location: str, **options: Any) -> dict[str, Any]:
        return checked_start(self._call("start_indexing_background", repo_path=location, **options))

    def status(self, job_id: str) -> Status:
        return checked_status(self._call("get_indexing_status", job_id=job_id))

    def cancel(self, job_id: str) -> bool:
        """False when it is refused, because the job has ended."""
        try:
            self._call("cancel_indexing_background", job_id=job_id)
        except RefusedError:
            return False
        return True

    def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        async def converse() -> Any:
            async with (
                httpx2.AsyncClient(timeout=30) as http,
                Client(streamable_http_client(f"{self._url}/mcp", http_client=http)) as client,
            ):
                return await client.call_tool(tool, arguments)

        said = asyncio.run(converse())
        if said.is_error:
            raise RefusedError(said.content[0].text)
        content: dict[str, Any] = said.structured_content
        return content


class RefusedError(Exception):
    """A tool's answer that is an error."""


def checked_start(started: dict[str, Any]) -> dict[str, Any]:
    """The answer to a start."""
    assert set(started) >= {"job_id", "status", "message", "project_id"}
    assert started["status"] == "pending" or started["existing"]
    assert started["message"]
    return started


def checked_status(status: Status) -> Status:
    """A status: its fields, and what they say of each other."""
    assert set(status) >= STATUS
    assert status["status"] in {"pending", "running"} | ENDED
    assert 0 <= status["progress_percentage"] <= 100
    assert (status["progress_percentage"] == 100) == (status["status"] == "completed")
    moment(status["created_at"])
    assert (status["completed_at"] is not None) == (status["status"] in ENDED)
    assert (status["cancelled_at"] is not None) == (status["status"] == "cancelled")
    assert (status["error_message"] is not None) == (status["status"] == "failed")
    assert (status["error_type"] is not None) == (status["status"] == "failed")
    if status["status"] == "pending":
        assert status["started_at"] is None
    if status["status"] in {"running", "completed"}:
        assert status["started_at"] is not None
    # Each is a part of what comes before it, and has a band of the percentage.
    assert status["files_indexed"] <= status["files_scanned"]
    if status["chunks_created"]:
        assert status["files_indexed"]
    if status["status"] == "running":
        low = 10 if status["files_indexed"] else 0
        assert status["progress_percentage"] >= low
    return status


def watched(status: Callable[[str], Status], job_id: str, until: Callable[[Status], bool]) -> list[Status]:
    """The statuses of a job, as they change, until one is as wanted. They only ever advance."""
    seen = [status(job_id)]
    ends = time.monotonic() + PATIENCE_S
    while not until(seen[-1]):
        assert time.monotonic() < ends, seen[-1]
        time.sleep(0.05)
        now = status(job_id)
        if now != seen[-1]:
            for name in ("progress_percentage", "files_scanned", "files_indexed", "chunks_created"):
                assert now[name] >= seen[-1][name], (seen[-1], now)
            seen.append(now)
    return seen


def has_ended(status: Status) -> bool:
    return status["status"] in ENDED


# --- Serverless ---------------------------------------------------------------------------------------------


def checked_answer(answer: dict[str, Any]) -> list[Event]:
    """A serverless worker's answer; its events, all of which are checked when it is a success."""
    if answer["status"] == "success":
        assert set(answer) == {"status", "summary", "events"}
        assert set(answer["summary"]) == SUMMARY
        events: list[Event] = answer["events"]
        check_events(events)
        last = events[-1]["payload"]
        assert all(answer["summary"][name] == last[name] for name in SUMMARY - {"status"})
        return events
    assert set(answer) == {"status", "message", "events"}
    assert answer["status"] == "error"
    assert answer["message"]
    failed: list[Event] = answer["events"]
    return failed
