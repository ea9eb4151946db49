"""Connections to remotes, whose addresses, bytes and time are under our own rules.

A name is resolved once, all its addresses are checked, and the connection goes to one of these, so a later
DNS answer cannot lead elsewhere. No proxy or configuration of the machine is used.

What belongs here: what every protocol shares. What does not: a protocol (over_http, over_ssh), which refs are
wanted (fetch), and what becomes of a pack (mirror).
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from ingest_assets.model import ConfigurationError, IngestError, UnavailableError
from ingest_assets.redaction import redact
from ingest_assets.sources.repositories.policy import Policy

CONNECT_S = 10.0
STALL_S = 30.0  # between two bytes
_INTERRUPT_EVERY_S = 1.0
MAX_REFS_BYTES = 16 << 20  # of a list of refs: about 200,000 of them, which take ten times the memory
_OVERHEAD = 2 << 20  # bytes of a conversation besides its refs and its pack: progress


class FetchBudget:
    """Seconds and bytes that a conversation may take. When the time is up its connections are shut down.

    They are also shut down when `interrupt` raises; it is called about once a second, from another thread,
    and `check` then raises the same error. Only a shutdown ends a wait inside the operating system or the TLS
    library when a server sends a byte now and then.
    """

    def __init__(
        self, what: str, seconds: float, max_bytes: int, interrupt: Callable[[], None] | None = None
    ) -> None:
        self._what = what
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._max_bytes = max_bytes
        self._interrupt = interrupt
        self._interrupted: IngestError | None = None
        self._received = 0
        self._part = "its list of refs"
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
            raise ConfigurationError(
                f"{self._what} was stopped: the server sent more than {self._max_bytes:,} bytes, "
                f"the limit for {self._part}."
            )
        self.check()

    def expect_pack(self, max_bytes: int) -> None:
        """The refs have been read: from now on a pack may come, of so many bytes."""
        self._received, self._max_bytes, self._part = 0, max_bytes, "a repository"

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


@contextmanager
def conversation(budget: FetchBudget) -> Iterator[None]:
    """Turns whatever a network, a server or its bytes can raise into an error of ours."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
    from urllib3.exceptions import HTTPError

    try:
        yield
    except IngestError:
        raise
    except (NotGitRepository, HTTPUnauthorized) as error:
        raise ConfigurationError(
            "The server has no such repository, or it is private: check the URL, or set a token for the host."
        ) from error
    except HangupException as error:
        budget.check()
        raise UnavailableError("The server hung up in the middle.") from error
    except GitProtocolError as error:
        budget.check()
        raise UnavailableError(f"The server refused: {one_line(error)}.") from error
    except (HTTPError, OSError) as error:
        budget.check()
        raise UnavailableError(f"The server could not be reached: {_reason(error)}.") from error
    except (AssertionError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        # Inside dulwich, bytes that are not git's protocol can raise any of these.
        budget.check()
        raise UnavailableError("The server does not speak git's protocol.") from error


def connect(host: str, port: int, policy: Policy, budget: FetchBudget, seconds: float) -> socket.socket:
    """A connection to a host that the policy allows, watched by the budget.

    Raises ConfigurationError when the host or its address is not allowed, UnavailableError when the name is
    not known or the time is up, and OSError when nobody answers in `seconds`.
    """
    addresses = policy.resolve(host, port, min(seconds, CONNECT_S))
    for address in addresses[:-1]:
        try:
            return _connected(address, port, budget, seconds)
        except OSError:
            budget.check()
    return _connected(addresses[-1], port, budget, seconds)


def _connected(address: str, port: int, budget: FetchBudget, seconds: float) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind, protocol)
    budget.watch(connection)  # first, so that connecting can be ended too
    connection.settimeout(seconds)
    try:
        connection.connect(place)
    except OSError:
        connection.close()
        raise
    return connection


def _reason(error: Exception) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or isinstance(error, ssl.SSLError):
        return "its certificate is not trusted"
    inner = getattr(error, "reason", None)
    return one_line(inner if isinstance(inner, Exception) else error)


def one_line(words: object) -> str:
    """A server's message, shortened, and without what could garble a log."""
    # Redacted before it is shortened: a part of a secret could not be recognised.
    text = "".join(c if c.isprintable() else " " for c in redact(str(words)))
    return " ".join(text.split())[:200].rstrip(".") or type(words).__name__
