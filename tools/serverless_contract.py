"""What a serverless answer must be, by the contract alone: none of the product's own code is used.

What belongs here: an answer, and what is wrong with it. What does not: getting one (try_serverless).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_PAYLOADS: Mapping[str, frozenset[str]] = {
    "ingest.started.v1": frozenset({"repo_url", "git_ref", "commit_sha"}),
    "ingest.file_detected.v1": frozenset({"file_path", "language", "size_bytes"}),
    "ingest.file_skipped.v1": frozenset({"file_path", "reason"}),
    "ingest.chunk_created.v1": frozenset(
        {"chunk_id", "file_path", "language", "byte_range", "symbol_kind", "symbol_name", "content"}
    ),
    "ingest.completed.v1": frozenset(
        {
            "files_detected",
            "files_processed",
            "files_skipped",
            "chunks_created",
            "duration_ms",
            "language_breakdown",
            "error",
        }
    ),
}
_STARTED, _DETECTED, _SKIPPED, _CHUNK, _COMPLETED = _PAYLOADS
_SUMMARY = (_PAYLOADS[_COMPLETED] - {"error"}) | {"status"}
_ENVELOPE = frozenset({"event_id", "event_type", "timestamp", "sequence", "context", "meta", "payload"})
_REASONS = frozenset({"binary", "too_large", "unsupported_language", "ignore_pattern", "parse_error"})
_KINDS = frozenset(
    {"function", "class", "module", "struct", "trait", "enum", "method", "const", "static", "interface"}
    | {"type_alias", "impl", "macro"}
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_SHOWN = 5  # faults of one answer


def faults_of_success(answer: Any) -> list[str]:
    """What is wrong with the answer of a call that should have succeeded; at most a few."""
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        return [f"it is no success: {str(answer)[:300]}"]
    return _first(_of_success(answer))


def faults_of_error(answer: Any) -> list[str]:
    """What is wrong with the answer of a call that should have failed; at most a few."""
    if not isinstance(answer, Mapping) or answer.get("status") != "error":
        return [f"it is no error: {str(answer)[:300]}"]
    return _first(_of_error(answer))


def _first(faults: Iterator[str]) -> list[str]:
    found = list(faults)
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], f"and {len(found) - _SHOWN} more"]


def _of_success(answer: Mapping[str, Any]) -> Iterator[str]:
    yield from _keys("the answer", answer, {"status", "summary", "events"})
    events, summary = answer.get("events"), answer.get("summary")
    if not isinstance(events, list) or not events or not isinstance(summary, Mapping):
        yield "it has no events, or no summary"
        return
    yield from _keys("the summary", summary, _SUMMARY)
    yield from _of_events(events, "success")
    types = Counter(event.get("event_type") for event in events if isinstance(event, Mapping))
    for name, event_type in (
        ("files_detected", _DETECTED),
        ("files_skipped", _SKIPPED),
        ("chunks_created", _CHUNK),
    ):
        if summary.get(name) != types[event_type]:
            yield f"the summary's {name} is {summary.get(name)}, of {types[event_type]} such events"
    processed = types[_DETECTED] - types[_SKIPPED]
    if summary.get("files_processed") != processed:
        yield f"the summary's files_processed is {summary.get('files_processed')} instead of {processed}"
    if sum(summary.get("language_breakdown", {}).values()) != processed:
        yield "the summary's language_breakdown does not add up to files_processed"


def _of_error(answer: Mapping[str, Any]) -> Iterator[str]:
    yield from _keys("the answer", answer, {"status", "message", "events"})
    if not isinstance(answer.get("message"), str) or not answer["message"]:
        yield "it has no message"
    events = answer.get("events")
    if not isinstance(events, list):
        yield "its events are no list"
    elif events:
        yield from _of_events(events, "failed")


def _of_events(events: list[Any], status: str) -> Iterator[str]:
    """Each in its envelope, in order; started first, one completed, at the end."""
    for number, event in enumerate(events):
        if not isinstance(event, Mapping):
            yield f"event {number} is no object"
            return
        yield from _of_event(number, event)
    types = [event.get("event_type") for event in events]
    if types[0] != _STARTED and len(types) > 1:
        yield f"the first event is {types[0]}"
    if types.count(_COMPLETED) != 1 or types[-1] != _COMPLETED:
        yield "there is not one completed event, at the end"
    elif events[-1].get("status") != status:
        yield f"the completed event's status is {events[-1].get('status')!r}, not {status!r}"
    if len({event.get("event_id") for event in events}) != len(events):
        yield "events share an event_id"
    if len({str(event.get("context", {}).get("job_id")) for event in events}) != 1:
        yield "the events are of several jobs"


def _of_event(number: int, event: Mapping[str, Any]) -> Iterator[str]:
    event_type, payload = str(event.get("event_type")), event.get("payload")
    name = f"event {number} ({event_type})"
    yield from _keys(name, event, _ENVELOPE | ({"status"} if event_type == _COMPLETED else set()))
    if event.get("sequence") != number:
        yield f"{name} has the sequence {event.get('sequence')}"
    if not _TIME.fullmatch(str(event.get("timestamp"))):
        yield f"{name} has the timestamp {event.get('timestamp')!r}, which is not ISO 8601 in UTC"
    if event_type not in _PAYLOADS or not isinstance(payload, Mapping):
        yield f"{name} is of no known type, or has no payload"
        return
    yield from _keys(f"the payload of {name}", payload, _PAYLOADS[event_type])
    if event_type == _SKIPPED and payload.get("reason") not in _REASONS:
        yield f"{name} has the reason {payload.get('reason')!r}"
    if event_type == _CHUNK:
        yield from _of_chunk(name, payload)


def _of_chunk(name: str, payload: Mapping[str, Any]) -> Iterator[str]:
    if payload.get("symbol_kind") not in _KINDS:
        yield f"{name} has the symbol kind {payload.get('symbol_kind')!r}"
    extent = payload.get("byte_range")
    if not isinstance(extent, Mapping) or not 0 <= extent.get("start", -1) < extent.get("end", -1):
        yield f"{name} has the byte range {extent}"


def _keys(name: str, found: Mapping[str, Any], wanted: set[str] | frozenset[str]) -> Iterator[str]:
    """Further keys are allowed: readers pass over what they do not know."""
    if missing := wanted - found.keys():
        yield f"{name} lacks {', '.join(sorted(missing))}"
