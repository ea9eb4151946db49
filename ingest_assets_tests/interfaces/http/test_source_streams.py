"""Streams that sources declare: followed from any event on, by whoever may, until either side ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import httpx
import pytest

from ingest_assets.interfaces.http.streaming import PAGE
from ingest_assets.ledger import Ledger
from ingest_assets.sources.operations import SourceStream, StreamEvent
from ingest_assets.sources.registry import Sources, load_sources
from ingest_assets.sources.spool import manifest
from ingest_assets_tests.interfaces.http.served import READER, TOKENS, WRITER, Served, served
from ingest_assets_tests.sources.spool.test_manifest import ROW
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.letters import Letters, definition

PATH = "/manifest/events"
both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def home(empty: Home, ledger_url: str) -> Home:
    return empty.with_settings(ingest_ledger_url=ledger_url, ingest_installation_name="tests")


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    with served(home, ingest_api_tokens=TOKENS) as server:
        yield server


@pytest.fixture
def reader(server: Served) -> Iterator[httpx.Client]:
    with server.client(READER) as client:
        yield client


def insert(ledger: Ledger, *tags: str) -> None:
    with ledger.transaction() as connection:
        rows = [ROW | {"batch_tag": tag, "digest": f"{tag:0>32}"[-32:]} for tag in tags]
        manifest.insert_all(connection, rows)


class Follower:
    """A client that reads one event after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        self.lines = answer.iter_lines()
        # Where it begins: what a browser goes on from if it is cut off before the first event.
        self.began = int(next(self.lines).removeprefix("id: "))

    def take(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        taken: list[tuple[int, dict[str, Any]]] = []
        number = None
        while len(taken) < count:
            line = next(self.lines)
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                assert number is not None
                taken.append((number, json.loads(line[6:])))
        return taken


def follow(client: httpx.Client, count: int, **options: Any) -> tuple[int, list[tuple[int, dict[str, Any]]]]:
    with client.stream("GET", PATH, **options) as answer:
        follower = Follower(answer)
        return follower.began, follower.take(count)


@both
def test_changes_are_told_as_they_are_committed_and_only_new_ones(
    reader: httpx.Client, ledger: Ledger
) -> None:
    insert(ledger, "old")
    with reader.stream("GET", PATH) as answer:
        follower = Follower(answer)
        assert follower.began == 1
        insert(ledger, "new")
        with ledger.transaction() as connection:
            manifest.change(connection, "new", status="processing")
        found = follower.take(2)
    assert [(number, body["batch_tag"], body["action"], body["status"]) for number, body in found] == [
        (2, "new", "insert", "queued"),
        (3, "new", "update", "processing"),
    ]
    assert set(found[0][1]) == {
        "type", "action", "batch_tag", "status", "total_files", "total_bytes", "timestamp",
    }  # fmt: skip
    assert found == [tuple(each) for each in manifest.events_after(ledger, 1, 10)]


@both
def test_a_client_that_was_cut_off_misses_nothing(reader: httpx.Client, ledger: Ledger) -> None:
    many = PAGE * 2 + 3
    insert(ledger, *(f"b{n:04}" for n in range(many)))
    began, whole = follow(reader, many, params={"after": 0})
    assert (began, [number for number, _ in whole]) == (0, list(range(1, many + 1)))
    for last in (1, PAGE, many - 1):
        assert follow(reader, many - last, headers={"Last-Event-ID": str(last)}) == (last, whole[last:])
        assert follow(reader, many - last, params={"after": last}) == (last, whole[last:])
    # What was received counts, not where it began.
    both_given: dict[str, Any] = {"params": {"after": 0}, "headers": {"Last-Event-ID": str(many - 1)}}
    assert follow(reader, 1, **both_given) == (many - 1, whole[-1:])
    # The events that the client knows are those of another ledger.
    assert follow(reader, many, headers={"Last-Event-ID": str(many + 1)}) == (0, whole)


def test_what_is_no_event_is_refused(server: Served, reader: httpx.Client) -> None:
    for wrong in ("x", "-1", "1.5", "9" * 17, "\xb2"):
        answer = reader.get(PATH, headers={b"Last-Event-ID": wrong.encode("latin-1")})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    for params in ({"after": "-1"}, {"after": "x"}, {"after": str(2**53)}, {"from": "1"}):
        assert reader.get(PATH, params=params).status_code == 400
    assert reader.post(PATH, json={}).status_code == 405
    assert reader.head(PATH).status_code == 200
    assert len(server.service.streams) == 0


def test_who_may_follow(server: Served) -> None:
    with server.client() as nobody, server.client(WRITER) as writer, server.client(READER) as reader:
        assert nobody.get(PATH).status_code == 401
        assert writer.get(PATH).status_code == 403
        other_site = reader.get(PATH, headers={"Sec-Fetch-Site": "cross-site"})
        assert (other_site.status_code, other_site.json()["error"]["code"]) == (403, "cross_origin")


def test_a_quiet_stream_is_kept_alive(server: Served, reader: httpx.Client, ledger: Ledger) -> None:
    server.service.keep_alive_s = 0.1
    with reader.stream("GET", PATH) as answer:
        follower = Follower(answer)
        assert next(line for line in follower.lines if line) == ": keep-alive"
        insert(ledger, "one")
        assert [number for number, _ in follower.take(1)] == [1]


def test_streams_are_bounded_for_each_caller_and_end_with_their_clients(home: Home) -> None:
    most: dict[str, Any] = {"ingest_http_max_streams_per_caller": 1}
    tokens = f"{TOKENS},other:{'o' * 20}:read"
    with (
        served(home, ingest_api_tokens=tokens, **most) as server,
        server.client(READER) as reader,
        server.client("o" * 20) as other,
    ):
        with reader.stream("GET", PATH) as answer:
            follower = Follower(answer)
            refused = reader.get(PATH)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            with other.stream("GET", PATH) as another:
                follows_too = Follower(another)  # kept: the connection is closed with the last iterator
                assert follows_too.began == follower.began
                assert len(server.service.streams) == 2
        _wait_for_streams(server, 0)
        with reader.stream("GET", PATH) as answer:
            assert Follower(answer).began == 0


def test_a_stream_ends_cleanly_with_the_server(home: Home) -> None:
    read: list[str] = []
    with served(home) as server:
        reading = Thread(target=lambda: read.extend(_lines(server)))
        reading.start()
        _wait_for_streams(server, 1)
        started = time.monotonic()
    reading.join(10)
    assert not reading.is_alive()
    assert read[0] == "id: 0"  # the answer was complete: a cut-off one raises
    assert time.monotonic() - started < 5


def test_it_is_in_the_document(reader: httpx.Client) -> None:
    followed = reader.get("/openapi.json").json()["paths"][PATH]["get"]
    assert (followed["operationId"], followed["security"]) == ("manifest_events", [{"token": ["read"]}])
    assert [each["name"] for each in followed["parameters"]] == ["after"]
    assert list(followed["responses"]["200"]["content"]) == ["text/event-stream"]
    assert set(followed["responses"]) >= {"200", "400", "401", "403", "429", "503"}


def test_a_stream_of_another_source_beside_a_name_in_its_place(empty: Home) -> None:
    """Its path comes before one with a name there, and what fails in it is not shown."""

    def after(_bench: object, sequence: int, limit: int) -> list[StreamEvent]:
        if sequence >= 2:
            raise RuntimeError("/srv/secret-folder")
        return [StreamEvent(n, {"n": n}) for n in range(sequence + 1, 3)][:limit]

    stream = SourceStream(
        name="letter_events",
        title="Follow letters",
        description="Each letter as it comes.",
        scope="ingest",
        path="/letters/events",
        after=after,
        newest=lambda _bench: 3,
    )
    sources = Sources(
        [*load_sources().values(), definition(operations=Letters().operations, streams=lambda: [stream])]
    )
    with served(empty, sources=sources) as server, server.client() as client:
        assert client.get("/letters/abc").json()["letter_id"] == "abc"
        with client.stream("GET", "/letters/events", params={"after": 0}) as answer:
            follower = Follower(answer)
            assert [number for number, _ in follower.take(2)] == [1, 2]
            with pytest.raises(httpx.RemoteProtocolError) as cut_off:
                list(follower.lines)
            assert "secret-folder" not in str(cut_off.value)
        _wait_for_streams(server, 0)


def _lines(server: Served) -> list[str]:
    with server.client() as client, client.stream("GET", PATH) as answer:
        return list(answer.iter_lines())


def _wait_for_streams(server: Served, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.service.streams) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
