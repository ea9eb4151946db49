"""The time and the bytes that fetching something may take, held to whatever a server does.

What belongs here: counting, and ending what waits. What does not: connecting and protocols.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from ingest_assets.model import ContentError, IngestError, UnavailableError

_INTERRUPT_EVERY_S = 1.0
_OVERHEAD = 2 << 20  # bytes of a conversation besides what is fetched: progress


class FetchBudget:
    """Seconds and bytes that a conversation may take. When the time is up its connections are shut down.

    They are also shut down when `interrupt` raises; it is called about once a second, from another thread,
    and `check` then raises the same error. Only a shutdown ends a wait inside the operating system or the TLS
    library when a server sends a byte now and then.
    """

    def __init__(
        self,
        what: str,
        seconds: float,
        max_bytes: int,
        interrupt: Callable[[], None] | None = None,
        *,
        part: str,
    ) -> None:
        """`what` begins a message; `part` is what `max_bytes` limits: "Fetching x", "a file"."""
        self._what = what
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._max_bytes = max_bytes
        self._interrupt = interrupt
        self._interrupted: IngestError | None = None
        self._received = 0
        self._part = part
        self._sockets: list[socket.socket] = []
        self._closing = ExitStack()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="watch a fetch")

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self._closing.close()
        for kept in self._sockets:
            kept.close()

    @property
    def left_s(self) -> float:
        return self._ends - time.monotonic()

    def check(self) -> None:
        """Raises UnavailableError when the time is up, and what the interrupt raised."""
        if self._interrupted is not None:
            raise self._interrupted
        if self.left_s <= 0:
            raise UnavailableError(f"{self._what} took longer than {self._seconds:g} s, and was stopped.")

    def count(self, size: int) -> None:
        self._received += size
        if self._received > self._max_bytes + _OVERHEAD:
            raise ContentError(
                f"{self._what} was stopped: the server sent more than {self._max_bytes:,} bytes, "
                f"the limit for {self._part}."
            )
        self.check()

    def expect(self, part: str, max_bytes: int) -> None:
        """One part has been read: from now on another may come, of so many bytes."""
        self._received, self._max_bytes, self._part = 0, max_bytes, part

    def watch(self, connection: socket.socket) -> None:
        self._sockets.append(connection.dup())  # TLS takes over the socket itself
        self.check()  # in case the time was up before there was anything to shut down

    def at_end(self, close: Callable[[], None]) -> None:
        self._closing.callback(close)

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, min(self.left_s, _INTERRUPT_EVERY_S))):
            try:
                if self._interrupt is not None:
                    self._interrupt()
            except IngestError as error:
                self._interrupted = error
            if self._interrupted is not None or self.left_s <= 0:
                self._shut_down()
                return

    def _shut_down(self) -> None:
        for kept in self._sockets:
            try:
                kept.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it had already ended
