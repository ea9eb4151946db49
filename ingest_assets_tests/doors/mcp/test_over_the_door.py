"""What `ingest serve` makes of requests to /mcp: the process itself, as agents and others reach it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CLIENT_CAPABILITIES_META_KEY, METHOD_NOT_FOUND, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from ingest_assets.doors.mcp import MAX_BODY
from ingest_assets.doors.mcp.tools import TOOLS
from ingest_assets.notes import MAX_TEXT, MAX_WHY
from ingest_assets_tests.built import Home
from ingest_assets_tests.doors.http.served import TOKENS
from ingest_assets_tests.doors.mcp.agents import Served, said
from ingest_assets_tests.standing import start_server

WRITER = "scribe-" + "0123456789" * 3
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
# The two ways in which a client may begin: asking what there is, and shaking hands as it was done before.
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


@dataclass(frozen=True)
class Door:
    """A server that stands, and a token that may all."""

    agents: Served
    said: Path

    def client(self, token: str = WRITER) -> httpx.Client:
        headers = JSON | {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.agents.url, headers=headers, trust_env=False, timeout=20)

    def refusals(self) -> list[str]:
        return [call.message for call in self.agents.log() if call.tool == "(not read)"]


@pytest.fixture
def door(built: Home, tmp_path: Path) -> Iterator[Door]:
    tokens = f"{TOKENS},scribe:{WRITER}:read+write"
    home = built.with_settings(ingest_api_tokens=tokens, ingest_http_search_workers=0)
    with (tmp_path / "said.log").open("w") as said_there:
        process, url = start_server(home, said_there)
        try:
            yield Door(Served(home, f"{url}/mcp"), tmp_path / "said.log")
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert (tmp_path / "said.log").read_text() == ""


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    parameters = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}


def longest(schema: dict[str, Any], of: dict[str, Any]) -> int:
    """The characters of the longest JSON that a schema allows."""
    schema = of["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "anyOf" in schema:
        return max(longest(each, of) for each in schema["anyOf"])
    match schema.get("type"):
        case "object":
            parts = schema["properties"].items()
            return sum(len(name) + 6 + longest(part, of) for name, part in parts)
        case "array":
            return int(schema["maxItems"] * (2 + longest(schema["items"], of)))
        case "string":
            known = max((len(each) for each in schema.get("enum", [])), default=0)
            return int(schema.get("maxLength", known)) + 2
        case kind:
            assert kind in {"integer", "boolean", "null"}, schema
            return 20


def test_every_call_that_the_tools_take_fits() -> None:
    schemas = {name: tool.takes.model_json_schema() for name, tool in TOOLS.items()}
    sizes = {name: longest(schema, schema) for name, schema in schemas.items()}
    assert max(sizes, key=lambda name: sizes[name]) == "search"
    assert 400_000 < sizes["search"] < MAX_BODY / 2
    # What is written may be in any script, and a client may write each of its letters as \uXXXX\uXXXX.
    assert all(12 * size < MAX_BODY for name, size in sizes.items() if name != "search")


def test_the_longest_note_can_be_written(door: Door) -> None:
    note = {"about": "people/1", "text": "🦓" * MAX_TEXT, "why": "\u0001" * (MAX_WHY - 1) + "."}
    body = json.dumps(call("add_note", **note))
    assert len(body) > 120_000  # as the standard library writes it
    with door.client() as client:
        answer = client.post("", content=body).json()
    assert answer["result"]["isError"] is False
    assert door.agents.call("add_note", token=WRITER, **note).ok()  # as the SDK does
    assert [call.outcome for call in door.agents.log()] == ["ok", "ok"]


def test_what_is_too_large_is_told_so_and_is_in_the_log(door: Door) -> None:
    why = f"The request is too large: at most {MAX_BODY} bytes."
    told = {"error": {"code": "too_large", "message": why}}
    with door.client() as client:
        for size in (MAX_BODY + 1, 5_000_000):
            body = b"x" * size
            pieces = (body[i : i + 10_000] for i in range(0, size, 10_000))
            for content in (body, pieces):  # whose length is declared, and is not
                answer = client.post("", content=content)
                assert (answer.status_code, answer.json()) == (413, told)
                assert door.refusals() == [why]  # before it was answered; more of a minute are one row


@MODES
def test_an_agent_that_says_too_much_sees_an_error_and_goes_on(door: Door, mode: str) -> None:
    async def talk(client: Client) -> Any:
        with pytest.raises(MCPError, match="error response"):
            await client.call_tool("search", {"query": "x" * 5_000_000})
        return await client.call_tool("index_status", {})

    assert said(door.agents.talk(talk, WRITER, mode)).ok()["sources"]["crm"]["documents"] == 60


def test_what_is_not_let_in_is_not_read(door: Door) -> None:
    with door.client("guess") as client:
        assert client.post("", content=b"x" * 2_000_000).status_code == 401
    assert door.refusals() == ["This token is not known here."]


def test_json_bombs_get_an_answer(door: Door) -> None:
    deep, wide = b"[" * 1_000_000, json.dumps(call("search", query="x", filters=[[]] * 200_000)).encode()
    with door.client() as client:
        assert client.post("", content=deep).status_code == 400
        refused = client.post("", content=wide).json()["result"]
        assert "filters" in refused["content"][0]["text"]


@pytest.mark.parametrize("version", [LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION])
def test_nothing_but_post_is_taken_and_nothing_stays_open(door: Door, version: str) -> None:
    protocol = {"MCP-Protocol-Version": version}
    with door.client() as client:
        for method in ("GET", "DELETE", "HEAD", "PUT", "OPTIONS"):
            for accept in ("text/event-stream", "application/json"):
                headers = protocol | {"Accept": accept, "Mcp-Session-Id": "a" * 32}
                answer = client.request(method, "", headers=headers)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        # What opens a stream in the newest protocol is a call that this server does not have.
        meta = {PROTOCOL_VERSION_META_KEY: version, CLIENT_CAPABILITIES_META_KEY: {}}
        params = {"_meta": meta, "notifications": {"toolsListChanged": True}}
        listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        answer = client.post("", json=listen, headers=protocol | {"Mcp-Method": "subscriptions/listen"})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"]["code"] == METHOD_NOT_FOUND
    assert door.agents.log() == []
    with door.client("guess") as stranger:
        assert stranger.get("").status_code == 401


def test_the_sdk_does_without_a_stream_and_a_session(door: Door) -> None:
    asked: list[tuple[str, int]] = []
    waited = asyncio.Event()

    async def note(response: httpx2.Response) -> None:
        asked.append((response.request.method, response.status_code))
        if response.request.method == "GET":
            waited.set()
        # As if the server had sessions: the client then waits for more of them, and ends them.
        response.headers["Mcp-Session-Id"] = "a" * 32

    async def converse() -> Any:
        headers = {"Authorization": f"Bearer {WRITER}"}
        async with httpx2.AsyncClient(headers=headers, event_hooks={"response": [note]}) as http:
            transport = streamable_http_client(door.agents.url, http_client=http)
            async with Client(transport, mode="legacy") as client:
                await waited.wait()
                return await client.call_tool("index_status", {})

    assert said(asyncio.run(asyncio.wait_for(converse(), 20))).ok()
    assert set(asked) == {("POST", 200), ("POST", 202), ("GET", 405), ("DELETE", 405)}
