from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest_assets.sources.repositories.fetch import FetchLimits
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer
from ingest_assets_tests.sources.repositories.repos import TestRepo

MakeMirror = Callable[..., Mirror]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "served").running() as running:
        yield running


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[TestRepo]:
    """The repository that `server` serves as /repo."""
    with TestRepo(tmp_path / "served" / "repo") as made:
        yield made


@pytest.fixture
def mirror(server: GitServer, tmp_path: Path) -> MakeMirror:
    """Makes a mirror of what `server` serves."""

    def make(
        *, limits: FetchLimits | None = None, shallow: bool = True, workspace: str = "workspace"
    ) -> Mirror:
        return Mirror(
            parse_origin(server.url(), LOOPBACK), tmp_path / workspace, LOOPBACK, limits, shallow=shallow
        )

    return make
