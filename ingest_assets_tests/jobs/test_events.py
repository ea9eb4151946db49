"""Events of contract 2: their envelope, their order, and reading them again from any event."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from ingest_assets.jobs import event_log, events, workers
from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.jobs.event_log import JobEvents
from ingest_assets.ledger import Ledger
from ingest_assets.model import ConfigurationError
from ingest_assets_tests.jobs.conftest import Start

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def job(ledger: Ledger, start: Start) -> str:
    job_id = start(git_ref="main").job_id
    workers.mark_running(ledger, job_id, "run")
    return job_id


@both
def test_the_events_of_a_job(ledger: Ledger, job: str) -> None:
    content = "fn main() { \0 ü \ud800 }"
    with JobEvents(ledger, job) as log:
        log.add(events.started("https://github.com/owner/name", "main", "c0ffee"))
        log.add(events.file_detected("a.rs", "Rust", 21))
        log.add(events.chunk_created("id", "a.rs", "Rust", (0, 21), ("function", "main"), content))
        log.add(events.file_detected("b.bin"))
        log.add(events.file_skipped("b.bin", "binary"))
        log.add(events.file_detected("c.py", "Python", 3))
        log.add(events.file_skipped("c.py", "parse_error", "Python"))
    assert workers.end(ledger, job, "completed")
    found = event_log.after(ledger, job)
    assert [event["sequence"] for event in found] == list(range(8))
    context = {"job_id": job, "repo_url": "https://github.com/owner/name", "git_ref": "main"}
    assert all(event["context"] == context for event in found)
    assert [event.get("status") for event in found] == [None] * 7 + ["success"]
    assert set(found[0]) == {
        "event_id",
        "event_type",
        "timestamp",
        "sequence",
        "context",
        "meta",
        "payload",
    }
    assert [(event["event_type"], event["payload"]) for event in found[:3]] == [
        (
            "ingest.started.v1",
            {"repo_url": "https://github.com/owner/name", "git_ref": "main", "commit_sha": "c0ffee"},
        ),
        ("ingest.file_detected.v1", {"file_path": "a.rs", "language": "Rust", "size_bytes": 21}),
        (
            "ingest.chunk_created.v1",
            {
                "chunk_id": "id",
                "file_path": "a.rs",
                "language": "Rust",
                "byte_range": {"start": 0, "end": 21},
                "symbol_kind": "function",
                "symbol_name": "main",
                "content": content,
            },
        ),
    ]
    assert found[4]["payload"] == {"file_path": "b.bin", "reason": "binary"}
    last = found[-1]["payload"]
    assert last.pop("duration_ms") >= 0
    assert last == {
        "files_detected": 3,
        "files_processed": 1,
        "files_skipped": 2,
        "chunks_created": 1,
        "language_breakdown": {"Rust": 1},
        "error": None,
    }
    assert [event_log.is_last(event) for event in found] == [False] * 7 + [True]
    assert len({event["event_id"] for event in found}) == 8


@both
def test_reading_continues_from_any_event(ledger: Ledger, job: str) -> None:
    assert event_log.after(ledger, job) == []
    event_log.append(ledger, job, [events.file_detected(str(n)) for n in range(10)])
    assert event_log.append(ledger, job, [events.file_detected("more")]) == 10
    whole = event_log.after(ledger, job)
    assert event_log.after(ledger, job, 3, limit=2) == whole[4:6]
    assert event_log.after(ledger, job, 10) == []
    assert event_log.after(ledger, job, 2**31 - 1) == []
    for sequence, limit in ((-2, 1), (2**31, 1), (0, 0), (0, -1), (0, 10_001)):
        with pytest.raises(ConfigurationError):
            event_log.after(ledger, job, sequence, limit)


def test_sequences_from_last_event_ids() -> None:
    assert [event_log.sequence_of(text) for text in (None, "", " ", "0", "17")] == [-1, -1, -1, 0, 17]
    assert event_log.sequence_of("9" * 10) == 2**31 - 1
    for wrong in ("-1", "1.5", "٣", "x", "1" * 11, "\0", "9" * 1_000_000):
        with pytest.raises(ConfigurationError):
            event_log.sequence_of(wrong)


@both
def test_a_job_that_ended_accepts_no_events(ledger: Ledger, job: str) -> None:
    workers.end(ledger, job, "failed", "no")
    with pytest.raises(JobCancelledError, match="The job is failed"):
        event_log.append(ledger, job, [events.file_detected("late")])
    with pytest.raises(JobCancelledError), JobEvents(ledger, job) as log:
        log.add(events.file_detected("late"))
    with pytest.raises(ZeroDivisionError), JobEvents(ledger, job) as log:  # noqa: PT012 - must fail inside the block
        log.add(events.file_detected("late"))
        raise ZeroDivisionError
    assert len(event_log.after(ledger, job)) == 1
    with pytest.raises(ValueError, match="ending"):
        event_log.append(ledger, job, [events.completed(events.Tally(), 0)])


def test_many_events_are_few_transactions(ledger: Ledger, job: str) -> None:
    begun = []
    sa.event.listen(ledger.engine, "begin", lambda _: begun.append(1))
    with JobEvents(ledger, job, interval_s=3_600) as log:
        for n in range(5_000):
            log.add(events.file_detected(str(n)))
        log.flush()
        log.flush()
    assert len(begun) == 10
    assert len(event_log.after(ledger, job, limit=10_000)) == 5_000


def test_events_are_written_after_the_interval(ledger: Ledger, job: str) -> None:
    with JobEvents(ledger, job, interval_s=0) as log:
        log.add(events.file_detected("a"))
        assert len(event_log.after(ledger, job)) == 1


def test_the_tally_continues_from_batch_to_batch(ledger: Ledger, job: str) -> None:
    event_log.append(ledger, job, [events.file_detected("a", "Rust", 1), events.file_detected("b")])
    event_log.append(ledger, job, [events.file_skipped("a", "parse_error", "Rust")])
    workers.end(ledger, job, "completed")
    summary = events.summary_of(event_log.after(ledger, job))
    assert (summary["files_skipped"], summary["language_breakdown"]) == (1, {})


def test_there_is_no_summary_before_the_end(ledger: Ledger, job: str) -> None:
    with pytest.raises(ConfigurationError, match="not ended"):
        events.summary_of(event_log.after(ledger, job))
