"""Odd messages, cursors and ids get a clear error, and the server goes on."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.interfaces.mcp.arguments import EntityHistory
from ingest_assets.interfaces.mcp.messages import MessageError, require_message
from ingest_assets.paging import cursor_at
from ingest_assets_tests.interfaces.mcp.agents import Served
from ingest_assets_tests.support.built_index import Home

HEADERS = {
    "Authorization": "Bearer all",
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
}


def call(tool: str = "index_status", at: object = 1, **arguments: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": at,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }


def with_query(raw: str) -> str:
    return json.dumps(call("search", query="HERE")).replace('"HERE"', raw)


TWICE = json.dumps(call()).replace('"id": 1', '"id": 1, "id": 2')
ODD: dict[str, bytes | str] = {
    "a batch": json.dumps([call(at=1), call(at=2)]),
    "a batch with equal ids": json.dumps([call(), call()]),
    "an empty batch": "[]",
    "a very long id": json.dumps(call(at="x" * 100_000)),
    "an id of 64 bits": json.dumps(call(at=1 << 63)),
    "an id of 5,000 digits": json.dumps(call(at="ID")).replace('"ID"', "1" * 5_000),
    "a fraction as id": json.dumps(call(at=1.5)),
    "null as id": json.dumps(call(at=None)),
    "a truth as id": json.dumps(call(at=True)),
    "an object as id": json.dumps(call(at={})),
    "two ids": TWICE,
    "NaN": with_query("NaN"),
    "minus infinity": with_query("-Infinity"),
    "deep": "[" * 500_000,
    "deep arguments": with_query("[" * 50_000 + "]" * 50_000),
    "rather deep arguments": with_query("[" * 100 + "]" * 100),
    "deep objects": with_query('{"a":' * 100 + "1" + "}" * 100),
    "no version": json.dumps({"id": 1, "method": "tools/list"}),
    "another version": json.dumps(call() | {"jsonrpc": "1.0"}),
    "a string": '"x"',
    "a number": "1",
    "null": "null",
    "nothing": "",
    "half of a message": '{"jsonrpc":',
    "not UTF-8": b"\xff\xfe\x00",
    "half of a character": with_query('"\\ud800"'),
    "parameters that are no object": json.dumps(call() | {"params": [1]}),
    "a method that is no text": json.dumps(call() | {"method": 3}),
    "a long method": json.dumps(call() | {"method": "x" * 300_000}),
    "a response": json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}),
}


def test_odd_messages_get_a_short_error(served: Served) -> None:
    with httpx.Client(headers=HEADERS, trust_env=False, timeout=30) as client:
        for name, body in ODD.items():
            answer = client.post(served.url, content=body)
            assert answer.status_code == 400, name
            told = answer.json()
            assert (told["jsonrpc"], told["id"]) == ("2.0", None), name
            assert told["error"]["code"] in {-32_700, -32_600}, name
            assert len(answer.content) < 250, name
            assert not any(word in answer.text for word in ("pydantic", "Traceback", "xxxx")), name
        for method in ("tools/destroy", "resources/read", "completion/complete"):
            unknown = client.post(served.url, json=call() | {"method": method}).json()
            assert unknown["error"]["code"] in {-32_601, -32_602}
        assert client.post(served.url, content=b"x" * 10_000_000).status_code == 413
        assert client.post(served.url, json=call()).json()["result"]["isError"] is False
    assert {row.tool for row in served.log()} == {"(not read)", "index_status"}


NAMES = st.sampled_from(["jsonrpc", "id", "method", "params", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2.0")
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(JSON)
def test_any_json_is_a_message_or_refused(value: Any) -> None:
    try:
        require_message(json.dumps(value).encode())
    except MessageError as refused:
        told = json.loads(refused.response())
    else:
        told = {"error": None}
        assert value["jsonrpc"] == "2.0"
        assert isinstance(value["method"], str)
    assert told["error"] is None or told["error"]["message"]


def cursor(place: Any, of: str) -> str:
    """A forged one: another place, otherwise as in a real cursor."""
    tool, arguments, _ = json.loads(base64.urlsafe_b64decode(of))
    return base64.urlsafe_b64encode(json.dumps([tool, arguments, place]).encode()).decode()


# Far beyond the end, of another type, or no place at all.
PLACES: list[Any] = [1 << 63, (1 << 63) - 1, 1 << 53, -1, 1.5, True, None, "x", "\0", [], {}, 10**300]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {"query": "contract", "limit": 1}),
        ("list_documents", {"limit": 1}),
        ("find_entities", {"name": "a", "limit": 1}),
    ],
)
def test_forged_cursors_are_refused_or_lead_to_the_place_they_name(
    served_once: Served, tool: str, arguments: dict[str, Any]
) -> None:
    real = served_once.call(tool, **arguments).ok()["next_cursor"]
    for place in PLACES:
        said = served_once.call(tool, **arguments, cursor=cursor(place, real))
        if said.is_error:
            assert "internal_error" not in said.text, place
            assert "unavailable" not in said.text, place
        else:
            assert place is None or isinstance(place, str), place
    for wrong in (1 << 63, 3, True, ["x"], {"a": 1}):
        assert "cursor" in served_once.call(tool, **arguments, cursor=wrong).refused()


@pytest.mark.parametrize("at", [1 << 31, (1 << 53) - 1, 1 << 62])
def test_a_number_beyond_the_database_is_no_failure(served_once: Served, at: int) -> None:
    entity = served_once.call("get_entity", entity_id="people/1").ok()["entity_id"]
    history = served_once.call("entity_history", entity_id=entity, limit=1).ok()
    real = history["next_cursor"]
    if real is None:
        real = cursor_at("entity_history", EntityHistory(entity_id=entity, limit=1), 1)
    said = served_once.call("entity_history", entity_id=entity, limit=1, cursor=cursor(at, real))
    assert not said.is_error or "start again" in said.text


def test_odd_lines_on_standard_input_do_not_end_the_server(built: Home) -> None:
    begin = {
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
        },
    }  # fmt: skip
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    odd = [body if isinstance(body, bytes) else body.encode() for body in ODD.values()]
    lines = [json.dumps(begin).encode(), json.dumps(ready).encode(), *odd, b"x" * 10_000_000]
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest_assets", "mcp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=built.env, cwd=built.path,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n".join([*lines, json.dumps(call(at="last")).encode(), b""]))
    process.stdin.flush()
    for line in process.stdout:
        message = json.loads(line)  # nothing but the protocol
        assert message["jsonrpc"] == "2.0"
        assert str(built.path) not in line.decode()
        if message.get("id") == "last":
            break
    else:
        pytest.fail("the server ended")
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert message["result"]["isError"] is False


@pytest.mark.parametrize("around", [(b"[", b"]"), (b'{"a":', b"}")])
def test_no_depth_is_too_much_for_the_check_itself(around: tuple[bytes, bytes]) -> None:
    """Also just below the depth where JSON can no longer be read, which depends on the stack."""
    for depth in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 10):
        inner = around[0] * depth + b"1" + around[1] * depth
        with pytest.raises(MessageError, match="nested too deeply"):
            require_message(b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + inner + b"}}")
