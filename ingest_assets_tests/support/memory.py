"""Where tests write: in memory where there is room, because each commit waits for the disk several times."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOM = 4 << 30  # a run takes a quarter of it at most


def memory() -> Path | None:
    """A folder that is in memory. None if there is none, or little room in it."""
    shm = Path("/dev/shm")
    roomy = shm.is_dir() and shutil.disk_usage(shm).free > ROOM
    return shm if roomy else None
