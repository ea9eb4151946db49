"""Rate limits: a token bucket for each client, filled at a steady rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# A client that has been idle may send the requests of this many seconds at once.
BURST_S = 2.0
# How many clients are remembered. The one idle for longest, whose bucket is full again, is forgotten first.
REMEMBERED = 10_000


class Buckets:
    """A bucket for each client. Not thread-safe: used on the event loop only."""

    def __init__(self, rate_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate_per_s, clock
        self._full = max(1.0, rate_per_s * BURST_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take one token. Returns 0, or the seconds until there is one when the bucket is empty."""
        now = self._clock()
        level, since = self._buckets.pop(client, (self._full, now))
        level = min(self._full, level + (now - since) * self._rate)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate
        self._buckets[client] = (level if wait else level - 1, now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return wait
