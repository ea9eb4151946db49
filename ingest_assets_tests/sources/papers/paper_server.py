"""A server of papers on this machine, over real HTTP and HTTPS, which behaves well or as a test says."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

XML = b"""<?xml version="1.0"?>
<!DOCTYPE pmc-articleset PUBLIC "-//NLM//DTD ARTICLE SET 2.0//EN" "https://dtd.example/x.dtd">
<pmc-articleset><article><front/><body><p>Text.</p></body></article></pmc-articleset>
"""


@dataclass
class Sent:
    """One answer."""

    body: bytes = XML
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0  # after each byte


Answering = Callable[[str], Sent]  # of the path with its query


@dataclass
class PaperServer:
    """A running server: how it answers, and the paths, headers and times of its requests."""

    port: int = 0
    secure: bool = False
    answer: Answering = lambda _path: Sent()
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def then(self, *answers: Sent) -> None:
        """The next answers; the last of them from then on."""
        left = list(answers)
        self.answer = lambda _path: left.pop(0) if len(left) > 1 else left[0]


def _handler(server: PaperServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.paths.append(self.path)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.times.append(time.monotonic())
            sent = server.answer(self.path)
            try:
                self.send_response(sent.status)
                for name, value in {"Content-Length": str(len(sent.body)), **sent.headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                pieces = [sent.body] if not sent.drip_s else [bytes([byte]) for byte in sent.body]
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(sent.drip_s)
            except OSError:
                pass  # the client has closed the connection, as such a test intends
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it would clutter the test's output."""

    return Handler


@contextmanager
def serving_papers(tls: ssl.SSLContext | None = None) -> Iterator[PaperServer]:
    """A server on a free port of 127.0.0.1, with TLS where a context is given."""
    running = PaperServer(secure=tls is not None)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(running)) as server:
        server.daemon_threads = True
        server.block_on_close = False  # a handler may still be sleeping
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are expected
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        running.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
