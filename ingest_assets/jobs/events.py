"""The events of a job, as readers get them: one envelope, five types.

    ingest.started.v1, ingest.file_detected.v1, ingest.file_skipped.v1, ingest.chunk_created.v1,
    ingest.completed.v1

Every file has one detected event. A file that is skipped has a skipped event after it, perhaps much later: if
its parser dies of it, say. The completed event is the last of its job.

What belongs here: what events say, and counting them. What does not: where they are kept (event_log).
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, NotRequired, TypedDict

from ingest_assets.model import ConfigurationError, digest_of

STARTED: Final = "ingest.started.v1"
FILE_DETECTED: Final = "ingest.file_detected.v1"
FILE_SKIPPED: Final = "ingest.file_skipped.v1"
CHUNK_CREATED: Final = "ingest.chunk_created.v1"
COMPLETED: Final = "ingest.completed.v1"

EventType = Literal[
    "ingest.started.v1",
    "ingest.file_detected.v1",
    "ingest.file_skipped.v1",
    "ingest.chunk_created.v1",
    "ingest.completed.v1",
]
Result = Literal["success", "failed"]
SkipReason = Literal["binary", "too_large", "unsupported_language", "ignore_pattern", "parse_error"]
# The language of a file that is skipped before it is known: readers rely on a string being there.
UNKNOWN_LANGUAGE = "unknown"
UNREAD_REASON: Final = "parse_error"  # of a file that should have been read, and could not be
META = {"producer": "ingest-assets", "schema": "1"}
# The UUIDv5 namespace of all job and event ids: it must never change.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ingest-assets:job")


class Context(TypedDict):
    """The job that an event belongs to."""

    job_id: str
    repo_url: str
    git_ref: str | None


class JobEvent(TypedDict):
    """An event in its envelope. `status` is on completed events only."""

    event_id: str
    event_type: EventType
    timestamp: str  # ISO 8601, UTC
    sequence: int  # from 0 within its job, without gaps
    context: Context
    meta: dict[str, str]
    payload: dict[str, Any]
    status: NotRequired[Result]


class Summary(TypedDict):
    """The result of a job, in numbers."""

    status: Result
    files_detected: int
    files_processed: int
    files_skipped: int
    chunks_created: int
    duration_ms: int
    language_breakdown: dict[str, int]
    missing: NotRequired[dict[str, int]]  # how much is not there that should be, by kind; absent if nothing


class Draft(NamedTuple):
    """An event that has no sequence yet."""

    event_type: EventType
    payload: dict[str, Any]
    status: Result | None = None
    language: str | None = None  # that was told of a file which is skipped: it does not count any more


def started(repo_url: str, git_ref: str | None, commit_sha: str | None) -> Draft:
    """`commit_sha` is None where there is no commit."""
    return Draft(STARTED, {"repo_url": repo_url, "git_ref": git_ref, "commit_sha": commit_sha})


def file_detected(file_path: str, language: str = UNKNOWN_LANGUAGE, size_bytes: int = 0) -> Draft:
    payload = {"file_path": file_path, "language": language, "size_bytes": size_bytes}
    return Draft(FILE_DETECTED, payload)


def file_skipped(file_path: str, reason: SkipReason, language: str | None = None) -> Draft:
    """Must come after the file's own detected event. `language`: what was told there, if it is known."""
    return Draft(FILE_SKIPPED, {"file_path": file_path, "reason": reason}, language=language)


def chunk_created(
    chunk_id: str,
    file_path: str,
    language: str,
    byte_range: tuple[int, int],
    symbol: tuple[str, str],
    content: str,
) -> Draft:
    """`byte_range` is (start, end) in the file, end exclusive; `symbol` is (kind, name)."""
    payload = {
        "chunk_id": chunk_id,
        "file_path": file_path,
        "language": language,
        "byte_range": {"start": byte_range[0], "end": byte_range[1]},
        "symbol_kind": symbol[0],
        "symbol_name": symbol[1],
        "content": content,
    }
    return Draft(CHUNK_CREATED, payload)


def completed(
    tally: Tally, duration_ms: int, error: str | None = None, missing: Mapping[str, int] | None = None
) -> Draft:
    """`error` is the reason for a failure or a cancellation; None for success.

    `missing` is how much is not there that should be, by kind; the payload has it only if something is.
    """
    payload = {
        "files_detected": tally.files_detected,
        "files_processed": tally.files_processed,
        "files_skipped": tally.files_skipped,
        "chunks_created": tally.chunks_created,
        "duration_ms": max(0, duration_ms),
        "language_breakdown": dict(sorted(tally.languages.items())),
        "error": error,
    }
    if missing:
        payload["missing"] = dict(missing)
    return Draft(COMPLETED, payload, "success" if error is None else "failed")


@dataclass(slots=True)
class Tally:
    """The counts of a job, updated with each of its events, in order."""

    files_detected: int = 0
    files_skipped: int = 0
    chunks_created: int = 0
    languages: Counter[str] = field(default_factory=Counter)  # of the files that were not skipped
    unread: int = 0  # of the skipped, those that should have been read

    @property
    def files_processed(self) -> int:
        return self.files_detected - self.files_skipped

    def count(self, draft: Draft) -> None:
        payload = draft.payload
        if draft.event_type == FILE_DETECTED:
            self.files_detected += 1
            if payload["language"] != UNKNOWN_LANGUAGE:
                self.languages[payload["language"]] += 1
        elif draft.event_type == FILE_SKIPPED:
            self.files_skipped += 1
            self.unread += payload["reason"] == UNREAD_REASON
            if draft.language is not None:
                self.languages -= Counter([draft.language])  # without languages whose count is 0
        elif draft.event_type == CHUNK_CREATED:
            self.chunks_created += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "files_detected": self.files_detected,
            "files_skipped": self.files_skipped,
            "chunks_created": self.chunks_created,
            "languages": self.languages,
            "unread": self.unread,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tally:
        return cls(
            value["files_detected"],
            value["files_skipped"],
            value["chunks_created"],
            Counter(value["languages"]),
            value.get("unread", 0),
        )


def seal(draft: Draft, context: Context, sequence: int, at: float) -> JobEvent:
    """A draft in its envelope. The id is derived from the job and the sequence."""
    event = JobEvent(
        event_id=str(uuid.uuid5(NAMESPACE, digest_of("event", context["job_id"], str(sequence)))),
        event_type=draft.event_type,
        timestamp=iso(at),
        sequence=sequence,
        context=context,
        meta=META,
        payload=draft.payload,
    )
    if draft.status is not None:
        event["status"] = draft.status
    return event


def summary_of(events: Iterable[JobEvent]) -> Summary:
    """The summary from the completed event. Raises ConfigurationError when that is not among the events."""
    for event in events:
        if event["event_type"] == COMPLETED:
            payload = event["payload"]
            summary = Summary(
                status=event.get("status", "failed"),
                files_detected=payload["files_detected"],
                files_processed=payload["files_processed"],
                files_skipped=payload["files_skipped"],
                chunks_created=payload["chunks_created"],
                duration_ms=payload["duration_ms"],
                language_breakdown=payload["language_breakdown"],
            )
            if "missing" in payload:
                summary["missing"] = payload["missing"]
            return summary
    raise ConfigurationError("The job has not ended yet: there is no summary.")


def iso(at: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC: 2025-01-31T12:00:00.123Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
