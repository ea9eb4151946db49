"""RAG_LOG_FILE: what the spool does, one JSON object a line, free of what is in records.

What belongs here: writing lines, and beginning a new file at a size. What does not: failures, whose log is
never rotated away (`failures`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ingest_assets.characters import visible
from ingest_assets.model import when
from ingest_assets.private import make_private_folder
from ingest_assets.redaction import redact
from ingest_assets.sources.spool.notifier.lines import append_line
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from filelock import FileLock

    from ingest_assets.workbench import Workbench

# Facts that may be texts: names that operators and producers chose, and states. Anything else that is a text
# could be of a record or a person, and is not written.
TEXTS = frozenset(
    {"batch_tag", "source", "status", "state", "reason", "cause", "action", "gate", "month", "error_type"}
)
MAX_TEXT = 200  # characters
LOCK_S = 1.0
_MIB = 1 << 20
_log = logging.getLogger(__name__)
Level = Literal["info", "warning", "error"]


def log_event(
    bench: Workbench,
    event: str,
    *,
    level: Level = "info",
    now: Callable[[], float] = time.time,
    **facts: Any,
) -> None:
    """Write a line. A log that cannot be written stops nothing."""
    settings = bench.settings_of(SpoolSettings)
    record = {"ts": when(now()), "level": level, "event": event}
    record |= {name: _fact(name, value) for name, value in facts.items()}
    try:
        write(settings.rag_log_file, record, settings.rag_log_max_mib * _MIB, settings.rag_log_files)
    except OSError as error:
        _log.warning(f"{settings.rag_log_file} cannot be written: {error.strerror or error}")


def _fact(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and name in TEXTS:
        return visible(redact(value))[:MAX_TEXT]
    return "(not logged)"


def write(file: Path, record: dict[str, Any], max_bytes: int, files: int) -> None:
    """Append a record, and begin a new file first if it has grown to `max_bytes`. `files` are kept in all.

    Raises OSError.
    """
    with _alone(file) as alone:
        # Without the lock a line is still whole; only the rotation waits for the next one.
        if alone and file.exists() and file.stat().st_size >= max_bytes:
            _rotate(file, files)
        append_line(file, record, sync=False)


def _rotate(file: Path, files: int) -> None:
    """FILE becomes FILE.1, FILE.1 becomes FILE.2, and the last of them is overwritten."""
    if files == 1:
        file.unlink()
        return
    for number in range(files - 1, 0, -1):
        newer = file if number == 1 else _numbered(file, number - 1)
        if newer.exists():
            newer.replace(_numbered(file, number))


def _numbered(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Whether no other process writes meanwhile; False if one holds the lock for too long."""
    from filelock import Timeout

    if not file.parent.is_dir():
        make_private_folder(file.parent)
    lock = _lock(file.with_name(f"{file.name}.lock"))
    try:
        lock.acquire(timeout=LOCK_S)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@cache  # making one takes longer than writing a line
def _lock(file: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(file, mode=0o600)
