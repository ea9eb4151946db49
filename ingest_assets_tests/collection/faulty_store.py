"""A server store at a server that fails on demand, for several modules of tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ingest_assets.collection.base import Leg
from ingest_assets.collection.server import Connection, Endpoint, ServerStore
from ingest_assets_tests.collection.points import dense, make_points, write
from ingest_assets_tests.support.faulty_server import FaultyServer, faulty_server

NAME = "test_chunks"
WRITE, SEARCH, ALL = "PUT .*/points$", "/points/query/batch$", ""


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as one:
        yield one


def store_at(*urls: str, **settings: object) -> ServerStore:
    endpoint = replace(Endpoint(urls=urls, retry_s=20, search_timeout_s=1, write_timeout_s=1), **settings)  # type: ignore[arg-type]
    return ServerStore(Connection(endpoint))


@pytest.fixture
def store(server: FaultyServer) -> Iterator[ServerStore]:
    """Generation 1 of ten points, live."""
    one = store_at(server.url)
    one.create(NAME, 1, 4)
    write(one, NAME, 1, make_points(range(10)))
    one.publish(NAME, 1)
    yield one
    one.close()


def ids_in(store: ServerStore) -> list[str]:
    with store.reader(NAME) as reader:
        return sorted(key for key, _ in reader.scan())


def counted_in(store: ServerStore) -> int:
    with store.reader(NAME) as reader:
        return reader.count()


def searched_in(store: ServerStore) -> str:
    with store.reader(NAME) as reader:
        return reader.query([Leg("dense", dense=dense(4))], limit=1)[0][0].id
