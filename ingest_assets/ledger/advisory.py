"""Locks of Postgres that last as long as a connection, and are lost with it: so whoever writes asks for them.

When a server is started again, the pool has new connections before anybody notices, and another process may
have the lock by then.

What belongs here: these locks. What does not: when one is waited for (`store`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest_assets.model import UnavailableError, digest_of

POLL_S = 0.2
# Whoever holds any lock has this one as well, shared; whoever changes the tables has it alone.
_AT_WORK = "at-work"


@dataclass(slots=True)
class _Held:
    name: str
    connection: sa.Connection
    breaks: int  # that there were when the connection was known to live
    is_lost: bool = False

    def lives(self) -> bool:
        """Whether the connection does. It does not come back: a new one would not have the lock."""
        if not self.is_lost:
            try:
                self.connection.scalar(sa.select(1))
                self.connection.commit()
            except sa.exc.SQLAlchemyError:
                self.is_lost = True
        return not self.is_lost


class AdvisoryLocks:
    """Those of one engine. A thread holds its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._breaks = 0  # connections that were found dead
        self._mine = threading.local()
        sa.event.listen(engine, "invalidate", self._count_break)

    def _count_break(self, *_: Any) -> None:
        self._breaks += 1

    @contextmanager
    def hold(
        self, name: str, require_time_left: Callable[[], None], *, alone: bool = False
    ) -> Iterator[None]:
        """Hold a lock; `alone`: while nobody holds any other.

        `require_time_left` is called while another process has it, and ends it by raising.
        """
        with self._engine.connect() as connection:
            # Advisory locks are those of the whole database, which may hold a ledger in each of its schemas.
            schema = connection.scalar(sa.select(sa.func.current_schema()))
            wanted = [
                (_key(schema, _AT_WORK), "" if alone else "_shared"),
                (_key(schema, name), ""),
            ]
            got: list[tuple[int, str]] = []
            held = _Held(name, connection, self._breaks)
            try:
                for key, kind in wanted:
                    # Polled: a blocking call could not be bounded without a session-wide setting.
                    take = getattr(sa.func, f"pg_try_advisory_lock{kind}")(key)
                    while not connection.scalar(sa.select(take)):
                        require_time_left()
                        time.sleep(POLL_S)
                    got.append((key, kind))
                connection.commit()
                self._of_thread().append(held)
                try:
                    yield
                finally:
                    self._of_thread().remove(held)
            finally:
                for key, kind in reversed(got):
                    with suppress(sa.exc.SQLAlchemyError):  # lost with the connection
                        connection.scalar(sa.select(getattr(sa.func, f"pg_advisory_unlock{kind}")(key)))

    def require(self) -> None:
        """Raises UnavailableError if a lock of this thread was lost."""
        for held in self._of_thread():
            breaks = self._breaks
            # Else nothing has happened that would be a reason to ask the server.
            if held.breaks != breaks and not held.lives():
                raise UnavailableError(
                    f"The connection to the ledger's database was lost, and with it the lock of {held.name}. "
                    "Run it again: it goes on from there."
                )
            held.breaks = breaks

    def _of_thread(self) -> list[_Held]:
        if not hasattr(self._mine, "held"):
            self._mine.held = []
        return self._mine.held  # type: ignore[no-any-return]


def _key(schema: str | None, name: str) -> int:
    digest = digest_of("ingest", schema, name)
    return int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True)
