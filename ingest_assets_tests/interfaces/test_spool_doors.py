"""The spool over HTTP and for agents: batches, gates, and who may do what with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import Client

from ingest_assets import audit_log
from ingest_assets.audit_log import LoggedCall
from ingest_assets.sources.spool.decisions import DECISIONS
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets_tests.interfaces.http import served as http
from ingest_assets_tests.interfaces.http.served import AGENT, READER, WRITER, served
from ingest_assets_tests.interfaces.mcp import agents as mcp
from ingest_assets_tests.interfaces.mcp.agents import serve
from ingest_assets_tests.sources.spool.home_of_spool import (
    BROKEN,
    INDEXED,
    LOCKED,
    OPEN,
    SECRET,
    TO_CLOSE,
    TO_OPEN,
    TO_REMOVE,
    TO_RETRY,
    home_of_spool,
    refresh,
)
from ingest_assets_tests.support.built_index import Home

OFFICER = "o" * 30
TOKENS = f"{http.TOKENS},officer:{OFFICER}:gate"
WHY = {"why": "approved by the officer"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return home_of_spool(tmp_path_factory.mktemp("spool-doors"))


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[http.Served]:
    with served(home, ingest_api_tokens=TOKENS) as running:
        yield running


@pytest.fixture(scope="module")
def agents(home: Home) -> Iterator[mcp.Served]:
    with serve(home) as running:
        yield running


@pytest.fixture
def reader(server: http.Served) -> Iterator[httpx.Client]:
    with server.client(READER) as client:
        yield client


@pytest.fixture
def agent(server: http.Served) -> Iterator[httpx.Client]:
    with server.client(AGENT) as client:
        yield client


@pytest.fixture
def officer(server: http.Served) -> Iterator[httpx.Client]:
    with server.client(OFFICER) as client:
        yield client


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    assert "The parcel" not in answer.text
    assert SECRET not in answer.text
    return answer.json()


def tags(listed: dict[str, Any]) -> list[str]:
    (batches,) = (listed[name] for name in ("batches", "gates") if name in listed)
    return [each["batch_tag"] for each in batches]


def decisions(home: Home) -> list[LoggedCall]:
    """What people and programs decided, newest first."""
    with home.bench() as bench:
        logged = audit_log.read(bench.ledger, limit=1_000)
    return [
        each for each in logged if each.tool in DECISIONS and (each.transport, each.outcome) == ("http", "ok")
    ]


def remove(client: httpx.Client, tag: str, **body: str) -> httpx.Response:
    return client.request("DELETE", f"/batches/{tag}", json=body)


def test_batches_are_listed_in_pages_and_shown(reader: httpx.Client) -> None:
    whole = said(reader.get("/batches", params={"limit": 100}))
    assert set(tags(whole)) >= {INDEXED, LOCKED, OPEN}
    assert (tags(whole), whole["next_after"]) == (sorted(tags(whole)), None)
    pages, after = [], ""
    while after is not None:
        page = said(reader.get("/batches", params={"limit": 2, "after": after}))
        assert len(page["batches"]) <= 2
        pages += page["batches"]
        after = page["next_after"]
    assert pages == whole["batches"]
    for wrong in ({"status": "lost"}, {"limit": "0"}, {"limit": "101"}, {"since": "x"}):
        assert reader.get("/batches", params=wrong).status_code == 400

    shown = said(reader.get(f"/batches/{INDEXED}"))
    assert shown.items() >= next(each for each in pages if each["batch_tag"] == INDEXED).items()
    state = {"status": "success", "source": "desk", "pii": False, "gate": "none", "gone": None}
    counts = {"records": 2, "processed": 2, "skipped": 0, "total_files": 1, "attempts": 1}
    assert shown.items() >= (state | counts | {"error": None}).items()
    assert shown["decided"] == []
    assert shown["extra"] == {"repaired": 1}
    for tag, status in (("none", 404), ("x" * 201, 400), ("%00", 400), ("a%2Fb", 404)):
        assert reader.get(f"/batches/{tag}").status_code == status


def test_why_a_batch_failed_is_shown(reader: httpx.Client) -> None:
    failed = said(reader.get(f"/batches/{failed_tag(reader, BROKEN)}"))
    assert (failed["status"], failed["reason"], failed["files"]) == (
        "failed",
        "failed",
        ["broken.msgpack"],
    )
    assert "not a map" in failed["error"]


def failed_tag(reader: httpx.Client, begins: str) -> str:
    failed = tags(said(reader.get("/batches", params={"status": "failed"})))
    (tag,) = (each for each in failed if each.startswith(begins))
    return tag


def test_gates_are_listed(reader: httpx.Client) -> None:
    locked = said(reader.get("/gates", params={"limit": 30}))
    assert {LOCKED} <= set(tags(locked)) <= {LOCKED, TO_OPEN, TO_CLOSE}
    assert {each["gate"] for each in locked["gates"]} == {"locked"}
    opened = said(reader.get("/gates", params={"state": "open", "limit": 1}))
    rest = said(reader.get("/gates", params={"state": "open", "after": opened["next_after"] or OPEN}))
    assert OPEN in tags(opened) + tags(rest)
    assert {each["gate"] for each in opened["gates"]} == {"open"}
    assert reader.get("/gates", params={"state": "none"}).status_code == 400
    decided = said(reader.get(f"/batches/{OPEN}"))["decided"]
    assert [(each["what"], each["by"]) for each in decided] == [("open_gate", "officer")]


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "/batches", None, "read"),
        ("GET", f"/batches/{INDEXED}", None, "read"),
        ("GET", "/gates", None, "read"),
        ("POST", f"/batches/{INDEXED}/retry", {}, "ingest"),
        ("DELETE", f"/batches/{INDEXED}", WHY, "ingest"),
        ("POST", "/gates/redeliver", {}, "ingest"),
        ("POST", f"/gates/{LOCKED}/open", WHY, "gate"),
        ("POST", f"/gates/{OPEN}/close", WHY, "gate"),
    ],
)
def test_who_may_do_what(
    server: http.Served, home: Home, method: str, path: str, body: Any, scope: str
) -> None:
    """Each needs one scope, and no other one gives it."""
    scopes = {READER: {"read"}, AGENT: {"read", "ingest"}, WRITER: {"write"}, OFFICER: {"gate"}}
    before = decisions(home)
    with server.client() as nobody:
        assert nobody.request(method, path, json=body).status_code == 401
    for token, has in scopes.items():
        if scope not in has:
            with server.client(token) as client:
                answer = client.request(method, path, json=body)
            assert answer.status_code == 403
            assert f"lacks the scope {scope}." in answer.json()["error"]["message"]
            assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    with server.client(READER) as reader:
        route = (
            path.replace(INDEXED, "{batch_tag}").replace(LOCKED, "{batch_tag}").replace(OPEN, "{batch_tag}")
        )
        counted = f'ingest_http_requests_total{{method="{method}",route="{route}",status="403"}}'
        assert counted in reader.get("/metrics").text
    assert decisions(home) == before


def test_a_page_of_another_site_opens_no_gate(officer: httpx.Client, home: Home) -> None:
    before = decisions(home)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert officer.post(f"/gates/{LOCKED}/open", json=WHY, headers=headers).status_code == 403
    with served(home) as without_tokens, without_tokens.client() as client:
        old = {"User-Agent": "Mozilla/4.0"}
        assert client.post(f"/gates/{LOCKED}/open", json=WHY, headers=old).status_code == 403
    assert decisions(home) == before


def test_a_gate_is_opened_once_and_the_next_run_indexes_its_batch(
    officer: httpx.Client, reader: httpx.Client, home: Home
) -> None:
    tag = TO_OPEN
    query = {"query": f"{SECRET} wrote", "source": "spool", "filter": f"batch_tag={tag}"}
    assert reader.get("/search", params=query).json()["hits"] == []

    opened = said(officer.post(f"/gates/{tag}/open", json=WHY))
    assert (opened["gate"], opened["status"], opened["decided"][0]["by"]) == ("open", "queued", "officer")
    newest = decisions(home)[0]
    assert (newest.who, newest.transport, newest.tool, newest.outcome) == (
        "officer",
        "http",
        "open_gate",
        "ok",
    )
    assert newest.arguments == {"batch": f"batches/{tag}", "why": WHY["why"]}
    before = decisions(home)
    assert said(officer.post(f"/gates/{tag}/open", json={"why": "again"})) == opened
    assert decisions(home) == before

    refresh(home)
    hits = reader.get("/search", params=query).json()["hits"]
    assert sorted(hit["document_id"] for hit in hits) == [f"{tag}/0", f"{tag}/1"]


def test_what_is_wrong_with_a_decision_is_said(
    officer: httpx.Client, agent: httpx.Client, home: Home
) -> None:
    before = decisions(home)
    for answer, status, says in (
        (officer.post(f"/gates/{INDEXED}/open", json=WHY), 409, "is not personal"),
        (officer.post(f"/gates/{INDEXED}/close", json=WHY), 409, "is not personal"),
        (officer.post("/gates/none/open", json=WHY), 404, "There is no batch 'none'"),
        (officer.post(f"/gates/{LOCKED}/open", json={}), 400, "why: Field required"),
        (officer.post(f"/gates/{LOCKED}/open", json={"why": " "}), 400, "must not be empty"),
        (officer.post(f"/gates/{LOCKED}/open", json={"why": "x" * 301}), 400, "at most 300"),
        (officer.post(f"/gates/{LOCKED}/open", json={"why": "a\x1bb"}), 400, "not valid text"),
        (officer.post(f"/gates/{LOCKED}/open", json=WHY | {"by": "me"}), 400, "no parameter 'by'"),
        (agent.post(f"/batches/{INDEXED}/retry", json={}), 409, "only a failed one is tried again"),
        (agent.post("/batches/none/retry", json={}), 404, "There is no batch 'none'"),
        (remove(agent, "none", **WHY), 404, "There is no batch 'none'"),
        (remove(agent, INDEXED), 400, "why: Field required"),
        (agent.post("/gates/redeliver", json={"batch_tag": "none"}), 404, "There is no batch 'none'"),
    ):
        assert says in said(answer, status)["error"]["message"]
    assert decisions(home) == before


def test_a_closed_gate_hides_its_batch_from_all_before_any_run(
    officer: httpx.Client, reader: httpx.Client, agents: mcp.Served, home: Home
) -> None:
    first = f"{TO_CLOSE}/0"
    query = {"query": f"{SECRET} wrote {TO_CLOSE}", "source": "spool"}
    assert first in reader.get("/search", params=query).text
    assert first in agents.call("search", **query).text
    assert SECRET in agents.call("get_document", source="spool", document_id=first).text
    assert first in agents.call("list_documents", source="spool").text

    closed = said(officer.post(f"/gates/{TO_CLOSE}/close", json={"why": "withdrawn"}))
    assert (closed["gate"], closed["status"]) == ("locked", "queued")
    assert [each["what"] for each in closed["decided"]] == ["open_gate", "close_gate"]
    newest = decisions(home)[0]
    assert (newest.who, newest.tool, newest.arguments["why"]) == ("officer", "close_gate", "withdrawn")

    for mode in ("hybrid", "dense", "sparse"):
        for where in ({}, {"batch_tag": TO_CLOSE}, {"record_source": "people"}, {"document_id": first}):
            given = [f"{name}={value}" for name, value in where.items()]
            lists = {name: [value] for name, value in where.items()}
            asked = query | {"mode": mode, "filter": given, "limit": 100}
            assert_hidden(reader.get("/search", params=asked).json()["hits"])
            assert_hidden(agents.call("search", **query, mode=mode, filters=lists).ok()["hits"])
    for path in ("/status", "/sources", "/batches", "/gates", f"/batches/{TO_CLOSE}"):
        assert f"{TO_CLOSE}/" not in said_text(reader.get(path))
    assert_hidden(agents.call("list_documents", source="spool").ok())
    assert_hidden(agents.call("index_status").ok())
    # As if there had never been such a document.
    unknown = agents.call("get_document", source="spool", document_id=f"{TO_CLOSE}/9").refused()
    refused = agents.call("get_document", source="spool", document_id=first).refused()
    assert refused == unknown.replace(f"{TO_CLOSE}/9", first)
    refresh(home)
    assert_hidden(agents.call("search", **query).ok()["hits"])


def said_text(answer: httpx.Response) -> str:
    said(answer)
    return answer.text


def assert_hidden(found: Any) -> None:
    assert f"{TO_CLOSE}/" not in json.dumps(found)
    assert f"wrote {TO_CLOSE}" not in json.dumps(found)


def test_a_failed_batch_is_retried(agent: httpx.Client, home: Home) -> None:
    tag = failed_tag(agent, TO_RETRY)
    assert said(agent.post(f"/batches/{tag}/retry", json={"why": "x" * 301}), 400)
    retried = said(agent.post(f"/batches/{tag}/retry", json={"why": "the producer was mended"}))
    assert (retried["status"], retried["error"], retried["decided"][0]["what"]) == (
        "queued",
        None,
        "retry_batch",
    )
    newest = decisions(home)[0]
    assert (newest.tool, newest.who) == ("retry_batch", "agent")
    assert newest.arguments["why"] == "the producer was mended"
    assert said(agent.post(f"/batches/{tag}/retry", json={}), 409)  # there need not be a reason


def test_a_batch_is_removed_for_good(agent: httpx.Client, home: Home) -> None:
    removed = said(remove(agent, TO_REMOVE, why="a test delivery"))
    assert (removed["gone"], removed["gone_at"] is None) == ("removed", False)
    newest = decisions(home)[0]
    assert (newest.tool, newest.who, newest.arguments["why"]) == ("remove_batch", "agent", "a test delivery")
    before = decisions(home)
    assert said(remove(agent, TO_REMOVE, why="again"))["gone"] == "removed"
    assert decisions(home) == before
    assert said(agent.post(f"/batches/{TO_REMOVE}/retry", json={}), 409)
    assert not list((home.path / "spool" / "archive").glob(f"{TO_REMOVE}*"))


def test_events_that_were_put_aside_are_tried_again(agent: httpx.Client, home: Home) -> None:
    with home.bench() as bench:
        for tag in (INDEXED, LOCKED):
            with bench.ledger.transaction() as connection:
                (first, *_) = (row for row in outbox.due(connection, 2**33, 1_000) if row.batch_tag == tag)
                outbox.put_aside(connection, first, "It was refused.")
        aside = outbox.state_of(bench.ledger).dead
        mine = said(agent.post("/gates/redeliver", json={"batch_tag": INDEXED}))["events"]
        assert 0 < mine < aside
        assert said(agent.post("/gates/redeliver", json={"why": "mended"})) == {"events": aside - mine}
        every, one = decisions(home)[:2]
        assert (every.tool, every.who, one.tool) == ("redeliver_events", "agent", "redeliver_events")
        assert every.arguments == {"batch": "batches", "why": "mended", "events": aside - mine}
        assert one.arguments == {"batch": f"batches/{INDEXED}", "why": "", "events": mine}
        shown = said(agent.get(f"/batches/{INDEXED}"))
        assert [each["what"] for each in shown["decided"]] == ["redeliver_events"]
        assert said(agent.post("/gates/redeliver", json={})) == {"events": 0}
        assert outbox.state_of(bench.ledger).dead == 0


def test_agents_only_look(agents: mcp.Served, home: Home) -> None:
    async def listed(client: Client) -> Any:
        return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = agents.talk(listed)  # with all scopes
    assert {"list_batches", "get_batch"} <= set(tools)
    assert all(tools[name].annotations.read_only_hint for name in ("list_batches", "get_batch"))
    assert not {name for name in tools if "gate" in name or "retry" in name or "redeliver" in name}
    before = decisions(home)
    for tool in ("open_gate", "close_gate", "list_gates", "remove_batch", "retry_batch", "redeliver_events"):
        assert "no such tool" in agents.call(tool, batch_tag=LOCKED, why="please").refused()
    assert decisions(home) == before
    found = agents.call("list_batches", token="reads", status="queued").ok()
    assert LOCKED in tags(found)
    shown = agents.call("get_batch", token="reads", batch_tag=LOCKED).ok()
    # What producers wrote is marked as data.
    assert (mcp.plain(shown["source"]), shown["gate"]) == ("people", "locked")
    assert "data_notice" in shown
    assert SECRET not in json.dumps(shown)
    assert "There is no batch" in agents.call("get_batch", batch_tag="none").refused()
