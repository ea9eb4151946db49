"""A read-only connection to one consistent state of an SQLite file, without disturbing those who write to it.

Three ways, depending on the state of the file:

- WAL, in use (-wal and -shm are there): read in place, in one read transaction. Writers are never blocked.
- Rollback journal: a reader would hold up commits for as long as it reads, so the file is copied first, with
  SQLite's backup in short steps that let commits through, and the copy is read.
- Otherwise (WAL and not in use; a file or folder that we may not write to; a crashed writer's journal): the
  files are copied as they are, and the copy is used if nothing was committed meanwhile. If it was opened in
  place, SQLite would create -wal and -shm, under our user, beside a CRM that may then be unable to open them.

What belongs here: opening, and the sentences that say why a file cannot be opened.
"""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

from ingest_assets.model import SourceUnavailableError
from ingest_assets.sources.crm.determinism import REFUSED
from ingest_assets.sources.crm.signature import beside, copy_file, file_signature, read_start, size_of

_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes at the start of the file that describe it
_READ_VERSION = 19  # a byte of the header: 1 rollback journal, 2 WAL
_WAL = 2
_STEP_PAGES = 256  # 1 MiB at 4 KiB a page, about 1 ms: how long one step of a copy holds up a commit
_MAX_RESTARTS = 5  # SQLite restarts a copy after each commit; after this many, all goes in one step
# The end of a journal that belongs to a transaction over several files: the number of a page that is never
# written (4 bytes), the name of the super-journal, the name's length, a checksum, and these eight bytes. See
# "Super-Journal" in SQLite's file format.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_SUPER = struct.Struct("!II8s")
_PAGE_NUMBER = 4
_READING = {
    sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_TRANSACTION,
}  # fmt: skip
_PRAGMAS = {
    "cache_size", "data_version", "foreign_key_list", "index_info", "index_list", "table_info", "table_xinfo",
}  # fmt: skip
_ATTEMPTS, _PAUSE_S = 3, 0.05  # at least this many; more until the busy timeout is over


@contextmanager
def open_snapshot(path: Path, busy_timeout_s: float) -> Iterator[sqlite3.Connection]:
    """A connection inside one read transaction, to be used by one thread at a time, not always the same.

    Text comes as bytearray, undecoded. Raises SourceUnavailableError, with what to do, when the file is
    missing, empty, not an SQLite database, damaged, unreadable for us, or locked beyond the timeout.
    """
    with ExitStack() as stack:
        try:
            connection = _open(Path(os.path.realpath(path)), busy_timeout_s, stack)
        except sqlite3.Error as error:
            raise unavailable(path, error) from error
        except OSError as error:
            raise SourceUnavailableError(f"CRM_DB_PATH: {path} cannot be read: {_why(error)}") from error
        yield connection


def unavailable(path: Path, error: sqlite3.Error) -> SourceUnavailableError:
    """What an SQLite error means for the person who has to act on it."""
    advice = {
        sqlite3.SQLITE_BUSY: "another process keeps it locked. Try again; if it stays so, find out by what",
        sqlite3.SQLITE_CORRUPT: "the database is damaged or cut short. Restore it, or repair it with "
        "the sqlite3 tool's .recover",
        sqlite3.SQLITE_NOTADB: "it is not an SQLite database, or an encrypted one. Check the path",
        sqlite3.SQLITE_CANTOPEN: "SQLite cannot open it. Check that this user may read it",
        sqlite3.SQLITE_FULL: f"there is no room for a copy of it in {tempfile.gettempdir()}. "
        "Make room there, or set INGEST_HOME to another folder",
        sqlite3.SQLITE_IOERR: "the disk or the network share failed while it was read",
    }.get(error_code(error), "reading it failed")
    return SourceUnavailableError(f"CRM_DB_PATH: {path}: {advice}. (SQLite: {error})")


def error_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; SQLITE_ERROR for errors raised by the Python module itself."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _open(path: Path, busy_timeout_s: float, stack: ExitStack) -> sqlite3.Connection:
    until = time.monotonic() + busy_timeout_s
    for attempt in count(1):
        with ExitStack() as kept:
            connection = _opened(path, busy_timeout_s, kept)
            if connection is not None:
                stack.enter_context(kept.pop_all())
                return connection
        if attempt >= _ATTEMPTS and time.monotonic() >= until:
            break
        # Soon, but at random intervals: a writer with a steady pace would be hit at the same moment again.
        time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - not a secret
    raise SourceUnavailableError(f"CRM_DB_PATH: {path} was changed each time it was copied. Try again.")


def _opened(path: Path, busy_timeout_s: float, stack: ExitStack) -> sqlite3.Connection | None:
    """None when the file was changed in the meantime.

    Its state is checked again each time: a server may begin to use it while it is copied.
    """
    wal = _checked_header(path)[_READ_VERSION] == _WAL
    connection = None
    if not wal or (beside(path, "-wal").exists() and beside(path, "-shm").exists()):
        connection = _through_locks(path, busy_timeout_s, stack)
    return connection or _copied(path, busy_timeout_s, stack)


def _through_locks(path: Path, busy_timeout_s: float, stack: ExitStack) -> sqlite3.Connection | None:
    """Read under SQLite's own locks; None when that requires writing to the file or its folder."""
    live = _connect(path, "ro", busy_timeout_s)
    try:
        live.execute("SELECT 1 FROM sqlite_master").fetchone()
        if live.execute("PRAGMA journal_mode").fetchone() == (b"wal",):
            return _begin(stack.enter_context(closing(live)))
        with closing(live):
            return _backed_up(live, path, busy_timeout_s, stack)
    except sqlite3.Error as error:
        live.close()
        # A journal to roll back, an index to rebuild, a folder that we may not write to.
        if error_code(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            return None
        raise


def _checked_header(path: Path) -> bytes:
    """The header's 100 bytes, after the checks that need no lock."""
    if not path.exists():
        raise SourceUnavailableError(f"CRM_DB_PATH: {path} does not exist. Set it to the CRM's SQLite file.")
    if not path.is_file():
        raise SourceUnavailableError(f"CRM_DB_PATH: {path} is not a file. Set it to the CRM's SQLite file.")
    if size_of(path) == 0:
        raise SourceUnavailableError(f"CRM_DB_PATH: {path} is empty (0 bytes), not a CRM. Check the path.")
    header = read_start(path, _HEADER)
    if not header.startswith(_MAGIC):
        raise SourceUnavailableError(
            f"CRM_DB_PATH: {path} is not an SQLite database, or an encrypted one. Check the path."
        )
    if len(header) < _HEADER:
        raise SourceUnavailableError(f"CRM_DB_PATH: {path} is cut short at {len(header)} bytes. Restore it.")
    return header


def _connect(path: Path, mode: str, busy_timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = bytearray
    return connection


def _begin(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Pin the state that is read: a transaction sees the state at its first read."""
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA trusted_schema=OFF")  # the file's views and defaults call no unsafe function
    connection.set_authorizer(_authorise)
    connection.execute("PRAGMA cache_size=-32768")  # 32 MiB, for the look-ups of joined rows
    connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    return connection


def _authorise(action: int, first: str | None, second: str | None, _db: str | None, _in: str | None) -> int:
    """What a mapping's SQL, and that of the file's own views, may do: read, and depend on what it reads."""
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in REFUSED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if first in _PRAGMAS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_UPDATE:  # asked when a pragma is used as a table; nothing is written
        return sqlite3.SQLITE_OK if first == "sqlite_master" else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _private_copy(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-snapshot-"))) / "snapshot.sqlite"


def _backed_up(
    live: sqlite3.Connection, path: Path, busy_timeout_s: float, stack: ExitStack
) -> sqlite3.Connection:
    for pages in (_STEP_PAGES, -1):  # finally in one step, which holds up commits for as long as it takes
        copy = stack.enter_context(closing(_connect(_private_copy(stack), "rwc", busy_timeout_s)))
        copy.execute("PRAGMA journal_mode=OFF")
        copy.execute("PRAGMA synchronous=OFF")  # a crash takes the copy with it anyway
        try:
            live.backup(copy, pages=pages, progress=_watch(path, busy_timeout_s), sleep=0.05)
        except _RestartedTooOftenError:
            continue  # with a new file: what was copied so far is not a database
        return _begin(copy)
    raise SourceUnavailableError(f"CRM_DB_PATH: {path} was changed each time it was copied. Try again.")


class _RestartedTooOftenError(Exception):
    """Commits come faster than the file can be copied in steps."""


def _watch(path: Path, busy_timeout_s: float) -> Callable[[int, int, int], None]:
    """A callback for the backup after each step; without it, that would wait for a lock forever."""
    restarts = 0
    least_left: int | None = None
    busy_since: float | None = None

    def after_step(status: int, left: int, _total: int) -> None:
        nonlocal restarts, least_left, busy_since
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            busy_since = busy_since or time.monotonic()
            if time.monotonic() - busy_since >= busy_timeout_s:
                raise SourceUnavailableError(
                    f"CRM_DB_PATH: {path}: another process keeps it locked. "
                    "Try again; if it stays so, find out by what."
                )
            return
        busy_since = None
        if least_left is not None and left > least_left:
            restarts += 1
            if restarts > _MAX_RESTARTS:
                raise _RestartedTooOftenError
        least_left = left

    return after_step


def _copied(path: Path, busy_timeout_s: float, stack: ExitStack) -> sqlite3.Connection | None:
    """Read a copy of the files as they are; None when they were changed in the meantime."""
    target = _private_copy(stack)
    before = file_signature(path)
    copy_file(path, target)
    if size_of(beside(path, "-wal")):
        copy_file(beside(path, "-wal"), beside(target, "-wal"))
    if size_of(beside(path, "-journal")):
        copy_journal(beside(path, "-journal"), beside(target, "-journal"))
    if before is None or file_signature(path) != before:
        return None
    return _begin(stack.enter_context(closing(_connect(target, "rw", busy_timeout_s))))


def copy_journal(journal: Path, target: Path) -> None:
    """Copy a rollback journal, without the name of a super-journal, which SQLite would delete in the end.

    A transaction over several files has a super-journal: as long as that is there, it did not commit. Raises
    OSError.
    """
    copy_file(journal, target)
    with target.open("r+b") as copy:
        size = copy.seek(0, os.SEEK_END)
        copy.seek(max(0, size - _SUPER.size))
        tail = copy.read(_SUPER.size)
        if len(tail) < _SUPER.size:
            return
        length, _, magic = _SUPER.unpack(tail)
        start = size - _SUPER.size - length - _PAGE_NUMBER
        if magic != _JOURNAL_MAGIC or length == 0 or start < 0:
            return
        copy.seek(start + _PAGE_NUMBER)
        name = copy.read(length)
        copy.truncate(start if _exists(name) else 0)


def _exists(name: bytes) -> bool:
    try:
        return os.path.lexists(name)
    except ValueError:  # a NUL in it: not a name
        return False


def _why(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "this user may not read it, or a folder above it. Change the owner or the mode of the file."
    return f"{error.strerror or error}."
