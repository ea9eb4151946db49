"""Requests to the interfaces: HTTP as bytes, to a real server on loopback, and calls of agents.

What belongs here: requests. What does not: answers of others (`services`).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import ValidationError

from ingest_assets.interfaces.mcp.arguments import ListDocuments
from ingest_assets.interfaces.mcp.calls import Call, answer
from ingest_assets.interfaces.mcp.messages import MessageError, require_message
from ingest_assets.interfaces.mcp.tools import tools_of
from ingest_assets.interfaces.tokens import LOCAL_CALLER
from ingest_assets.model import RequestError
from ingest_assets.paging import cursor_at, key_in, offset_in
from ingest_assets_tests.fuzz.target import Parse, Place, Target, plain
from ingest_assets_tests.interfaces.http.memory_jobs import MemoryJobs
from ingest_assets_tests.interfaces.http.served import READER, TOKENS, served

# --- HTTP ---------------------------------------------------------------------------------------------------

_REFUSALS = {501, 503, 505}  # of the server errors: the request asks for too much, or for what there is not
_FEW_BYTES = 4_096


@contextmanager
def _serving(place: Place) -> Iterator[Parse]:
    """No request makes the server fail: each gets an answer that is no internal error, or the line is cut."""
    with served(place.home(), MemoryJobs(), ingest_api_tokens=TOKENS, ingest_http_rate_per_s=1e9) as server:

        def parse(data: bytes) -> None:
            with server.connect() as connection, suppress(ConnectionError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                status = _status(connection)
                assert status is None or status < 500 or status in _REFUSALS, f"it answered {status}"
            with server.connect() as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert _status(connection) in (200, 421)

        yield parse


def _status(connection: socket.socket) -> int | None:
    """None if there was no answer at all. Of a stream, only the beginning is read."""
    said = b""
    while len(said) < _FEW_BYTES and (piece := connection.recv(1 << 16)):
        said += piece
    if not said:
        return None
    assert said.startswith(b"HTTP/1.1 "), said[:100]
    assert b"Traceback" not in said
    return int(said[9:12])


def _requests() -> list[bytes]:
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {READER}\r\nConnection: close\r\n".encode()
    body = json.dumps(
        {"query": "price", "limit": 2, "mode": "sparse", "filters": {"kind": ["email"]}}
    ).encode()
    posted = b"POST /search HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    chunked = posted.replace(
        b"Content-Length: %d\r\n\r\n%s", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    )
    return [
        b"GET /search?query=price&limit=2&mode=sparse&filter=kind%3Demail&filter=since%3D2020 HTTP/1.1\r\n"
        + head
        + b"\r\n",
        b"GET /jobs?limit=5 HTTP/1.1\r\n" + head + b"\r\n",
        b"GET /jobs/x/events?after=3 HTTP/1.1\r\n" + head + b"Last-Event-ID: 3\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + head + b"Origin: http://127.0.0.1\r\nCookie: a=b; c\r\n\r\n",
        posted % (head, len(body), body),
        chunked % (head, len(body), body),
    ]


# --- Agents -------------------------------------------------------------------------------------------------


def _message(data: bytes) -> None:
    require_message(data)
    message = json.loads(data)
    assert json.dumps(message, ensure_ascii=False).encode()
    assert message["jsonrpc"] == "2.0"


_MESSAGES = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x", "arguments": {"a": "x"}}}',
    b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
    b'{"jsonrpc":"2.0","id":"a","method":"x","params":{"a":' + b"[" * 60 + b"]" * 60 + b"}}",
)
_ASKED = ListDocuments(kind="email")


def _cursor(data: bytes) -> None:
    """A cursor that is accepted leads to a place."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        assert offset_in("list_documents", _ASKED, text) >= 0
    except RequestError:
        assert "\0" not in key_in("list_documents", _ASKED, text)


@contextmanager
def _calling(place: Place) -> Iterator[Parse]:
    """A tool and its arguments, as JSON. A call is answered or refused; it never fails."""
    with place.home().copy(place.folder / "home").bench() as bench:
        tools = tools_of(bench.sources, bench.settings)

        def parse(data: bytes) -> None:
            try:
                name, arguments = json.loads(data)
                known = isinstance(name, str) and isinstance(arguments, dict)
                known = known and bool(
                    json.dumps(arguments, ensure_ascii=False).encode()
                )  # as messages are checked
            except (ValueError, TypeError, RecursionError):
                return
            if known:
                said = answer(tools, Call(bench, LOCAL_CALLER, "stdio", name, arguments))
                assert "log has the" not in said.text, said.text
                assert not said.text.startswith(("INTERNAL", "UNAVAILABLE")), said.text

        yield parse


def _calls() -> list[bytes]:
    calls: list[tuple[str, dict[str, object]]] = [
        (
            "search",
            {
                "query": "price",
                "mode": "sparse",
                "limit": 2,
                "filters": {"kind": ["email"], "since": "2020-01-01"},
            },
        ),
        (
            "list_documents",
            {"kind": "email", "prefix": "emails/", "since": "2020-01-01T00:00:00Z", "limit": 3},
        ),
        ("list_documents", {"limit": 1, "cursor": cursor_at("list_documents", ListDocuments(), "people/1")}),
        ("get_document", {"document_id": "people/1"}),
        ("find_entities", {"name": "an", "limit": 2}),
        ("get_entity", {"entity_id": "people/1"}),
        ("entity_history", {"entity_id": "people/1", "limit": 1}),
        ("add_note", {"about": "people/1", "text": "text", "why": "because"}),
        ("index_status", {}),
        ("get_indexing_status", {"job_id": "x"}),
    ]
    return [json.dumps(call).encode() for call in calls]


_JSON_TOKENS = (b"null", b"true", b"1e400", b"-1", b"NaN", b'"', b"{", b"}", b"[", b"]", b":", b",",
b"\\u0000", b"\\ud800", b"\xff",
                b"9" * 400, b"[" * 500, b'"id": ', b'"a": 1, "a": 2')  # fmt: skip
TARGETS = (
    Target(
        name="http", open=_serving, seeds=_requests, brief=40,
        tokens=(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0", b"HTTP/9.9", b"%00", b"%ff", b"%", b"&", b"=",
                b"?", b"#", b"/", b"..", b"Expect: 100-continue\r\n", b"\xff", b"Host: \r\n",
                b"Range: bytes=0-\r\n", b"[" * 500, b"HEAD", b"OPTIONS * ", b"Upgrade: websocket\r\n",
                b"ffffffffff\r\n", b"Authorization: Basic Og==\r\n", b"filter=", b"{", b"}", b'"'),
    ),
    Target(
        name="messages", open=plain(_message), seeds=lambda: _MESSAGES, brief=1_000, tokens=_JSON_TOKENS,
        allowed=(MessageError,),
    ),
    Target(
        name="cursors", open=plain(_cursor), brief=1_000,
        seeds=lambda: [cursor_at("list_documents", _ASKED, place).encode() for place in (0, 5, "people/1",
        "é")],
        tokens=(b"=", b"-", b"_", b"W10=", b"bnVsbA==", b"\xff", b"\n", b"/w==", b"W1tbW1tb" * 50),
    ),
    Target(name="calls", open=_calling, seeds=_calls, brief=40, tokens=_JSON_TOKENS, allowed=(ValidationError,
    )),
)  # fmt: skip
