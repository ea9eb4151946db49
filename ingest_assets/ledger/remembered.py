"""What was read from an SQLite ledger, kept until something in it changes.

What belongs here: noticing a change. What does not: what is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


class Remembered:
    """Values by key. Safe to share between threads.

    SQLite tells a connection, in a few microseconds, whether another one, of any process, has committed
    anything since it last asked; reading a row of the ledger takes fifty times as long. The connection that
    asks writes nothing, so no change escapes it.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, Lock()
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._values: dict[Hashable, Any] = {}

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """The value; what `read` gives if it is not known, or if something has changed. Raises its errors."""
        with self._lock:
            version = self._now()
            if version != self._version:
                self._version = version
                self._values.clear()
            if version is not None and key in self._values:
                kept: T = self._values[key]
                return kept
        value = read()
        with self._lock:
            # If another thread found a change meanwhile, nobody knows which state this is of. A change that
            # nobody found yet is found by who asks next.
            if version is not None and version == self._version:
                self._values[key] = value
        return value

    def _now(self) -> int | None:
        """A number that is another one after each change; None if the file cannot be asked."""
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            number: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:  # whoever reads it says what is wrong with it
            self._forget()
            return None
        return number

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._version = None
        self._values.clear()

    def close(self) -> None:
        """Close the file. It is opened again when something is asked."""
        with self._lock:
            self._forget()
