"""A built index, and a real server of it on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingest_assets_tests.interfaces.mcp.agents import Served, serve
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import built, built_once, empty, ingest_here

__all__ = ["built", "built_once", "empty", "ingest_here"]


@pytest.fixture
def served(built: Home) -> Iterator[Served]:
    """A copy of the index, served over HTTP. Its tokens have all scopes, only `read`, or none.

    Agents may have repositories fetched from github.com.
    """
    with serve(built.with_settings(ingest_agent_repository_hosts="github.com")) as server:
        yield server


@pytest.fixture(scope="session")
def served_once(built_once: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same, for tests that only read and do not look at the log."""
    with serve(built_once.copy(tmp_path_factory.mktemp("served") / "home")) as server:
        yield server
