"""Agents for tests: the SDK's client, over HTTP to a real server, and over stdio to a real process."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.routing import Route

from ingest_assets import audit_log
from ingest_assets.audit_log import LoggedCall
from ingest_assets.document_text import CLOSE, OPEN
from ingest_assets.interfaces.mcp import WorkbenchPool, mcp_app
from ingest_assets.interfaces.tokens import SCOPES, Caller
from ingest_assets.sources.registry import Sources
from ingest_assets_tests.support.built_index import Home

TOKENS = {
    "all": Caller("ada", frozenset(SCOPES)),
    "reads": Caller("reader", frozenset({"read"})),
    "none": Caller("nobody", frozenset()),
}

Talk = Callable[[Client], Awaitable[Any]]


@dataclass(frozen=True)
class Said:
    """A tool's answer."""

    is_error: bool
    text: str
    content: Any

    def ok(self) -> Any:
        assert not self.is_error, self.text
        assert json.loads(self.text) == self.content
        return self.content

    def refused(self) -> str:
        assert self.is_error, self.text
        assert self.content is None
        assert "Traceback" not in self.text
        assert len(self.text) <= 700
        return self.text


@dataclass(frozen=True)
class Served:
    """A running server, and the home that it serves."""

    home: Home
    url: str

    def talk(self, talk: Talk, token: str = "all", mode: str = "auto") -> Any:
        """A conversation of one client."""

        async def converse() -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
                transport = streamable_http_client(self.url, http_client=http)
                async with Client(transport, mode=mode) as client:
                    return await talk(client)

        return asyncio.run(converse())

    def call(self, tool: str, token: str = "all", **arguments: Any) -> Said:
        return said(self.talk(lambda client: client.call_tool(tool, arguments), token))

    def log(self) -> list[LoggedCall]:
        """The log of calls, newest first."""
        return log_of(self.home)


def plain(text: str) -> str:
    """A document's text without its marks, which must be there, once."""
    assert (text[0], text[-1]) == (OPEN, CLOSE), text
    assert not {OPEN, CLOSE} & set(text[1:-1])
    return text[1:-1]


def said(result: Any) -> Said:
    (content,) = result.content
    return Said(result.is_error, content.text, result.structured_content)


def log_of(home: Home) -> list[LoggedCall]:
    with home.bench() as bench:
        return audit_log.read(bench.ledger, limit=1_000)


def over_stdio(home: Home, talk: Talk, **env: str) -> Any:
    """A conversation with `ingest mcp` in a process of its own."""

    async def converse() -> Any:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "ingest_assets", "mcp"], env=home.env | env, cwd=home.path
        )
        async with Client(server) as client:
            return await talk(client)

    return asyncio.run(converse())


@contextmanager
def serve(home: Home, sources: Sources | None = None) -> Iterator[Served]:
    """A server on loopback, behind a token check."""
    pool = WorkbenchPool(home.load(), sources=sources)

    def identity_of(scope: Any) -> Caller | None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        return TOKENS.get(given.removeprefix("Bearer "))

    app = Starlette(routes=[Route("/mcp", endpoint=mcp_app(pool.borrow, identity_of))])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        # The only sign that it listens.
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(home, f"http://127.0.0.1:{port}/mcp")
    finally:
        server.should_exit = True
        thread.join(20)
        pool.close()
