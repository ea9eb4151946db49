"""How large a repository may be: for background jobs MAX_REPO_SIZE_GB, where somebody waits another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.serverless import handler as serverless
from ingest_assets.interfaces.job_service import JobRequest
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs.queue import STREAMED, JobTarget, start
from ingest_assets.jobs.rows import job_of, require
from ingest_assets.model import ConfigurationError, ContentError
from ingest_assets.settings import load_settings
from ingest_assets.sources.repositories.definition import SOURCE
from ingest_assets.sources.repositories.kept import GIB, bounds_of
from ingest_assets.sources.repositories.packfile import index_pack
from ingest_assets.workbench import Workbench
from ingest_assets_tests.sources.repositories.git_server import GitServer
from ingest_assets_tests.sources.repositories.packs import entry, measured, pack, pack_of_deltas
from ingest_assets_tests.sources.repositories.repos import TestRepo

MIB = 1 << 20
STREAM = {STREAMED: True}


def text(size: int, seed: int) -> bytes:
    """Text that compresses to no less than half."""
    return random.Random(seed).randbytes(size // 2).hex().encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A repository whose transfer has just over 1 MiB, and its files just over 2: by URL and by path."""
    folder = tmp_path_factory.mktemp("sizes")
    with TestRepo(folder / "repo") as repo:
        repo.commit({f"f{i}.txt": text(230_000, i) for i in range(10)})
    with GitServer(folder).running() as server:
        yield server.url(), folder / "repo"


@contextmanager
def working_for(
    tmp_path: Path, location: str, metadata: dict[str, Any], **settings: Any
) -> Iterator[tuple[Workbench, Any]]:
    """A workbench that works for a job of the repository, and the job."""
    given: dict[str, Any] = {
        "ingest_home": str(tmp_path / "home"),
        "ingest_repository_protocols": "http,file",
        "ingest_repository_private_addresses": True,
        "ingest_repository_roots": str(tmp_path.parent.parent),
    }
    with Workbench(load_settings(**given | settings)) as bench:
        assert SOURCE.jobs is not None
        target, ref = SOURCE.jobs.target(bench, location, None)
        assert isinstance(target, JobTarget)
        started = start(bench.ledger, target, git_ref=ref, metadata=metadata)
        with bench.ledger.reading() as connection:
            bench.job = job_of(require(connection, started.job_id))
        yield bench, bench.job


def read(bench: Workbench, job: Any) -> int:
    """Fetch what the job asks for and read it, as its run does. Returns how many files there are."""
    assert SOURCE.jobs is not None
    SOURCE.jobs.prepare(bench, job, lambda: None)
    with SOURCE.open(bench, job.repository_id).read() as items:
        return sum(1 for _ in items)


@pytest.mark.parametrize("way", ["url", "path"])
@pytest.mark.parametrize(
    ("metadata", "settings", "fits"),
    [
        ({}, {"ingest_repository_max_mib": 1}, True),  # the limit of streams is not for background jobs
        (STREAM, {"ingest_repository_max_mib": 1}, False),
        (STREAM, {"ingest_repository_max_mib": 3}, True),
        ({}, {"max_repo_size_gb": 0.9 * MIB / GIB}, False),
        ({}, {"max_repo_size_gb": 3 * MIB / GIB}, True),
        (STREAM, {"max_repo_size_gb": 0.9 * MIB / GIB}, False),  # a stream has no larger limit than a job
    ],
    ids=["job above stream's", "above stream's", "below stream's", "above job's", "below job's", "both"],
)
def test_above_and_below_each_limit(
    served: tuple[str, Path], tmp_path: Path, way: str, metadata: dict[str, Any], settings: Any, fits: bool
) -> None:
    url, path = served
    with working_for(tmp_path, url if way == "url" else str(path), metadata, **settings) as (bench, job):
        if fits:
            assert read(bench, job) == 10
        else:
            with pytest.raises(ContentError, match=r"MAX_REPO_SIZE_GB.*INGEST_REPOSITORY_MAX_MIB"):
                read(bench, job)


def test_a_repository_that_a_job_indexed_is_refreshed_though_it_is_too_large_for_a_stream(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    with working_for(tmp_path, served[0], {}, ingest_repository_max_mib=1) as (bench, job):
        assert read(bench, job) == 10
        bench.job = None
        partitions = SOURCE.partitions
        assert partitions is not None
        partitions.prepare(bench, job.repository_id, lambda: None)
        with SOURCE.open(bench, job.repository_id).read() as items:
            assert sum(1 for _ in items) == 10


def test_a_background_job_is_not_given_the_job_of_a_stream(served: tuple[str, Path], tmp_path: Path) -> None:
    """That one may fail of a limit that this one does not have. The other way round there is no harm."""
    request = JobRequest(served[0])
    with working_for(tmp_path, served[0], STREAM) as (bench, streamed):
        jobs = QueuedJobs(bench)
        assert jobs.start(replace(request, streamed=True)).job_id == streamed.id
        background = jobs.start(request)
        assert (background.existing, background.job_id != streamed.id) == (False, True)
        assert jobs.start(replace(request, streamed=True)).job_id == background.job_id


def test_the_limits_of_the_settings() -> None:
    given = load_settings(_env_file=None)
    background, streamed = bounds_of(given), bounds_of(given, streamed=True)
    assert background.fetch.repository_bytes == background.tree.total_bytes == 10 * GIB
    assert streamed.fetch.repository_bytes == streamed.tree.total_bytes == 100 * MIB
    # Ten GiB are not held in memory.
    assert background.fetch.held_bytes == 256 * MIB
    assert streamed.fetch.held_bytes == 100 * MIB
    with pytest.raises(ConfigurationError, match="MAX_REPO_SIZE_GB"):
        bounds_of(load_settings(_env_file=None, max_repo_size_gb=0))


def test_the_serverless_handler_has_the_limits_of_a_stream(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_REPOSITORY_PROTOCOLS", "http")
    monkeypatch.setenv("INGEST_REPOSITORY_PRIVATE_ADDRESSES", "true")
    for mib, status in (("1", "error"), ("3", "success")):
        monkeypatch.setenv("INGEST_REPOSITORY_MAX_MIB", mib)
        serverless.by_settings.cache_clear()
        answer = serverless.handler({"repo_url": served[0]})
        assert answer["status"] == status
        assert "INGEST_REPOSITORY_MAX_MIB" in answer.get("message", "INGEST_REPOSITORY_MAX_MIB")
    monkeypatch.setenv("INGEST_REPOSITORY_MAX_MIB", "none")
    serverless.by_settings.cache_clear()
    answer = serverless.handler({"httpMethod": "POST", "body": "{}"})
    assert answer["statusCode"] == 502
    assert "none" not in answer["body"]
    serverless.by_settings.cache_clear()


# --- What is held of a large pack ---------------------------------------------------------------------------


def test_a_pack_larger_than_what_may_be_held(tmp_path: Path) -> None:
    """A large file that is packed as it is need not be held; changes of large files must be."""
    large = random.Random(0).randbytes(6 * MIB)
    path = tmp_path / "tmp-1.pack"
    path.write_bytes(pack(*[entry(3, len(large) - i, large[i:]) for i in range(4)]))
    code = f"packfile.index_pack(Path({str(path)!r}), {40 * MIB}, lambda: None, None, {2 * MIB})"
    more, outcome = measured(code)
    assert (outcome, more < 8 * MIB) == ("done", True)
    path.write_bytes(pack_of_deltas(large, [0, 1]))
    with pytest.raises(ContentError, match="INGEST_PARSER_MEMORY_MIB"):
        index_pack(path, 40 * MIB, lambda: None, None, 2 * MIB)
    assert index_pack(path, 40 * MIB, lambda: None, None, 30 * MIB) is not None
