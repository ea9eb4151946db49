"""A server that says what a test has it say, byte for byte."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that handles each connection with `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def serve() -> None:
            listening.settimeout(0.05)
            while not stop.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    continue
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    answer(connection)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def byte_by_byte(text: bytes, pause_s: float = 0.02) -> Callable[[socket.socket], None]:
    """What says this over and over, with a pause after each byte."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        for byte in text * 1_000:
            connection.sendall(bytes([byte]))
            time.sleep(pause_s)

    return answer
