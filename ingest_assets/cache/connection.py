"""Connections to Redis on which no answer takes long or is large, whoever answers.

What belongs here: the bounds. The client's own timeout is that of one read: a server that sends a byte now
and then would hold a search for as long as it likes, and one that announces a long value would fill the
memory.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ingest_assets.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

# Of one value. An answer of a thousand long hits is larger, and is not kept.
MAX_VALUE_BYTES = 1 << 20
_MAX_ANSWER_BYTES = MAX_VALUE_BYTES + (1 << 16)


class BoundedSocket:
    """A socket on which what is received after `begin` takes so many seconds and bytes at most, in all.

    Receiving raises TimeoutError, or OSError, beyond them.
    """

    def __init__(self, inner: Any, seconds: float, max_bytes: int = _MAX_ANSWER_BYTES) -> None:
        self._inner, self._seconds, self._max_bytes = inner, seconds, max_bytes
        self._polled = False  # the pool asks whether anything is left of an earlier answer, without waiting
        self.begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self) -> None:
        """A command is about to be sent: its answer has all of the time, and of the bytes."""
        self._ends, self._left = time.monotonic() + self._seconds, self._max_bytes

    def settimeout(self, seconds: float | None) -> None:
        self._polled = seconds == 0
        self._inner.settimeout(seconds)

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._seconds)
        self._inner.sendall(data)

    def recv(self, size: int) -> bytes:
        if not self._polled:
            seconds = self._ends - time.monotonic()
            if seconds <= 0:
                raise TimeoutError("The answer takes too long.")
            self._inner.settimeout(seconds)
        if self._left <= 0:
            raise OSError("The answer is too large.")
        data: bytes = self._inner.recv(min(size, self._left))
        self._left -= len(data)
        return data


def connect(settings: Settings, timeout_s: float, *, with_password: bool = True) -> Redis:
    """A client, which connects when it is first used, and again after a failure. It retries nothing."""
    import redis
    from redis._parsers import _RESP2Parser

    class Plain(redis.Connection):
        """Whose socket is bounded."""

        def _connect(self) -> BoundedSocket:
            return BoundedSocket(super()._connect(), timeout_s)  # type: ignore[no-untyped-call]

        def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
            if self._sock is not None:
                self._sock.begin()
            super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

    class Encrypted(Plain, redis.SSLConnection):
        """The same with TLS."""

    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    known: dict[str, Any] = {
        "host": settings.redis_host,
        "port": settings.redis_port,
        "db": settings.redis_db,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        # Not that of hiredis, which is taken where it is installed: it reads the socket by another way.
        "parser_class": _RESP2Parser,
        "driver_info": None,  # else each connection begins with two commands more
    }
    if with_password:
        known |= {"username": settings.redis_username or None, "password": password}
    if settings.redis_ssl:
        known["ssl_ca_certs"] = str(settings.redis_ca_file) if settings.redis_ca_file else None
    pool = redis.ConnectionPool(connection_class=Encrypted if settings.redis_ssl else Plain, **known)
    return redis.Redis(connection_pool=pool)
