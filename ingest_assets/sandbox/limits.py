"""What a confined process may use, and which files it may open. Plain data, known to both sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one process. To continue after one was hit, raise it and run again."""

    memory_bytes: int = 1024 * MIB  # beyond what it has when its code is loaded
    cpu_s: float = 120.0  # of one answer
    file_bytes: int = 1024 * MIB  # of any one file that it writes
    answer_bytes: int = 64 * MIB  # of one answer
    open_files: int = 256


@dataclass(frozen=True, slots=True)
class Grants:
    """The files and folders that a process may open, besides its code and its temporary folder.

    Those that do not exist when the process starts are left out.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()  # read, changed, and in a folder also created and removed
