"""Requests to /mcp of `ingest serve`, a real process, from agents and others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
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

from ingest_assets.interfaces.mcp import MAX_BODY
from ingest_assets.interfaces.mcp.arguments import MAX_VALUES
from ingest_assets.interfaces.mcp.tools import tools_of
from ingest_assets.notes import MAX_TEXT, MAX_WHY
from ingest_assets.settings import load_settings
from ingest_assets.sources.operations import MAX_ID
from ingest_assets.sources.registry import load_sources
from ingest_assets_tests.interfaces.http.served import TOKENS
from ingest_assets_tests.interfaces.mcp.agents import Served, said
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.processes import start_server

WRITER = "scribe-" + "0123456789" * 3
NOTER = "noter-" + "0123456789" * 3  # may write, and not read
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
# How a client may begin: with the current protocol, or with the handshake of older versions.
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])

TOOLS = tools_of(load_sources(), load_settings(_env_file=None))


@dataclass(frozen=True)
class Service:
    """A running server, and its log."""

    agents: Served
    said: Path

    def client(self, token: str = WRITER) -> httpx.Client:
        headers = JSON | {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.agents.url, headers=headers, trust_env=False, timeout=20)

    def refusals(self) -> list[str]:
        return [call.message for call in self.agents.log() if call.tool == "(not read)"]


@pytest.fixture
def service(built: Home, tmp_path: Path) -> Iterator[Service]:
    """With a log in which nothing is yet."""
    with serving(built, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared(built_once: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """For tests that do not look at the log of calls."""
    folder = tmp_path_factory.mktemp("shared")
    with serving(built_once.copy(folder / "home"), folder) as running:
        yield running


@contextmanager
def serving(built: Home, folder: Path) -> Iterator[Service]:
    tokens = f"{TOKENS},scribe:{WRITER}:read+write,noter:{NOTER}:write"
    home = built.with_settings(ingest_api_tokens=tokens, ingest_http_search_workers=0)
    with (folder / "said.log").open("w") as said_there:
        process, url = start_server(home, said_there)
        try:
            yield Service(Served(home, f"{url}/mcp"), folder / "said.log")
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert (folder / "said.log").read_text() == ""


def test_a_token_that_may_only_write_is_let_in_and_sees_what_writes(shared: Service) -> None:
    with shared.client(NOTER) as noter, shared.client() as scribe:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        names = {
            who: {tool["name"] for tool in client.post("/mcp", json=ask).json()["result"]["tools"]}
            for who, client in (("noter", noter), ("scribe", scribe))
        }
        assert names["noter"] == {tool.name for tool in TOOLS.values() if tool.scope == "write"}
        assert names["noter"] < names["scribe"]
        refused = noter.post("/mcp", json=call("search", query="price")).json()["result"]
        assert refused["isError"]
        assert "needs the scope read" in refused["content"][0]["text"]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    parameters = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}


def longest(schema: dict[str, Any], of: dict[str, Any]) -> int:
    """The length of the longest JSON that a schema allows."""
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
            assert kind in {"integer", "number", "boolean", "null"}, schema
            return 20


def test_every_call_that_the_tools_take_fits() -> None:
    schemas = {name: tool.takes.model_json_schema() for name, tool in TOOLS.items()}
    sizes = {name: longest(schema, schema) for name, schema in schemas.items()}
    assert max(sizes, key=lambda name: sizes[name]) == "search"
    # The values of all filters are bounded together, however many fields the sources have.
    values = MAX_VALUES * (MAX_ID + 4)
    assert 400_000 < min(sizes["search"], values + 20_000) < MAX_BODY / 2
    # Text may be in any script, and a client may write each character as \uXXXX\uXXXX.
    assert all(12 * size < MAX_BODY for name, size in sizes.items() if name != "search")


def test_the_longest_note_can_be_written(service: Service) -> None:
    note = {"about": "people/1", "text": "🦓" * MAX_TEXT, "why": "\u0001" * (MAX_WHY - 1) + "."}
    body = json.dumps(call("add_note", **note))
    assert len(body) > 120_000  # as Python's json module writes it
    with service.client() as client:
        answer = client.post("", content=body).json()
    assert answer["result"]["isError"] is False
    assert service.agents.call("add_note", token=WRITER, **note).ok()  # as the SDK does
    assert [call.outcome for call in service.agents.log()] == ["ok", "ok"]


def test_a_request_that_is_too_large_is_refused_and_logged(service: Service) -> None:
    why = f"The request is too large: at most {MAX_BODY} bytes."
    told = {"error": {"code": "too_large", "message": why}}
    with service.client() as client:
        for size in (MAX_BODY + 1, 5_000_000):
            body = b"x" * size
            pieces = (body[i : i + 10_000] for i in range(0, size, 10_000))
            for content in (body, pieces):  # with and without a declared length
                answer = client.post("", content=content)
                assert (answer.status_code, answer.json()) == (413, told)
                assert service.refusals() == [why]  # logged before the response; further ones are counted


@MODES
def test_an_agent_can_continue_after_a_request_that_is_too_large(shared: Service, mode: str) -> None:
    async def talk(client: Client) -> Any:
        with pytest.raises(MCPError, match="error response"):
            await client.call_tool("search", {"query": "x" * 5_000_000})
        return await client.call_tool("index_status", {})

    assert said(shared.agents.talk(talk, WRITER, mode)).ok()["sources"]["crm"]["documents"] == 60


def test_the_body_of_a_refused_request_is_not_read(service: Service) -> None:
    with service.client("guess") as client:
        assert client.post("", content=b"x" * 2_000_000).status_code == 401
    assert service.refusals() == ["This token is not known here."]


def test_json_bombs_get_an_answer(shared: Service) -> None:
    deep, wide = b"[" * 1_000_000, json.dumps(call("search", query="x", filters=[[]] * 200_000)).encode()
    with shared.client() as client:
        assert client.post("", content=deep).status_code == 400
        refused = client.post("", content=wide).json()["result"]
        assert "filters" in refused["content"][0]["text"]


@pytest.mark.parametrize("version", [LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION])
def test_only_post_is_accepted_and_no_stream_stays_open(service: Service, version: str) -> None:
    protocol = {"MCP-Protocol-Version": version}
    with service.client() as client:
        for method in ("GET", "DELETE", "HEAD", "PUT", "OPTIONS"):
            for accept in ("text/event-stream", "application/json"):
                headers = protocol | {"Accept": accept, "Mcp-Session-Id": "a" * 32}
                answer = client.request(method, "", headers=headers)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        # In the newest protocol, a method opens a stream. This server does not have it.
        meta = {PROTOCOL_VERSION_META_KEY: version, CLIENT_CAPABILITIES_META_KEY: {}}
        params = {"_meta": meta, "notifications": {"toolsListChanged": True}}
        listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        answer = client.post("", json=listen, headers=protocol | {"Mcp-Method": "subscriptions/listen"})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"]["code"] == METHOD_NOT_FOUND
    assert service.agents.log() == []
    with service.client("guess") as stranger:
        assert stranger.get("").status_code == 401


def test_the_sdk_works_without_a_stream_and_a_session(shared: Service) -> None:
    asked: list[tuple[str, int]] = []
    waited = asyncio.Event()

    async def note(response: httpx2.Response) -> None:
        asked.append((response.request.method, response.status_code))
        if response.request.method == "GET":
            waited.set()
        # As if the server had sessions: the client then opens a stream, and ends its session.
        response.headers["Mcp-Session-Id"] = "a" * 32

    async def converse() -> Any:
        headers = {"Authorization": f"Bearer {WRITER}"}
        async with httpx2.AsyncClient(headers=headers, event_hooks={"response": [note]}) as http:
            transport = streamable_http_client(shared.agents.url, http_client=http)
            async with Client(transport, mode="legacy") as client:
                await waited.wait()
                return await client.call_tool("index_status", {})

    assert said(asyncio.run(asyncio.wait_for(converse(), 20))).ok()
    assert set(asked) == {("POST", 200), ("POST", 202), ("GET", 405), ("DELETE", 405)}
