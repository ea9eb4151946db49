"""Work that may have to stop while it waits for another machine: a cancelled job does not wait for an answer.

What belongs here: who is asked meanwhile, who is told how far it is, waiting so that both can be, and who can
wait at all. What does not: when work has to stop (`jobs.progress`).
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class LateError(Exception):
    """A call took longer than it may."""


ASKED_EVERY_S = 0.5
_check: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar("stop_check", default=None)

# Called with the place of the first and after the last of those items of a list that are done.
Done = Callable[[int, int], None]
_done: contextvars.ContextVar[Done | None] = contextvars.ContextVar("done", default=None)

_patient: contextvars.ContextVar[bool] = contextvars.ContextVar("patient", default=False)


@contextmanager
def patiently() -> Iterator[None]:
    """For the block, another machine that does not answer is waited for: it is a run, and nobody looks on."""
    token = _patient.set(True)
    try:
        yield
    finally:
        _patient.reset(token)


@contextmanager
def impatiently() -> Iterator[None]:
    """For the block, it is not: what does not answer is left out."""
    token = _patient.set(False)
    try:
        yield
    finally:
        _patient.reset(token)


def is_patient() -> bool:
    """Whether who asks can wait."""
    return _patient.get()


@contextmanager
def stopped_by(check: Callable[[], None]) -> Iterator[None]:
    """For the block, `check` is called again and again while it waits; it stops the work by raising."""
    before = _check.set(check)
    try:
        yield
    finally:
        _check.reset(before)


def go_on() -> None:
    """Between two parts of long work: raises what the check raises."""
    check = _check.get()
    if check is not None:
        check()


@contextmanager
def followed_by(done: Done | None) -> Iterator[None]:
    """For the block, which is handed a list of items, `done` hears of each part that is done."""
    token = _done.set(done)
    try:
        yield
    finally:
        _done.reset(token)


def part_done(start: int, end: int) -> None:
    """These of the items that were handed over are done. Raises what `go_on` raises."""
    done = _done.get()
    if done is not None:
        done(start, end)
    go_on()


def unchecked(call: Callable[[], T]) -> Callable[[], T]:
    """The call for another thread, with this one's context but no check: who waits for it asks that."""
    context = contextvars.copy_context()
    context.run(_check.set, None)
    return lambda: context.run(call)


def waited_for(call: Callable[[], T]) -> T:
    """What a call returns or raises, unless the check raises first: then the call is left to itself."""
    check = _check.get()
    if check is None:
        return call()
    check()
    return _elsewhere(call, check, None)


def in_time(call: Callable[[], T], seconds: float) -> T:
    """What a call returns or raises within so many seconds. Raises LateError then, and leaves it alone."""
    return _elsewhere(call, go_on, seconds)


def _elsewhere(call: Callable[[], T], check: Callable[[], None], seconds: float | None) -> T:
    done = threading.Event()
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            failure.append(error)
        finally:
            done.set()

    # A daemon: a process whose work was stopped must not wait for it at its end.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    ends = None if seconds is None else time.monotonic() + seconds
    while not done.wait(
        ASKED_EVERY_S if ends is None else max(0.0, min(ASKED_EVERY_S, ends - time.monotonic()))
    ):
        check()
        if ends is not None and time.monotonic() >= ends:
            raise LateError
    if failure:
        raise failure[0]
    return result[0]
