"""How often a client may come: a bucket of tokens each, filled at a steady rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# As much as a client that was silent may ask at once, in seconds of its rate.
BURST_S = 2.0
# Clients that are remembered: the one longest silent, whose bucket is full again, is forgotten first.
REMEMBERED = 10_000


class Buckets:
    """A bucket for each client. Not for use by several threads: the event loop's alone."""

    def __init__(self, rate_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate_per_s, clock
        self._full = max(1.0, rate_per_s * BURST_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take one token: 0 when there was one, else the seconds until there is."""
        now = self._clock()
        level, since = self._buckets.pop(client, (self._full, now))
        level = min(self._full, level + (now - since) * self._rate)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate
        self._buckets[client] = (level if wait else level - 1, now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return wait
