"""The folder that people put papers into, from which they are taken.

What belongs here: which files can be taken, and removing those that were. What does not: adding (`papers`).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ingest_assets.model import SourceUnavailableError, UnavailableError

# A file that was written to less than this ago may not be whole yet.
QUIET_S = 2.0


class WaitingFile(NamedTuple):
    """A file of the inbox, as a look at its folder shows it."""

    path: Path
    size: int
    mtime_ns: int


def waiting_in(inbox: Path) -> list[WaitingFile]:
    """The files of the inbox that can be taken in: whole, as far as one can tell, and not hidden.

    Raises SourceUnavailableError when the folder cannot be read.
    """
    now = time.time()
    found: list[WaitingFile] = []
    try:
        with os.scandir(inbox) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    hidden = entry.name.startswith(".") or entry.name.endswith((".part", ".tmp"))
                    # No links: whoever may put files here must not have others read.
                    whole = not hidden and entry.is_file(follow_symlinks=False)
                    if whole and now - (seen := entry.stat(follow_symlinks=False)).st_mtime >= QUIET_S:
                        found.append(WaitingFile(Path(entry.path), seen.st_size, seen.st_mtime_ns))
    except OSError as error:
        raise SourceUnavailableError(
            f"INGEST_PAPERS_INBOX, {inbox}, cannot be read: {error.strerror}. Create the folder, or correct "
            "the setting."
        ) from error
    return sorted(found)


def take_out(file: WaitingFile) -> None:
    """Remove a file from the inbox, unless somebody has put another one there of that name.

    Raises UnavailableError when it cannot be removed.
    """
    try:
        now = file.path.lstat()
        if (now.st_size, now.st_mtime_ns) == (file.size, file.mtime_ns):
            file.path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnavailableError(
            f"{file.path} was added, but cannot be removed from the inbox: {error.strerror}. Give this user "
            "the right to remove files there."
        ) from error
