"""The files of a commit, in the order of its trees, each either to be read or skipped for a reason.

Of a file, only the size is read. Anything but an ordinary file with an ordinary name is skipped here too.

What belongs here: walking, names, limits. What does not: what a file holds (content) and its language.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.repositories.ignore import IGNORE_FILE, MAX_IGNORE_BYTES, IgnoreRules
from ingest_assets.sources.repositories.objects import Objects

SkipReason = Literal["binary", "too_large", "unsupported_language", "ignore_pattern", "parse_error"]

_FOLDER, _SUBMODULE, _LINK, _FILE, _KIND = 0o040000, 0o160000, 0o120000, 0o100000, 0o170000
_MAX_NAME = 255  # bytes: longer ones cannot be written to a disk
_MAX_PATH = 4_096  # bytes
_SHOWN = 300  # characters of an invalid name
_CLOCK_EVERY = 256
# Control characters, line separators, and what makes a name look like another one.
_DISTURBING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """Limits of what is read of one commit."""

    file_bytes: int = 1 << 20  # a larger file is skipped
    total_bytes: int = 100 << 20  # of the files that are read; more is an error
    files: int = 200_000  # entries of all kinds; more is an error
    depth: int = 64  # folders within folders; more is an error
    seconds: float = 600.0  # from the first entry to the last


class Entry(NamedTuple):
    """A file that may be read."""

    path: str
    oid: str
    mode: int
    size: int  # bytes
    kept: bool  # a pattern includes it: it is not skipped for its content


class Skip(NamedTuple):
    """A file that is skipped."""

    path: str  # what is not UTF-8 in it, or would disturb a terminal, is escaped
    reason: SkipReason
    size: int | None  # bytes; None where there is nothing to measure
    detail: str = ""


def ignore_rules(objects: Objects, tree: str, patterns: tuple[str, ...]) -> IgnoreRules:
    """The rules of a commit: the defaults, its own `.ingestignore`, and the caller's patterns."""
    own = b""
    for name, mode, oid in objects.read_tree(tree):
        if name == IGNORE_FILE.encode() and mode & _KIND == _FILE and objects.size(oid) <= MAX_IGNORE_BYTES:
            own = objects.read(oid)[1]
    return IgnoreRules(patterns, own)


def walk(objects: Objects, tree: str, rules: IgnoreRules, limits: TreeLimits) -> Iterator[Entry | Skip]:
    """Every file of a tree once, depth first: memory holds the folders along one path.

    Raises ConfigurationError when there are more files or folders than the limits allow, UnavailableError
    when the time is up, SourceUnavailableError when an object is missing or damaged.
    """
    walker = _Walk(objects, rules, limits)
    yield from walker.run(tree)


class _Walk:
    def __init__(self, objects: Objects, rules: IgnoreRules, limits: TreeLimits) -> None:
        self._objects = objects
        self._rules = rules
        self._limits = limits
        self._ends = time.monotonic() + limits.seconds
        self._seen = 0
        self._bytes = 0

    def run(self, tree: str) -> Iterator[Entry | Skip]:
        waiting = [("", deque(self._entries(tree)))]
        while waiting:
            folder, entries = waiting[-1]
            if not entries:
                waiting.pop()
                continue
            raw, mode, oid, twice = entries.popleft()
            self._count()
            name = _name(raw, len(folder.encode()))
            if name is None or twice:
                yield Skip(folder + _escaped(raw), "parse_error", None, "not a valid name, or used twice")
            elif mode & _KIND == _FOLDER:
                if len(waiting) >= self._limits.depth:
                    raise ConfigurationError(
                        f"The repository nests folders more than {self._limits.depth} deep: refused."
                    )
                waiting.append((f"{folder}{name}/", deque(self._entries(oid))))
            else:
                yield self._file(folder, name, mode, oid)

    def _entries(self, tree: str) -> Iterator[tuple[bytes, int, str, bool]]:
        """A folder's entries; the last value says whether the name occurred before."""
        names: set[bytes] = set()
        for name, mode, oid in self._objects.read_tree(tree):
            yield name, mode, oid, name in names
            names.add(name)

    def _file(self, folder: str, name: str, mode: int, oid: str) -> Entry | Skip:
        path = folder + name
        if mode & _KIND == _SUBMODULE:
            return Skip(path, "unsupported_language", None, "a submodule, another repository")
        if mode & _KIND not in (_FILE, _LINK):
            return Skip(path, "unsupported_language", None, f"neither file nor folder (mode {mode:o})")
        verdict = self._rules.verdict(folder, name)
        size = self._objects.size(oid)
        if mode & _KIND == _LINK:
            return Skip(path, "unsupported_language", size, "a symbolic link")
        if verdict is True:
            return Skip(path, "ignore_pattern", size, "matches an ignore pattern")
        if size > self._limits.file_bytes:
            return Skip(path, "too_large", size, f"more than {self._limits.file_bytes:,} bytes")
        self._bytes += size
        if self._bytes > self._limits.total_bytes:
            raise ConfigurationError(
                f"The repository's files have over {self._limits.total_bytes:,} bytes, the limit for one."
            )
        return Entry(path, oid, mode, size, verdict is False)

    def _count(self) -> None:
        self._seen += 1
        if self._seen > self._limits.files:
            raise ConfigurationError(
                f"The repository has more than {self._limits.files:,} files and folders: refused."
            )
        if self._seen % _CLOCK_EVERY == 0 and time.monotonic() > self._ends:
            raise UnavailableError(f"Reading the repository took longer than {self._limits.seconds:g} s.")


def _name(raw: bytes, above: int) -> str | None:
    """The name of a file or folder; None when it cannot be shown, or stored on a disk."""
    if not raw or raw in (b".", b"..") or b"/" in raw or len(raw) > _MAX_NAME or above + len(raw) > _MAX_PATH:
        return None
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _DISTURBING.search(name) else name


def _escaped(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() and c != "/" else ascii(c)[1:-1] for c in text[:_SHOWN])
