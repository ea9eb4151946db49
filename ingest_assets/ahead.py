"""What takes long to start, and is started while a run is prepared, before the run needs it.

What belongs here: keeping one of a kind until it is asked for. What does not: what it is, and when it will be
needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class StartedAhead(Generic[T]):
    """At most one. Each run has its own: it is kept in the context that it was started in."""

    def __init__(self, what: str) -> None:
        # A list, because a run's steps have copies of the context.
        self._kept: ContextVar[list[T] | None] = ContextVar(what, default=None)

    def keep(self, started: T) -> None:
        """Keep it for whoever needs one. Ending it, if nobody does, is for who started it."""
        self._kept.set([started])

    def take(self, is_usable: Callable[[T], bool]) -> T | None:
        """It, if there is one that has not ended meanwhile. It is given away once."""
        kept = self._kept.get()
        one = kept.pop() if kept else None
        return one if one is not None and is_usable(one) else None
