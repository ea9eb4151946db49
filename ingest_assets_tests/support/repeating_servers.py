"""Servers that refuse everything, and repeat all that they are sent."""

from __future__ import annotations

import html
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote


@dataclass
class Repeating:
    """A server that answers every request with all that was in it."""

    url: str = ""
    status: int = 500
    as_json: bool = True
    asked: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def _repeated(request: BaseHTTPRequestHandler) -> str:
    """The request in the spellings that servers and their libraries use."""
    raw = f"{request.command} {request.path}\n{request.headers}"
    pairs = dict(request.headers.items())
    ways = [
        repr(pairs),
        json.dumps(pairs),
        html.escape(raw),
        quote(raw, safe=""),
        json.dumps(json.dumps(pairs)),
    ]
    return "\n".join([*(f"{name} is {value}" for name, value in pairs.items()), raw, *ways])


@contextmanager
def repeating() -> Iterator[Repeating]:
    server = Repeating()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = _repeated(self)
            server.asked.append(said)
            body = {"status": {"error": said}, "error": {"message": said}, "detail": said, "message": said}
            raw = (json.dumps(body) if server.as_json else said).encode("utf-8", "replace")
            self.send_response(server.status, f"Refused {self.headers.get('api-key') or 'you'}")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # whatever the method
                return self._answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        server.url = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            running.shutdown()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


@contextmanager
def refusing_postgres() -> Iterator[tuple[int, list[str]]]:
    """A Postgres that asks for the password, and repeats it when it refuses it."""
    listening = socket.create_server(("127.0.0.1", 0))
    heard: list[str] = []

    def talk(client: socket.socket) -> None:
        with client, client.makefile("rb") as reading:
            while True:
                (size,) = struct.unpack(">I", reading.read(4))
                start = reading.read(size - 4)
                if start[:4] != struct.pack(">I", 80877103):
                    break
                client.sendall(b"N")  # no TLS
            client.sendall(_message(b"R", struct.pack(">I", 3)))
            reading.read(1)
            (size,) = struct.unpack(">I", reading.read(4))
            password = reading.read(size - 4).rstrip(b"\0").decode()
            heard.append(password)
            said = f"refused: {start[4:]!r} with {password} that is {password!r} {json.dumps(password)}"
            client.sendall(_message(b"E", b"SFATAL\0C28P01\0M" + said.encode() + b"\0\0"))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with closing(listening):
        yield listening.getsockname()[1], heard
