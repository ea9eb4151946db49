"""A forced job reads, cuts and embeds everything of its repository again, and nothing of any other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.collection.base import Payload
from ingest_assets.interfaces.cli.runs import run_job
from ingest_assets.interfaces.job_service import JobRequest, JobStatus
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.ledger import tables
from ingest_assets.model import Chunk, Document
from ingest_assets.queries.search import open_search
from ingest_assets.sandbox.chunking import ConfinedChunker
from ingest_assets.sources.repositories.source import ConfinedRepository
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Endpoint, Reply, serving, vector_of
from ingest_assets_tests.orchestration.shop import GO, PYTHON
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home

QUERY = "the amount less the share of it that the rate says"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


@pytest.fixture
def two(home: Home, repo: TestRepo, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Two indexed repositories with a file in common, and an endpoint that counts what it embeds."""
    two = home.with_settings(spark_control_url=endpoint.url, ingest_dense_dimension=DIMENSION)
    for name, value in two.overrides.items():
        monkeypatch.setenv(name.upper(), str(value))
    with TestRepo(repo.path.parent / "other") as other:
        other.commit({"also.go": GO, "only.py": PYTHON.replace(b"discount", b"rebate")})
    for path in (repo.path, other.path):
        done(two, str(path))
    return two


def done(home: Home, path: str, **options: Any) -> JobStatus:
    with home.bench() as bench:
        jobs = QueuedJobs(bench)
        job_id = jobs.start(JobRequest(path, **options)).job_id
        assert run_job(home.load(), job_id)["status"] == "completed"
        found = jobs.status(job_id)
    assert (found.status, found.progress_percentage) == ("completed", 100)
    return found


def embedded(endpoint: Endpoint) -> list[str]:
    """The texts that were embedded since this was asked last, without those of searches."""
    texts = [text for request in endpoint.requests for text in request["input"]]
    endpoint.requests.clear()
    return sorted(text for text in texts if text != QUERY and "ready" not in text)


def indexed(home: Home) -> tuple[dict[str, Payload], dict[str, bytes]]:
    """Every point, and the vector of every text."""
    with home.bench() as bench, bench.store.reader("repository_chunks") as reader:
        with bench.ledger.reading() as connection:
            chunks = connection.scalars(sa.select(tables.chunk.c.chunk_id)).all()
            vectors = connection.execute(sa.select(tables.dense_vector)).all()
        assert reader.count() == len(chunks)
        return reader.payloads(chunks), {row.text_digest: row.vector for row in vectors}


def test_everything_of_the_repository_and_nothing_else_is_made_again(
    two: Home, repo: TestRepo, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path = indexed(two), str(repo.path)
    embedded(endpoint)
    assert done(two, path).force_reindex is False
    assert embedded(endpoint) == []
    read, cut = list[str](), list[str]()
    real_read, real_cut = ConfinedRepository.read, ConfinedChunker.chunks

    def reads(source: ConfinedRepository) -> Any:
        read.append(source.prefix)
        return real_read(source)

    def cuts(chunker: ConfinedChunker, document: Document) -> list[Chunk]:
        cut.append(document.id)
        return real_cut(chunker, document)

    monkeypatch.setattr(ConfinedRepository, "read", reads)
    monkeypatch.setattr(ConfinedChunker, "chunks", cuts)
    forced = done(two, path, force_reindex=True)
    assert forced.force_reindex is True
    assert (forced.files_scanned, forced.files_indexed) == (2, 2)
    assert {each.removesuffix("/") for each in read} == {forced.repository_id}
    assert {each.rpartition("/")[2] for each in cut} == {"price.py", "crank.go"}
    assert all(each.startswith(f"{forced.repository_id}/") for each in cut)
    mine = [
        payload["text"] for payload in before[0].values() if payload["repository"] == forced.repository_id
    ]
    assert embedded(endpoint) == sorted(mine)
    assert indexed(two) == before


def test_what_a_model_answers_now_is_what_is_found(two: Home, repo: TestRepo, endpoint: Endpoint) -> None:
    """An endpoint that has changed behind its name: the memo would hide it."""

    def otherwise(body: dict[str, Any]) -> dict[str, Any]:
        answers = [
            {"index": i, "embedding": vector_of(f"now {text}")} for i, text in enumerate(body["input"])
        ]
        return {"object": "list", "model": body["model"], "data": answers}

    before = indexed(two)[1]
    endpoint.usual = Reply(body=otherwise)
    forced = done(two, str(repo.path), force_reindex=True)
    after = indexed(two)[1]
    assert after.keys() == before.keys()
    changed = {key for key, vector in after.items() if vector != before[key]}
    with two.bench() as bench:
        with bench.ledger.reading() as connection:
            mine = connection.scalars(
                sa.select(tables.chunk.c.text_digest).where(
                    tables.chunk.c.document_id.startswith(f"{forced.repository_id}/")
                )
            )
            assert changed == set(mine)
            price = sa.select(tables.chunk.c.text).where(tables.chunk.c.document_id.endswith("price.py"))
            text = connection.scalars(price).first() or ""
        # A query that is embedded like the chunk now is: the point holds the new vector.
        [best] = open_search(bench, "repositories").search(text, mode="dense", limit=1).hits
    assert best.document_id == f"{forced.repository_id}/shop/price.py"
    assert best.score > 0.999


def test_no_point_is_missed_meanwhile(two: Home, repo: TestRepo) -> None:
    """Whoever searches while it runs finds what there was before, each time."""
    with two.bench() as bench:
        search = open_search(bench, "repositories")
        wanted = {hit.chunk_id for hit in search.search(QUERY, mode="sparse", limit=100).hits}
        working = threading.Thread(target=done, args=(two, str(repo.path)), kwargs={"force_reindex": True})
        working.start()
        found, times = set[str](), 0
        while working.is_alive() or not times:
            found = {hit.chunk_id for hit in search.search(QUERY, mode="sparse", limit=100).hits}
            assert found == wanted
            times += 1
    working.join()
    assert wanted


def test_a_forced_job_that_is_cancelled_leaves_the_index_whole(
    two: Home, repo: TestRepo, endpoint: Endpoint
) -> None:
    before = indexed(two)
    with two.bench() as bench:
        jobs = QueuedJobs(bench)
        job_id = jobs.start(JobRequest(str(repo.path), force_reindex=True)).job_id

        def cancels(body: dict[str, Any]) -> dict[str, Any]:
            jobs.cancel(job_id)
            vectors = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(body["input"])]
            return {"object": "list", "model": body["model"], "data": vectors}

        endpoint.then(Reply(body=cancels))
        assert run_job(two.load(), job_id)["status"] == "cancelled"
    assert indexed(two) == before
