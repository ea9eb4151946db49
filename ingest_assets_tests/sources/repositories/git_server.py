"""A git server over HTTP or HTTPS on loopback, in this process, that can be made to misbehave."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain

from ingest_assets.sources.repositories.policy import Policy

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
LOOPBACK = Policy(protocols=frozenset({"http", "https"}), allow_private_addresses=True)


class _Folder(Backend):
    """Opens the repository at the path again for every request, as it is then."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opened: list[Repo] = []

    def open_repository(self, path: str | bytes) -> Any:
        repo = Repo(self.root / os.fsdecode(path).strip("/"))
        self.opened.append(repo)
        return repo


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...  # a client that hangs up is part of the tests


class GitServer:
    """`misbehave`, when set, answers instead of git. `requests` are the requested paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.misbehave: Application | None = None
        self._backend = _Folder(root)
        self._git = make_wsgi_chain(self._backend)
        self._server = make_server("127.0.0.1", 0, self, server_class=_Threads, handler_class=_Quiet)
        self.scheme = "http"

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.requests.append(environ["PATH_INFO"])
        self.headers.append({k: str(v) for k, v in environ.items() if k.startswith("HTTP_")})
        answer: Application = self.misbehave or self._git
        return answer(environ, start)

    def git(self, environ: dict[str, Any], start: Callable[..., Any]) -> bytes:
        """Start git's answer with `start`, without its length, and return the body for a test to send."""
        begun: list[Any] = []
        body = bytearray()

        def begin(line: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], None]:
            begun[:] = [line, [(k, v) for k, v in headers if k.lower() != "content-length"]]
            return body.extend

        for piece in self._git(environ, begin):
            body.extend(piece)
        start(*begun)
        return bytes(body)

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def url(self, name: str = "repo") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"

    def secure(self, context: ssl.SSLContext) -> None:
        self.scheme = "https"
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @contextmanager
    def running(self) -> Iterator[GitServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            for repo in self._backend.opened:
                repo.close()


def redirect(location: str) -> Application:
    def answer(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("302 Found", [("Location", location), ("Content-Length", "0")])
        return []

    return answer


def status(line: str) -> Application:
    def answer(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(line, [("Content-Length", "0")])
        return []

    return answer
