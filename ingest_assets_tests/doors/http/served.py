"""A real server in a thread, on a free port of this machine, and a client that holds it to its document."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import httpx
import jsonschema

from ingest_assets.doors.http import Door, Mounted, create_app
from ingest_assets.doors.http.server import listen, server_of, url_of
from ingest_assets.doors.jobs_port import Jobs
from ingest_assets_tests.built import Home

READER, AGENT, WRITER = (f"{name}-{'0123456789' * 3}" for name in ("reader", "agent", "writer"))
TOKENS = f"reader:{READER}:read,agent:{AGENT}:read+ingest,writer:{WRITER}:write"


@dataclass
class Served:
    """A server that answers."""

    url: str
    door: Door

    def connect(self) -> socket.socket:
        """For what no client would say."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """Every JSON answer it gets is checked against the document."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False, **options)
        client.event_hooks = {"response": [self.check]}
        return client

    def check(self, response: httpx.Response) -> None:
        """It is what the OpenAPI document says."""
        path, method = response.request.url.path, response.request.method.lower()
        for template, operations in self.door.document["paths"].items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) and method in operations:
                said = operations[method]["responses"].get(str(response.status_code))
                assert said is not None, f"{method} {path}: {response.status_code} is not documented"
                self._check_body(response, said.get("content", {}))

    def _check_body(self, response: httpx.Response, content: dict[str, Any]) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0]
        assert kind in content or (not kind and not content), (response.url, kind)
        if kind == "application/json":
            response.read()
            schema = content[kind]["schema"] | {"components": self.door.document["components"]}
            jsonschema.Draft202012Validator(schema).validate(json.loads(response.content))


@contextmanager
def served(  # keyword arguments that it does not name are settings
    home: Home,
    jobs: Jobs | None = None,
    *,
    mounted: Sequence[Mounted] = (),
    heartbeat: float | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """Serve a built index until the block ends, then end as SIGTERM does."""
    # Searching in this process starts in no time; `test_workers.py` is about the processes.
    settings = {"ingest_http_search_workers": 0} | settings
    loaded = home.with_settings(ingest_http_port=0, **settings).load()
    listening = listen(loaded)
    started = Event()
    door = Door(loaded, jobs, heartbeat=lambda: heartbeat)
    server = server_of(door, create_app(door, mounted), started.set)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    url = url_of(listening)
    thread.start()
    try:
        assert started.wait(30)
        yield Served(url, door)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
