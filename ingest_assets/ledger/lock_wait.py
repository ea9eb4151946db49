"""How long a lock of the ledger is waited for, and what is said when that was too short."""

from __future__ import annotations

import time
from collections.abc import Callable

from ingest_assets.model import UnavailableError


class LockWait:
    """A bounded wait for a lock, and a check that is called meanwhile."""

    def __init__(
        self, name: str, seconds: float, check: Callable[[], None] | None = None, said: str = ""
    ) -> None:
        self._seconds, self._check = seconds, check
        self._said = said or (
            f"Another process is refreshing {name} and did not finish within {seconds:g} s "
            "(INGEST_LOCK_TIMEOUT_S). Nothing was changed; try again when it is done."
        )
        self._ends = time.monotonic() + seconds

    def require_time_left(self) -> None:
        """Raises UnavailableError when the time is up, and what the check raises."""
        if self._check is not None:
            self._check()
        if time.monotonic() >= self._ends:
            raise UnavailableError(self._said)
