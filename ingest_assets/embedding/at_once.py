"""How many requests an endpoint is sent at once: as many as make it faster.

The bound climbs: now and then more or fewer requests are tried for a while, and kept if they bring at least
half of the answers a second that their number promises. So a server that works on one text at a time gets one
or two requests, one that works on many gets as many as the settings allow, and one that becomes slower gets
fewer. When it says that it is asked too much, the bound is halved.

What belongs here: the bound, and requests side by side. What does not: what is asked.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ingest_assets.stopping import ASKED_EVERY_S, go_on, unchecked
from ingest_assets.tracing import carried

T = TypeVar("T")
R = TypeVar("R")

FIRST = 2  # while one answer is read here, the endpoint has something to do
FACTOR = 1.5  # between a bound and the next one that is tried
WINDOW = 4  # answers, at least, by which a bound is judged
HOLD = 4  # windows before others are tried again
ONE_REFUSAL_S = 1.0  # requests that were under way together are refused together, and are one reason to halve


@dataclass(slots=True)
class _Answer(Generic[R]):
    """What came of one request."""

    place: int
    beside: int  # how many were under way when it was sent, itself included
    seconds: float
    result: list[R]
    failure: BaseException | None


class Concurrency:
    """The bound for one endpoint. Safe to share between threads; each may use as many requests as it says."""

    def __init__(self, most: int) -> None:
        """`most`: the largest bound, from the settings, 1 or more."""
        self._most = most
        self._lock = threading.Lock()
        self._halved_at: float | None = None
        self._seconds: list[float] = []  # of the answers by which the bound is judged
        self._settle(min(FIRST, most), up=True, hold=0)

    @property
    def bound(self) -> int:
        """How many requests may be under way now."""
        return self._bound

    def refused(self) -> None:
        """The endpoint said that it is asked too much."""
        now = time.monotonic()
        with self._lock:
            if self._halved_at is None or now - self._halved_at >= ONE_REFUSAL_S:
                self._halved_at = now
                self._settle(max(1, self._bound // 2), up=True)

    def answered(self, seconds: float, beside: int) -> None:
        """An answer came after `seconds`, while `beside` requests were under way."""
        with self._lock:
            if beside != self._bound:
                return  # sent under another bound, or when there was not more to ask
            self._seconds.append(seconds)
            if len(self._seconds) < max(WINDOW, self._bound):
                return
            rate = self._bound * len(self._seconds) / max(sum(self._seconds), 1e-9)
            self._seconds = []
            self._judge(rate)

    def _settle(self, bound: int, *, up: bool, hold: int = HOLD) -> None:
        """Stay with a bound for some windows, then try more (`up`) or fewer."""
        self._bound = self._settled = bound
        self._up, self._hold = up, hold
        self._rate = 0.0  # answers a second with the settled bound
        self._seconds = []

    def _judge(self, rate: float) -> None:
        if self._bound == self._settled:
            self._rate = rate
            self._hold -= 1
            if self._hold < 0:
                self._try_next()
        elif rate >= self._rate * (1 + (self._bound / self._settled - 1) / 2):
            self._settled, self._rate = self._bound, rate
            self._try_next()
        else:
            self._settle(self._settled, up=not self._up)

    def _try_next(self) -> None:
        wanted = math.ceil(self._bound * FACTOR) if self._up else int(self._bound / FACTOR)
        self._bound = min(self._most, max(1, wanted))
        if self._bound == self._settled:
            self._settle(self._settled, up=not self._up)

    def each(
        self, call: Callable[[T], R], items: Sequence[T], done: Callable[[int], None] = lambda _place: None
    ) -> list[R]:
        """What `call` returns for each item, in order; `done` hears of each as soon as it is there.

        Raises what a call raises; those that are under way then are left to themselves.
        """
        if len(items) <= 1 or self._most == 1:
            return [_here(call, place, item, done) for place, item in enumerate(items)]
        call = carried(call)
        results: dict[int, R] = {}
        answers: queue.SimpleQueue[_Answer[R]] = queue.SimpleQueue()
        started = 0
        while len(results) < len(items):
            while started < len(items) and started - len(results) < self.bound:
                beside = started - len(results) + 1
                _start(call, items[started], _Answer(started, beside, 0.0, [], None), answers)
                started += 1
            try:
                answer = answers.get(timeout=ASKED_EVERY_S)
            except queue.Empty:
                go_on()
                continue
            if answer.failure is not None:
                raise answer.failure
            results[answer.place] = answer.result[0]
            done(answer.place)
            if answer.place < len(items) - 1:  # the last one may be short, and tells nothing
                self.answered(answer.seconds, answer.beside)
        return [results[place] for place in range(len(items))]


def _here(call: Callable[[T], R], place: int, item: T, done: Callable[[int], None]) -> R:
    result = call(item)
    done(place)
    return result


def _start(
    call: Callable[[T], R], item: T, answer: _Answer[R], answers: queue.SimpleQueue[_Answer[R]]
) -> None:
    here = unchecked(lambda: call(item))

    def run() -> None:
        began = time.monotonic()
        try:
            answer.result.append(here())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            answer.failure = error
        answer.seconds = time.monotonic() - began
        answers.put(answer)

    # A daemon: a process whose work was stopped must not wait for it at its end.
    threading.Thread(target=run, daemon=True).start()
