"""A real server in a thread, and a client that checks responses against the OpenAPI document."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from threading import Event, Thread
from typing import Any

import httpx
import jsonschema

from ingest_assets.interfaces.http import Mounted, Service, create_app
from ingest_assets.interfaces.http.app import operations_of
from ingest_assets.interfaces.http.openapi import document
from ingest_assets.interfaces.http.server import listen, server_of
from ingest_assets.interfaces.job_service import Jobs
from ingest_assets.interfaces.listening import url_of
from ingest_assets.interfaces.tokens import Caller
from ingest_assets.sources.registry import Sources
from ingest_assets_tests.support.built_index import Home

READER, AGENT, WRITER = (f"{name}-{'0123456789' * 3}" for name in ("reader", "agent", "writer"))
TOKENS = f"reader:{READER}:read,agent:{AGENT}:read+ingest,writer:{WRITER}:write"


@dataclass
class Served:
    """A running server."""

    url: str
    service: Service

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the server."""
        return document(operations_of(self.service.bench.sources))

    def connect(self) -> socket.socket:
        """A raw connection, to send what no HTTP client would."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """A client that checks every JSON response against the OpenAPI document."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False, **options)
        client.event_hooks = {"response": [self.check]}
        return client

    def check(self, response: httpx.Response) -> None:
        """Check that a response is what the OpenAPI document says."""
        path, method = response.request.url.path, response.request.method.lower()
        paths = self.document["paths"]
        # The first one that matches, as routes do.
        found = (each for each in paths if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), path))
        operations = paths.get(next(found, ""), {})
        if method in operations:
            said = operations[method]["responses"].get(str(response.status_code))
            assert said is not None, f"{method} {path}: {response.status_code} is not documented"
            self._check_body(response, said.get("content", {}))

    def _check_body(self, response: httpx.Response, content: dict[str, Any]) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0]
        assert kind in content or (not kind and not content), (response.url, kind)
        if kind == "application/json":
            response.read()
            schema = content[kind]["schema"] | {"components": self.document["components"]}
            jsonschema.Draft202012Validator(schema).validate(json.loads(response.content))


@contextmanager
def served(  # other keyword arguments are settings
    home: Home,
    jobs: Jobs | Callable[[Caller], Jobs] | None = None,
    *,
    mounted: Sequence[Mounted] = (),
    heartbeat: float | None = None,
    sources: Sources | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """Serve a built index until the block ends, then shut down as SIGTERM does."""
    # Searching in this process starts at once; `test_search_workers.py` tests worker processes.
    settings = {"ingest_http_search_workers": 0} | settings
    loaded = home.with_settings(ingest_http_port=0, **settings).load()
    listening = listen(loaded)
    started = Event()
    service = Service(
        loaded,
        jobs if jobs is None or callable(jobs) else lambda _caller: jobs,
        heartbeat=lambda: heartbeat,
        sources=sources,
    )
    server = server_of(service, create_app(service, mounted), started.set)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    url = url_of(listening)
    thread.start()
    try:
        assert started.wait(30)
        yield Served(url, service)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
