"""A job of whose repository anything is missing is no success, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ingest_assets.chunking import code
from ingest_assets.jobs import event_log
from ingest_assets.jobs.events import summary_of
from ingest_assets.jobs.missing import missing
from ingest_assets.jobs.rows import job_of, require
from ingest_assets.ledger import tables
from ingest_assets.sources.repositories.definition import SOURCE
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Endpoint, Reply, good_answer, serving
from ingest_assets_tests.orchestration.test_indexing_jobs import Jobs
from ingest_assets_tests.sandbox.tasks import Mortal
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home

POISON = "def poison():\n    return 'unspeakable'\n"


@pytest.fixture
def refusing() -> Iterator[Endpoint]:
    """An endpoint that accepts no text with a certain word."""
    with serving() as endpoint:
        yield endpoint


@pytest.fixture
def jobs(home: Home, refusing: Endpoint) -> Iterator[Jobs]:
    home = home.with_settings(spark_control_url=refusing.url, ingest_dense_dimension=DIMENSION)
    with home.instance() as instance:
        yield Jobs(home, instance)


def done(jobs: Jobs, job_id: str) -> dict[str, Any]:
    """The status after the job's run."""
    requests = {request.run_key: request for request in jobs.tick()}
    success = jobs.run(requests[job_id]).success
    status = jobs.status(job_id)
    assert success, status["error_message"]  # what it could do is done
    return status


def test_a_text_that_the_model_refuses_fails_the_job_until_it_is_accepted(
    jobs: Jobs, repo: TestRepo, refusing: Endpoint
) -> None:
    answered = refusing.usual

    reply = Reply()

    def body(asked: dict[str, Any]) -> object:
        bad = any("unspeakable" in text for text in asked["input"])
        reply.status = 400 if bad else 200
        return {"error": "refused"} if bad else good_answer(asked)

    reply.body = body
    refusing.usual = reply
    repo.commit({"fine.py": b"def fine():\n    return 1\n", "poison.py": POISON.encode()})
    with TestRepo(repo.path.parent / "other") as other:
        other.commit({"good.py": b"def good():\n    return 2\n"})
    job_id = jobs.start(repo.path)
    failed = done(jobs, job_id)
    assert (failed["status"], failed["error_type"], failed["missing"]) == (
        "failed", "IncompleteError", {"parked": 1},
    )  # fmt: skip
    assert "1 item is parked" in failed["error_message"]
    assert "poison.py" in failed["error_message"]
    with jobs.home.bench() as bench:
        events = event_log.after(bench.ledger, job_id)
    assert (events[-1]["status"], summary_of(events)["missing"]) == ("failed", {"parked": 1})
    # A job of another repository is not concerned.
    assert done(jobs, jobs.start(other.path))["status"] == "completed"
    # Asked again, what failed is tried again.
    refusing.usual = answered
    again = done(jobs, jobs.start(repo.path))
    assert (again["status"], again["missing"], again["error_type"]) == ("completed", {}, None)


def test_a_file_that_could_not_be_read_fails_the_job(jobs: Jobs, repo: TestRepo) -> None:
    blob = repo.blob(b"a = 1\n")
    repo.commit_tree(repo.tree([(b"fine.py", 0o100644, blob), (b"gr\xfc\xdfe.py", 0o100644, blob)]))
    failed = done(jobs, jobs.start(repo.path))
    assert (failed["status"], failed["missing"]) == ("failed", {"unread": 1})
    assert "1 file could not be read" in failed["error_message"]
    assert "not a valid name" in failed["error_message"]
    # One that is left out on purpose is not missing.
    repo.commit({"fine.py": b"a = 1\n", "logo.png": b"\0\0"})
    assert done(jobs, jobs.start(repo.path))["status"] == "completed"


def test_chunks_that_no_point_has_fail_the_job(jobs: Jobs, repo: TestRepo) -> None:
    job_id = jobs.start(repo.path)
    assert done(jobs, job_id)["status"] == "completed"
    with jobs.home.bench() as bench:
        assert SOURCE.jobs is not None
        with bench.ledger.reading() as connection:
            job = job_of(require(connection, job_id))
        scope = SOURCE.jobs.scope(bench, job)
        assert scope is not None
        assert missing(bench, "repositories", scope).error is None
        with bench.ledger.transaction() as connection:
            connection.execute(tables.point.delete())
        found = missing(bench, "repositories", scope, lambda: ["search_answers"])
        assert found.counts["failed_checks"] == 1
        assert found.counts["without_point"] >= 2
        assert "chunks are not in the index" in str(found.error)


def test_a_file_that_kills_its_parser_is_skipped_in_the_events(
    jobs: Jobs, repo: TestRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"fine.py": b"def fine():\n    return 1\n", "poison.py": POISON.encode()})
    with monkeypatch.context() as patched:
        patched.setattr(code, "CodeChunker", Mortal)
        job_id = jobs.start(repo.path)
        failed = done(jobs, job_id)
    assert (failed["status"], failed["missing"], failed["files_indexed"]) == ("failed", {"parked": 1}, 1)
    said = _told(jobs, job_id)
    assert said["skipped"] == [{"file_path": "poison.py", "reason": "parse_error"}]
    assert [each["file_path"] for each in said["chunks"]] == ["fine.py"]
    last = said["completed"]
    assert (last["files_detected"], last["files_processed"], last["files_skipped"]) == (2, 1, 1)
    assert last["language_breakdown"] == {"Python": 1}
    # It is cut now, and dies again when it has changed: its earlier chunks stay, and are not told of.
    assert done(jobs, jobs.start(repo.path))["status"] == "completed"
    repo.commit({"poison.py": POISON.encode() + b"\n# changed\n", "fine.py": b"def fine():\n    return 2\n"})
    with monkeypatch.context() as patched:
        patched.setattr(code, "CodeChunker", Mortal)
        again = jobs.start(repo.path)
        assert done(jobs, again)["missing"] == {"parked": 1}
    said_again = _told(jobs, again)
    assert said_again["skipped"] == said["skipped"]
    assert [each["file_path"] for each in said_again["chunks"]] == ["fine.py"]


def _told(jobs: Jobs, job_id: str) -> dict[str, Any]:
    """The payloads of a job's events."""
    with jobs.home.bench() as bench:
        events = event_log.after(bench.ledger, job_id)
    of = {kind: [e["payload"] for e in events if kind in e["event_type"]] for kind in ("skipped", "chunk_c")}
    return {"skipped": of["skipped"], "chunks": of["chunk_c"], "completed": events[-1]["payload"]}
