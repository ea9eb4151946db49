"""A network that can be taken away: a relay between a client and a server that falls silent, or hangs up."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_READ = 1 << 16


class Relay:
    """Passes bytes on in both directions, until it is told not to."""

    def __init__(self, listening: socket.socket, onward: Callable[[], socket.socket]) -> None:
        self._listening, self._onward = listening, onward
        self._open = threading.Event()
        self._open.set()
        self._accepts = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    def to_port(cls, port: int) -> Relay:
        return cls(
            socket.create_server(("127.0.0.1", 0)), lambda: socket.create_connection(("127.0.0.1", port))
        )

    @classmethod
    def to_socket(cls, path: Path, mine: Path) -> Relay:
        """Of Unix's, as Postgres listens on."""
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(mine))
        listening.listen(64)

        def onward() -> socket.socket:
            to = socket.socket(socket.AF_UNIX)
            to.connect(str(path))
            return to

        return cls(listening, onward)

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    def fall_silent(self) -> None:
        """As when a cable is pulled: nothing arrives, and nobody is told."""
        self._open.clear()

    def hang_up(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._accepts = False
        for pair in self._pairs:
            for end in pair:
                _reset(end)
        self._pairs.clear()

    def restore(self) -> None:
        self._accepts = True
        self._open.set()

    def close(self) -> None:
        self.hang_up()
        self._open.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self._listening.accept()
                if not self._accepts:
                    _reset(here)
                    continue
                there = self._onward()
                self._pairs.append((here, there))
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, from_: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := from_.recv(_READ):
                self._open.wait()
                to.sendall(data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_WR)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
