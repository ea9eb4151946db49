"""A listener at GATE_URL that behaves well or badly, as a test scripts it, and a bench that tells it things.

What belongs here: a real server, and benches with settings of the notifier. What does not: what must hold.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.settings import Settings
from ingest_assets.sources.registry import Sources
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.workbench import Workbench

TOKEN = "gate-token-0123456789"
BY = Decider("ada", "the listener is mended", "cli")
DRIP_S = 0.05


@dataclass
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]


@dataclass
class Answer:
    """What a listener does with a request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drips: str = ""  # "head" or "body": sends a byte now and then, for ever
    hangs: bool = False  # says nothing, for ever
    breaks: bool = False  # ends the connection without an answer


class GateListener:
    """A running server: the answers it will give first, then its usual one, and what it has heard."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.usual: Callable[[Heard], Answer] = lambda _heard: Answer()
        self.heard: list[Heard] = []
        self.accepted: list[Heard] = []  # those that were answered with 2xx
        self.connections = 0
        self.at_once = self.most_at_once = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.url = ""

    def then(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    def answer(self, heard: Heard) -> Answer:
        with self.lock:
            self.heard.append(heard)
            given = self.answers.popleft() if self.answers else self.usual(heard)
            if 200 <= given.status < 300 and not (given.hangs or given.breaks or given.drips == "head"):
                self.accepted.append(heard)
            return given

    @contextmanager
    def being_asked(self) -> Iterator[None]:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.heard]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def listener(self) -> GateListener:
        assert isinstance(self.server, _Server)
        return self.server.listener

    def setup(self) -> None:
        super().setup()
        self.listener.connections += 1

    def do_POST(self) -> None:
        with self.listener.being_asked():
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            answer = self.listener.answer(Heard(self.path, dict(self.headers), json.loads(raw)))
            if answer.hangs:
                self.listener.closing.wait()
            if answer.hangs or answer.breaks:
                self.close_connection = True
            elif answer.drips == "head":
                self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            else:
                self._say(answer)

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(1 << 30 if answer.drips else len(answer.body)))
        self.end_headers()
        if answer.drips:
            self._drip(b"")
        else:
            self.wfile.write(answer.body)

    def _drip(self, start: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):  # the other side has had enough
            self.wfile.write(start)
            while not self.listener.closing.wait(DRIP_S):
                self.wfile.write(b".")

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.listener = GateListener()

    def handle_error(self, *_: object) -> None:
        return  # that a client has gone is part of the tests


@contextmanager
def listening(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[GateListener]:
    """A listener on this machine."""
    server = _Server(port)
    listener = server.listener
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    listener.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/gate"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.closing.set()
        server.shutdown()
        server.server_close()


def unused_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class Clock:
    """The time as a test sets it, in seconds since 1970."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += seconds


def gate_bench(home: Path, ledger_url: str, **given: Any) -> Workbench:
    """A bench without sources, whose logs lie in `home`."""
    values = {
        "gate_token": TOKEN,
        "gate_timeout_s": 5,
        "rag_log_file": home / "logs" / "rag.log",
        "spool_failure_log": home / "logs" / "failures.jsonl",
    } | given
    settings = Settings(_env_file=None, ingest_home=home / "home", ingest_ledger_url=ledger_url, **values)
    return Workbench(settings, Sources([]))


NewBench = Callable[..., Workbench]


@pytest.fixture
def listener() -> Iterator[GateListener]:
    with listening() as started:
        yield started


@pytest.fixture
def new_bench(tmp_path: Path, ledger_url: str) -> Iterator[NewBench]:
    """Makes benches with settings, on one ledger, whose logs lie in `tmp_path`."""
    benches: list[Workbench] = []

    def new(**given: Any) -> Workbench:
        benches.append(gate_bench(tmp_path, ledger_url, **given))
        return benches[-1]

    yield new
    for bench in benches:
        bench.close()


def opened(tag: str, **facts: Any) -> dict[str, Any]:
    """The body of a gate.open."""
    return {"batch_tag": tag, "spool": "spool", "bytes": 100, "count": 3, "pii": False} | facts


def settled(tag: str, reason: str = "success", **facts: Any) -> dict[str, Any]:
    """The body of a gate.done."""
    status = "success" if reason in ("success", "healed_partition") else "failed"
    body = {"batch_tag": tag, "status": status, "reason": reason, "processed": 3, "pii": False}
    return body | facts


def announce(bench: Workbench, tag: str, event: str = outbox.OPEN, **facts: Any) -> None:
    """Write an event into the outbox."""
    body = (opened if event == outbox.OPEN else settled)(tag, **facts)
    with bench.ledger.transaction() as connection:
        gate_url = bench.settings_of(SpoolSettings).gate_url
        outbox.enqueue(connection, tag, event, body, gate_url=gate_url)
