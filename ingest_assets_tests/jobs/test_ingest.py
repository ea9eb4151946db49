"""A repository as a stream of events, with and without a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from ingest_assets.chunking.prose import ChunkBudget
from ingest_assets.chunking.records import RecordChunker
from ingest_assets.jobs import event_log, workers
from ingest_assets.jobs.event_log import JobEvents
from ingest_assets.jobs.events import Context, Draft, JobEvent, summary_of
from ingest_assets.jobs.streaming import failure_in, stream
from ingest_assets.ledger import Ledger
from ingest_assets.model import Chunk, Chunker, Document, ItemError, UnavailableError
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.sources.repositories.streaming import FileSource, ingest_events
from ingest_assets_tests.jobs.conftest import Start
from ingest_assets_tests.sources.repositories.repos import TestRepo, local_mirror

CONTEXT = Context(job_id="job", repo_url="/r", git_ref=None)
PYTHON = "# größe\n\n" + "\n\n".join(f"def f{n}():\n    return 'ä' * {n}" for n in range(60))
FILES = {
    "a.py": PYTHON.encode(),
    "b.rs": b"fn main() {}\n",
    "image.png": b"\x89PNG\0\0",
    "large.txt": b"x" * (1 << 20) + b"x",
    "node_modules/x.js": b"let x = 1\n",
    "old.txt": "größe\r\n".encode("cp1252"),
    "wide.txt": "größe\n".encode("utf-16"),
}


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    with TestRepo(tmp_path / "repo") as repo:
        repo.commit(FILES)
    return RepositorySource("repositories", local_mirror(tmp_path / "repo"), prefix="local/repo/")


class RefusesRust(RecordChunker):
    """A chunker that cannot cut Rust."""

    def chunks(self, document: Document) -> list[Chunk]:
        if document.id.endswith(".rs"):
            raise ItemError("no")
        return super().chunks(document)


BUDGET = ChunkBudget(300)
CHUNKER = RecordChunker("repositories/x", BUDGET)


def _drafts(source: FileSource, chunker: Chunker = CHUNKER) -> list[Draft]:
    return list(ingest_events(source, chunker, repo_url="/r"))


def _of(found: Sequence[JobEvent], kind: str) -> list[JobEvent]:
    return [event for event in found if event["event_type"] == f"ingest.{kind}.v1"]


def test_every_file_has_its_events(source: FileSource) -> None:
    found = list(stream(ingest_events(source, RefusesRust("repositories/x", BUDGET), repo_url="/r"), CONTEXT))
    assert [event["sequence"] for event in found] == list(range(len(found)))
    assert found[0]["payload"] == {"repo_url": "/r", "git_ref": None, "commit_sha": source.commit}
    detected = {e["payload"]["file_path"]: e["payload"] for e in _of(found, "file_detected")}
    sizes = {path: len(content) for path, content in FILES.items()}
    del sizes["node_modules/x.js"]  # an ignored folder is one item, and is not read
    assert {path: each["size_bytes"] for path, each in detected.items()} == sizes | {"node_modules/": 0}
    skipped = {e["payload"]["file_path"]: e["payload"]["reason"] for e in _of(found, "file_skipped")}
    assert skipped == {
        "image.png": "binary",
        "large.txt": "too_large",
        "node_modules/": "ignore_pattern",
        "b.rs": "parse_error",
    }
    chunks = [event["payload"] for event in _of(found, "chunk_created")]
    assert summary_of(found) | {"duration_ms": 0} == {
        "status": "failed",  # a file that should have been read was not
        "missing": {"unread": 1},
        "files_detected": 7,
        "files_processed": 3,
        "files_skipped": 4,
        "chunks_created": len(chunks),
        "duration_ms": 0,
        "language_breakdown": {"Python": 1, "Text": 2},
    }
    assert "1 file could not be read" in str(failure_in(found))


def test_byte_ranges_are_offsets_in_the_file(source: FileSource) -> None:
    chunks = [draft.payload for draft in _drafts(source) if draft.event_type == "ingest.chunk_created.v1"]
    encodings = {"old.txt": "cp1252", "wide.txt": "utf-16-le"}
    assert {chunk["file_path"] for chunk in chunks} == {"a.py", "b.rs", "old.txt", "wide.txt"}
    assert len([chunk for chunk in chunks if chunk["file_path"] == "a.py"]) > 5
    for chunk in chunks:
        path, place = chunk["file_path"], chunk["byte_range"]
        piece = FILES[path][place["start"] : place["end"]]
        assert piece.decode(encodings.get(path, "utf-8")) == chunk["content"]


def test_events_are_deterministic(source: FileSource) -> None:
    assert _drafts(source) == _drafts(source)


def test_attributes_of_chunks_are_passed_on(source: FileSource) -> None:
    class CutsSymbols(RecordChunker):
        def chunks(self, document: Document) -> list[Chunk]:
            attributes: dict[str, str | int] = {
                "symbol_kind": "function",
                "symbol_name": "main",
                "start_byte": 1,
                "end_byte": 3,
                "language": "TSX",
            }
            return [Chunk("id", document.id, 0, 1, 3, "text", attributes)]

    chunk = next(d.payload for d in _drafts(source, CutsSymbols("x", BUDGET)) if "symbol_kind" in d.payload)
    assert chunk["byte_range"] == {"start": 1, "end": 3}
    assert (chunk["symbol_kind"], chunk["symbol_name"], chunk["language"]) == ("function", "main", "TSX")


@pytest.mark.parametrize(
    ("error", "shown"),
    [(UnavailableError("The time is up."), "The time is up."), (KeyError("x"), "KeyError: 'x'")],
)
def test_a_failure_is_in_the_completed_event(source: FileSource, error: Exception, shown: str) -> None:
    calls = iter([None, error])

    def check() -> None:
        if failure := next(calls):
            raise failure

    found: list[JobEvent] = []
    with closing(stream(ingest_events(source, CHUNKER, repo_url="/r", check=check), CONTEXT)) as events:
        try:
            for event in events:
                found.append(event)  # noqa: PERF402  # those before the failure are checked below
        except KeyError:
            assert isinstance(error, KeyError)
    assert len(_of(found, "completed")) == 1
    assert found[-1]["status"] == "failed"
    assert failure_in(found) == shown
    assert summary_of(found)["files_detected"] > 0


def test_closing_the_stream_closes_the_source(source: FileSource) -> None:
    opened = ingest_events(source, CHUNKER, repo_url="/r")
    events = stream(opened, CONTEXT)
    next(events)
    events.close()
    assert list(opened) == []


def test_a_repository_without_commits(tmp_path: Path) -> None:
    with TestRepo(tmp_path / "empty"):
        pass
    source = RepositorySource("repositories/x", local_mirror(tmp_path / "empty"))
    found = list(stream(ingest_events(source, CHUNKER, repo_url="/r"), CONTEXT))
    assert [event["event_type"] for event in found] == ["ingest.started.v1", "ingest.completed.v1"]
    assert (found[0]["payload"]["commit_sha"], found[1]["status"]) == (None, "success")


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_logged_and_streamed_events_are_the_same(ledger: Ledger, start: Start, source: FileSource) -> None:
    job = start().job_id
    workers.mark_running(ledger, job, "run")
    with JobEvents(ledger, job, batch=7) as log:
        for draft in _drafts(source):
            log.add(draft)
    workers.end(ledger, job, "completed")
    logged = event_log.after(ledger, job)
    context = Context(job_id=job, repo_url="https://github.com/owner/name", git_ref=None)
    streamed = list(stream(ingest_events(source, CHUNKER, repo_url="/r"), context))
    for event in (*logged, *streamed):
        event["timestamp"] = ""
        event["payload"].pop("duration_ms", None)
    assert logged == streamed
