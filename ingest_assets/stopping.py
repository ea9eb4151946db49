"""Work that may have to stop while it waits for another machine: a cancelled job does not wait for an answer.

What belongs here: who is asked meanwhile, and waiting so that it can be. What does not: when work has to stop
(`jobs.progress`).
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

ASKED_EVERY_S = 0.5
_check: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar("stop_check", default=None)


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


def waited_for(call: Callable[[], T]) -> T:
    """What a call returns or raises, unless the check raises first: then the call is left to itself."""
    check = _check.get()
    if check is None:
        return call()
    check()
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
    while not done.wait(ASKED_EVERY_S):
        check()
    if failure:
        raise failure[0]
    return result[0]
