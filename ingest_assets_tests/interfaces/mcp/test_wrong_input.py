"""Every invalid call gets a message that says what to do, and a row in the log."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from ingest_assets.interfaces.mcp import MAX_BODY
from ingest_assets.interfaces.mcp.tools import tools_of
from ingest_assets.settings import load_settings
from ingest_assets.sources.registry import load_sources
from ingest_assets_tests.interfaces.mcp.agents import Served, serve
from ingest_assets_tests.support.built_index import Home

TOOLS = tools_of(load_sources(), load_settings(_env_file=None))
ACCEPT = {"Accept": "application/json, text/event-stream"}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "index_status", "arguments": {}},
}
MANY = {
    name: ["a"] * 50
    for name, field in TOOLS["search"].takes.model_json_schema()["$defs"]["Filters"]["properties"].items()
    if "array" in str(field)
}
UNKNOWN = "6a3c2f9e-0000-4000-8000-000000000000"

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("search", {"query": "a" * 1_000_000}, "2,000 characters"),
    ("search", {"query": "a\0b"}, "must be valid text"),
    ("search", {"query": "  "}, "must not be empty"),
    ("search", {}, "query: field required"),
    ("search", {"query": "a", "limit": -1}, "greater than or equal to 1"),
    ("search", {"query": "a", "limit": 10**30}, "limit"),
    ("search", {"query": "a", "mode": "fuzzy"}, "'dense', 'sparse' or 'hybrid'"),
    ("search", {"query": "a", "source": "faxes"}, "must be one of crm, "),
    ("search", {"query": "a", "filters": {"colour": ["red"]}}, "filters.colour: is unknown"),
    ("search", {"query": "a", "filters": MANY}, "filters: may have at most 400 values in all"),
    ("search", {"query": "a", "filters": {"language": ["Python"]}}, "Cannot filter by language"),
    ("search", {"query": "a", "filters": {"since": "yesterday"}}, "2026-01-31"),
    ("search", {"query": "a", "source": "repositories"}, "index_status"),
    ("search", {"query": "a", "cursor": "bm90IGpzb24="}, "leave it out to start again"),
    ("search", {"query": "a", "cursor": "é"}, "leave it out to start again"),
    ("get_document", {"document_id": "people/999"}, "list_documents to find ids"),
    ("get_document", {"document_id": "/etc/passwd"}, "list_documents to find ids"),
    ("get_document", {"document_id": ["people/1"]}, "valid string"),
    ("list_documents", {"limit": 0}, "greater than or equal to 1"),
    ("list_documents", {"cursor": "[" * 1_999}, "leave it out to start again"),
    ("get_entity", {"entity_id": UNKNOWN}, "find_entities"),
    ("entity_history", {"entity_id": UNKNOWN}, "find_entities"),
    ("find_entities", {"name": "?!"}, "name is empty"),
    ("get_indexing_status", {"job_id": UNKNOWN}, "ids of jobs come from start_indexing_background"),
    ("get_indexing_status", {"job_id": "1; drop table"}, "ids of jobs come from start_indexing_background"),
    ("cancel_indexing_background", {"job_id": UNKNOWN}, "ids of jobs come from start_indexing_background"),
    ("add_note", {"about": "people/999", "text": "a", "why": "b"}, "find_entities to find entities"),
    ("add_note", {"about": "people/1", "text": "a" * 10_001, "why": "b"}, "10,000 characters"),
    ("add_note", {"about": "people/1", "text": "a"}, "why: field required"),
    ("flag_record", {"document_id": UNKNOWN, "reason": "a"}, "list_documents to find ids"),
    ("drop_everything", {}, "There is no such tool"),
]


def test_invalid_calls_are_refused_with_a_message_and_logged(served: Served) -> None:
    async def talk(client: Any) -> Any:
        return [await client.session.call_tool(tool, arguments) for tool, arguments, _ in WRONG]

    answers = served.talk(talk)
    for (tool, arguments, wanted), answer in zip(WRONG, answers, strict=True):
        text = answer.content[0].text
        assert answer.is_error, (tool, arguments)
        assert wanted in text, (tool, text)
        assert len(text) <= 700
        assert str(served.home.path) not in text
    log = list(reversed(served.log()))
    assert [call.tool for call in log] == [tool for tool, _, _ in WRONG]
    assert {call.outcome for call in log} == {"refused"}
    assert {call.who for call in log} == {"ada"}
    assert all(call.message for call in log)
    assert "(1,000,000 characters)" in log[0].arguments["query"]


def test_a_cursor_belongs_to_its_arguments(served: Served) -> None:
    cursor = served.call("search", query="contract", limit=1).ok()["next_cursor"]
    assert served.call("search", query="contract", limit=2, cursor=cursor).ok()["hits"]
    assert "start again" in served.call("search", query="crane", limit=1, cursor=cursor).refused()
    assert "start again" in served.call("list_documents", limit=1, cursor=cursor).refused()


def test_nothing_is_indexed_yet(empty: Home) -> None:
    with serve(empty) as server:
        assert "index_status" in server.call("search", query="a").refused()
        assert server.call("index_status").ok()["sources"]["crm"]["generation"] is None
        listed = server.call("list_documents").ok()
        assert (listed["documents"], listed["next_cursor"]) == ([], None)


@pytest.mark.parametrize(
    ("headers", "status", "who", "why"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "(nobody)", "token"),
        ({}, 401, "(nobody)", "token"),
        ({"Authorization": "Bearer all", "Host": "evil.example"}, 421, "ada", "Host header"),
        ({"Authorization": "Bearer all", "Origin": "https://evil.example"}, 403, "ada", "another site"),
    ],
)
def test_unknown_callers_and_rebound_names_are_refused_and_logged(
    served: Served, headers: dict[str, str], status: int, who: str, why: str
) -> None:
    async def post() -> int:
        async with httpx2.AsyncClient() as client:
            return (await client.post(served.url, json=CALL, headers=ACCEPT | headers)).status_code

    assert asyncio.run(post()) == status
    [logged] = served.log()
    assert (logged.who, logged.outcome) == (who, "refused")
    assert why in logged.message


def test_a_body_that_is_too_large_is_logged_without_the_http_service(served: Served) -> None:
    async def post() -> int:
        headers = {"Authorization": "Bearer all"}
        async with httpx2.AsyncClient(headers=headers) as client:
            return (await client.post(served.url, content=b"x" * (MAX_BODY + 1))).status_code

    assert asyncio.run(post()) == 413
    [logged] = served.log()
    assert (logged.who, logged.outcome) == ("ada", "refused")
    assert f"at most {MAX_BODY} bytes" in logged.message


def test_a_missing_scope_is_named_and_logged(served: Served) -> None:
    note = {"about": "people/1", "text": "a", "why": "b"}
    assert "the scope write" in served.call("add_note", token="reads", **note).refused()
    start = served.call("start_indexing_background", token="reads", repo_path="https://github.com/a/b")
    assert "the scope ingest" in start.refused()
    assert served.call("index_status", token="reads").ok()
    log = [(call.who, call.transport, call.tool, call.outcome) for call in reversed(served.log())]
    assert log == [
        ("reader", "http", "add_note", "refused"),
        ("reader", "http", "start_indexing_background", "refused"),
        ("reader", "http", "index_status", "ok"),
    ]
    assert "the scope write" in served.log()[-1].message


def test_a_token_sees_the_tools_that_it_may_call(served: Served) -> None:
    async def names(client: Any) -> set[str]:
        return {tool.name for tool in (await client.list_tools()).tools}

    assert served.talk(names, "reads") == {name for name, tool in TOOLS.items() if tool.scope == "read"}
    assert served.talk(names, "all") == set(TOOLS)


def test_a_token_that_no_tool_accepts_is_refused_at_the_door_and_logged(served: Served) -> None:
    with httpx2.Client(headers={"Authorization": "Bearer none"}) as client:
        answer = client.post(served.url, json=CALL, headers=ACCEPT)
    assert (answer.status_code, answer.json()) == (
        403,
        {"error": "The token has no scope that any tool needs."},
    )
    [logged] = served.log()
    assert (logged.who, logged.outcome, logged.tool) == ("nobody", "refused", "(not read)")
