"""How often searches of this process looked into the cache, and what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import Literal, get_args

# `foreign`: what lay there is not ours. `unavailable`: Redis did not say.
Found = Literal["hit", "miss", "foreign", "unavailable"]
FOUND: tuple[Found, ...] = get_args(Found)


class Lookups:
    """Counts by what was found. Safe to share between threads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def count(self, found: Found) -> None:
        """One more."""
        self.add({found: 1})

    def add(self, counts: Mapping[str, int]) -> None:
        """Those of another process."""
        with self._lock:
            self._counts.update(counts)

    def counts(self) -> dict[str, int]:
        """So far."""
        with self._lock:
            return {found: self._counts[found] for found in FOUND}

    def take(self) -> dict[str, int]:
        """Those since the last call, for another process to add."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return dict(taken)


# Of this process, whose workbenches may have several caches.
LOOKUPS = Lookups()
