"""Limits for each client: on the rate of requests (token buckets), and on what it holds at a time."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
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


class Slots:
    """Places that are taken for a while: a number for everybody together, and one for each holder.

    Used on the event loop only.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, holder: str) -> Callable[[], None] | None:
        """Take a place. Returns what gives it back, once or more often; None if there is none."""
        if len(self) >= self._most or self._taken[holder] >= self._most_each:
            return None
        self._taken[holder] += 1
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._taken[holder] -= 1
                self._taken += Counter()  # forgets holders of none

        return give_back
