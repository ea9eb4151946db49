"""Databases of CRMs on real servers, for the tests: the server, and what is asked of one.

`pytest_plugins` names this module where its fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest_assets.sources.crm.databases import Row
from ingest_assets.sources.crm.databases.server import ServerDatabase
from ingest_assets.sources.crm.databases.servers import open_server
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets_tests.sources.crm_databases import NOTES_MAPPING, mapping_of
from ingest_assets_tests.support.crm_servers import CrmServer, MariadbServer, PostgresServer

KINDS: dict[str, Callable[[], CrmServer]] = {"postgres": PostgresServer, "mariadb": MariadbServer}


@pytest.fixture(scope="session", params=["postgres", pytest.param("mariadb", marks=pytest.mark.services)])
def server(request: pytest.FixtureRequest) -> Iterator[CrmServer]:
    started = KINDS[request.param]()
    yield started
    started.close()


def opened(url: str, timeout_s: float = 20) -> ServerDatabase:
    return open_server(url, timeout_s)


def rows(url: str, sql: str) -> list[Row]:
    with opened(url).snapshot() as snapshot:
        return list(snapshot.rows(sql))


def notes(server: CrmServer, count: int = 3) -> str:
    """A database with notes 0 to `count` - 1."""
    types = server.types
    url = server.new(
        f"CREATE TABLE notes (id {types['whole']} PRIMARY KEY, title {types['short']}, body {types['text']})"
    )
    server.insert(url, "notes", [(i, f"title {i}", "body " * 20) for i in range(count)])
    return url


def source(url: str, folder: Path, text: str = NOTES_MAPPING) -> CrmSource:
    return CrmSource(opened(url), mapping_of(folder, text))
