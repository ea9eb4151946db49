"""Who is not let in to the tools, in the log of calls.

For want of a token that is known or of a scope, from another site's page, too often, or with too much.

Anybody who reaches the port can be refused, as often as they like, so what a refusal costs is bounded:

- Its body is not looked into: a row has who (a token's name, or nobody), why, and the address that came last.
- The first is logged at once; those of the following minute are counted, and logged together when it is over.
  So there is one row a minute for each token and reason, and a few for all who have no token that is known:
  whoever attacks, and from however many addresses, the log grows by less than 1 MB a day.

What belongs here: refusals. What does not: refusing (the door, `server`), and calls of those who are let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from ingest_assets import audit_log
from ingest_assets.doors.mcp.benches import Lend

NOBODY = "(nobody)"  # no token has this name
NOT_READ = "(not read)"  # which tool was called
EVERY_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """How often somebody was refused for one reason, and from where last."""

    times: int
    address: str


class Strangers:
    """The refusals of one server. For use on its event loop alone."""

    def __init__(self, lend: Lend, every_s: float = EVERY_S) -> None:
        self._lend, self._every_s = lend, every_s
        self._waiting: dict[tuple[str, str], Refused] = {}
        self._pause: asyncio.Task[None] | None = None

    async def refused(self, who: str, why: str, address: str) -> None:
        """Log it, now or together with others. Raises nothing: whoever is refused stays so."""
        before = self._waiting.get((who, why))
        self._waiting[who, why] = Refused(before.times + 1 if before else 1, address)
        if self._pause is None or self._pause.done():
            self._pause = asyncio.create_task(self._later())
            await self._write()

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """At the end what waits is logged."""
        yield
        if self._pause is not None:
            self._pause.cancel()
        await self._write()

    async def _later(self) -> None:
        """Until a minute has gone by without a refusal."""
        while True:
            await asyncio.sleep(self._every_s)  # which bounds how many rows there are
            if not self._waiting:
                return
            await self._write()

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            await asyncio.to_thread(self._append, waiting)

    def _append(self, waiting: Mapping[tuple[str, str], Refused]) -> None:
        try:
            with self._lend() as bench, bench.ledger.transaction() as connection:
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
        except Exception:  # noqa: BLE001 - whatever it is: who is refused stays so, and the operator is told
            _log.exception("Refused requests could not be logged: %s", dict(waiting))
