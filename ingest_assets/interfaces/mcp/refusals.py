"""Refused requests in the log of calls.

A request is refused for a missing or unknown token, a missing scope, another site's page as its origin, too
many requests, or a body that is too large. Anyone who reaches the port can be refused as often as they like,
so the cost of a refusal is limited:

- Its body is not parsed. A row holds the caller (a token's name, or nobody), the reason and the last address.
- The first refusal is logged at once. Those of the following minute are counted, and logged together at its
  end. So there is one row per minute for each token and reason, and a few for all callers without a known
  token: whoever attacks, and from however many addresses, the log grows by less than 1 MB a day.

What belongs here: logging refusals. What does not: refusing (the HTTP service, `server`), and calls that are
let in (`calls`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from ingest_assets import audit_log
from ingest_assets.interfaces.mcp.workbench_pool import Borrow

NOBODY = "(nobody)"  # no token has this name
NOT_READ = "(not read)"  # in place of the tool's name
EVERY_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """How often a caller was refused for one reason, and the address of the last request."""

    times: int
    address: str


class RefusedRequests:
    """The refusals of one server. Not thread-safe: used on its event loop only."""

    def __init__(self, borrow: Borrow, every_s: float = EVERY_S) -> None:
        self._borrow, self._every_s = borrow, every_s
        self._waiting: dict[tuple[str, str], Refused] = {}
        self._pause: asyncio.Task[None] | None = None

    async def refused(self, who: str, why: str, address: str) -> None:
        """Log a refusal, now or together with later ones. Never raises: the request stays refused."""
        before = self._waiting.get((who, why))
        self._waiting[who, why] = Refused(before.times + 1 if before else 1, address)
        if self._pause is None or self._pause.done():
            self._pause = asyncio.create_task(self._later())
            await self._write()

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Logs at the end what has not been logged yet."""
        yield
        if self._pause is not None:
            self._pause.cancel()
        await self._write()

    async def _later(self) -> None:
        """Log once per interval, until one has passed without a refusal."""
        while True:
            await asyncio.sleep(self._every_s)  # which limits the number of rows
            if not self._waiting:
                return
            await self._write()

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            await asyncio.to_thread(self._append, waiting)

    def _append(self, waiting: Mapping[tuple[str, str], Refused]) -> None:
        try:
            with self._borrow() as bench, bench.ledger.transaction() as connection:
                for (who, why), refused in waiting.items():
                    audit_log.append(
                        connection,
                        who=who,
                        transport="http",
                        tool=NOT_READ,
                        arguments={"requests": refused.times, "last_from": refused.address},
                        outcome="refused",
                        message=why,
                    )
        except Exception:  # noqa: BLE001 - whatever it is, the request stays refused, and the operator is told
            _log.exception("Refused requests could not be logged: %s", dict(waiting))
