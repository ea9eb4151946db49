"""How often a host may be asked, by all processes of this machine together.

What belongs here: waiting for one's turn. What does not: which hosts have a rate (`fetch`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from ingest_assets.model import UnavailableError
from ingest_assets.private import make_private_folder

_POLL_S = 0.02


def wait_for_turn(folder: Path, host: str, interval_s: float, check: Callable[[], None]) -> None:
    """Return when `interval_s` has passed since anybody's last turn with this host.

    The file `rate-HOST` in `folder` holds the time of the last turn, and is locked by whoever waits for the
    next one; the system releases it when that process dies. `check` is called all the while, and may raise.

    Raises UnavailableError when the file cannot be written.
    """
    from filelock import FileLock, Timeout

    name = f"rate-{re.sub(r'[^a-z0-9.-]', '_', host)}"
    try:
        make_private_folder(folder)
        lock = FileLock(folder / f"{name}.lock", mode=0o600)
        while True:
            check()
            try:
                # Short, because a wait inside the lock could not be ended by `check`.
                lock.acquire(timeout=_POLL_S, poll_interval=_POLL_S)
                break
            except Timeout:
                continue
        with lock:
            _wait(folder / name, interval_s, check)
    except OSError as error:
        raise UnavailableError(
            f"The times of requests cannot be kept in {folder}: {error.strerror}. Check INGEST_HOME."
        ) from error


def _wait(file: Path, interval_s: float, check: Callable[[], None]) -> None:
    left = interval_s - (time.time() - _last(file))
    # A clock that was set back must not stop everything until it has caught up.
    ends = time.monotonic() + min(max(left, 0.0), interval_s)
    while (remaining := ends - time.monotonic()) > 0:
        check()
        time.sleep(min(remaining, _POLL_S))  # the host allows no request before then
    file.write_text(repr(time.time()))


def _last(file: Path) -> float:
    try:
        return float(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0.0
