from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest_assets.sources.repositories import working_tree
from ingest_assets.sources.repositories.fetch import FetchLimits
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.sources.repositories.ssh_server import SshServer, new_key

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
    """Creates a mirror of what `server` serves."""

    def make(
        *, limits: FetchLimits | None = None, shallow: bool = True, workspace: str = "workspace"
    ) -> Mirror:
        return Mirror(
            parse_origin(server.url(), LOOPBACK), tmp_path / workspace, LOOPBACK, limits, shallow=shallow
        )

    return make


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[SshServer]:
    """Also serves `repo`, to clients with the key in the file `key`."""
    with SshServer(tmp_path / "served").running() as running:
        running.accepted.add(new_key(tmp_path / "key").get_fingerprint())
        (tmp_path / "known_hosts").write_text(running.known_hosts())
        yield running


@pytest.fixture
def over_ssh(ssh_server: SshServer, tmp_path: Path) -> Policy:
    return ssh_server.policy(tmp_path / "key", tmp_path / "known_hosts")


@pytest.fixture(params=["http", "ssh, version 2", "ssh, version 0"])
def any_mirror(request: pytest.FixtureRequest, tmp_path: Path) -> MakeMirror:
    """Creates a mirror over each of the protocols."""
    if request.param == "http":
        over_http: MakeMirror = request.getfixturevalue("mirror")
        return over_http
    server: SshServer = request.getfixturevalue("ssh_server")
    policy: Policy = request.getfixturevalue("over_ssh")
    server.takes_variables = request.param == "ssh, version 2"

    def make(*, shallow: bool = True) -> Mirror:
        return Mirror(parse_origin(server.url(), policy), tmp_path / "workspace", policy, shallow=shallow)

    return make


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inode's time is now for whatever a test writes: as if it were long ago."""
    monkeypatch.setattr(working_tree, "is_settled", lambda *_: True)
