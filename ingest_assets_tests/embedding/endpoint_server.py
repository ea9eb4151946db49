"""An embedding endpoint on this machine that behaves well or badly, as a test scripts it."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr

from ingest_assets.embedding import DenseSpec
from ingest_assets.embedding.endpoint import EndpointModel

Float64Array = NDArray[np.float64]
KEY = "sk-very-secret-0123"
DIMENSION = 8


def vector_of(text: str) -> list[float]:
    """What the endpoint gives for a text: any numbers, the same for the same text, not of unit length."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return [float(x) for x in np.random.default_rng(seed).normal(size=DIMENSION) * 3]


def unit_of(text: str) -> Float64Array:
    """The unit vector that the model must return for it."""
    vector = np.array(vector_of(text))
    unit: Float64Array = vector / np.linalg.norm(vector)
    return unit


def good_answer(body: dict[str, Any]) -> dict[str, Any]:
    """The answer of a well-behaved endpoint."""
    return {
        "object": "list",
        "model": body["model"],
        "data": [
            {"object": "embedding", "index": i, "embedding": vector_of(text)}
            for i, text in enumerate(body["input"])
        ],
    }


@dataclass
class Reply:
    """One answer: a status, headers, and a body made from the request; `delay_s` before it."""

    status: int = 200
    body: Callable[[dict[str, Any]], object] = good_answer  # sent as JSON unless bytes or str
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    drip_s: float = 0  # pause after each byte


@dataclass
class Endpoint:
    """A running server: the replies it will give first, in order, and the requests it has had."""

    url: str
    replies: deque[Reply] = field(default_factory=deque)
    usual: Reply = field(default_factory=Reply)  # its reply after those
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    by_path: dict[str, object] = field(default_factory=dict)  # JSON for GET requests

    def then(self, *replies: Reply) -> Endpoint:
        """Set the next replies; after them it gives the usual one."""
        self.replies.extend(replies)
        return self


def model_at(endpoint: Endpoint, **changes: Any) -> EndpointModel:
    """The model of an endpoint, with short waits between its attempts."""
    spec: dict[str, Any] = {"url": endpoint.url, "dimension": DIMENSION, "api_key": SecretStr(KEY)} | changes
    return EndpointModel(DenseSpec(kind="endpoint", model="m", **spec), backoff_s=0.01)


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.requests.append(body)
            self._note()
            reply = endpoint.replies.popleft() if endpoint.replies else endpoint.usual
            time.sleep(reply.delay_s)
            answer = reply.body(body)
            raw = answer.encode() if isinstance(answer, str) else answer
            self._send(reply, raw if isinstance(raw, bytes) else json.dumps(raw).encode())

        def do_GET(self) -> None:
            self._note()
            found = endpoint.by_path.get(self.path)
            self._send(Reply(200 if found is not None else 404), json.dumps(found).encode())

        def _note(self) -> None:
            endpoint.paths.append(self.path)
            endpoint.headers.append({k.lower(): v for k, v in self.headers.items()})
            endpoint.times.append(time.monotonic())

        def _send(self, reply: Reply, raw: bytes) -> None:
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(raw)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if not reply.drip_s:
                    self.wfile.write(raw)
                    return
                for byte in raw:
                    self.wfile.write(bytes([byte]))
                    time.sleep(reply.drip_s)
            except OSError:  # the client has closed the connection, as such a test intends
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it would clutter the test's output."""

    return Handler


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    """A server on a free port of 127.0.0.1, with TLS where a context is given."""
    endpoint = Endpoint("")
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint)) as server:
        server.daemon_threads = True
        server.block_on_close = False  # a handler may still be sleeping
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are expected
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        endpoint.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
