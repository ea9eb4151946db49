"""One computation at a time, whose result is shared by everyone who asks for it meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedResult(Generic[T]):
    """The result of a function, computed in a thread and reused for `max_age_s` after it is done."""

    def __init__(self, compute: Callable[[], T], max_age_s: float = 0) -> None:
        self._compute, self._max_age_s = compute, max_age_s
        self._task: asyncio.Task[T] | None = None
        self._expires_at = 0.0

    async def get(self) -> T:
        """The result, computed now unless there is a recent one or a computation is under way."""
        if self._task is None or (self._task.done() and time.monotonic() >= self._expires_at):
            self._task = asyncio.create_task(self._run())
        # Shielded: a caller that is cancelled must not cancel it for the others.
        return await asyncio.shield(self._task)

    async def _run(self) -> T:
        try:
            return await asyncio.to_thread(self._compute)
        finally:
            self._expires_at = time.monotonic() + self._max_age_s
