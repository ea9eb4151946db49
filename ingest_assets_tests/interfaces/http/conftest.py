"""Two servers on the shared index, one with and one without tokens."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from ingest_assets_tests.interfaces.http.memory_jobs import MemoryJobs
from ingest_assets_tests.interfaces.http.served import TOKENS, Served, served
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import built, built_once, empty, ingest_here

__all__ = ["built", "built_once", "empty", "ingest_here"]


@pytest.fixture(scope="session")
def jobs() -> MemoryJobs:
    return MemoryJobs()


@pytest.fixture(scope="session")
def open_server(built_once: Home, jobs: MemoryJobs) -> Iterator[Served]:
    with served(built_once, jobs) as server:
        yield server


@pytest.fixture(scope="session")
def guarded(built_once: Home, jobs: MemoryJobs) -> Iterator[Served]:
    with served(built_once, jobs, ingest_api_tokens=TOKENS) as server:
        yield server


@pytest.fixture
def api(open_server: Served) -> Iterator[httpx.Client]:
    with open_server.client() as client:
        yield client
