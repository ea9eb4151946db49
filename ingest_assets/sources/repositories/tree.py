"""The files of a commit, in the order of its trees, each either to be read or skipped for a reason.

Of a file, only the size is read. Anything but an ordinary file with an ordinary name is skipped here too. A
folder that is ignored is skipped as a whole and never read: it may be huge, or missing.

What belongs here: walking, names, limits. What does not: what a file holds (content) and its language.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ingest_assets.model import ContentError, SourceUnavailableError, UnavailableError
from ingest_assets.sources.repositories.attributes import (
    ATTRIBUTES_FILE,
    MAX_ATTRIBUTES_BYTES,
    NOTHING_SAID,
    FileAttributes,
    GitAttributes,
)
from ingest_assets.sources.repositories.ignore import IGNORE_FILE, MAX_IGNORE_BYTES, IgnoreRules
from ingest_assets.sources.repositories.language_table import NO_TABLE, LanguageTable
from ingest_assets.sources.repositories.languages import is_binary_name
from ingest_assets.sources.repositories.objects import MAX_TREE, Objects, tree_entries
from ingest_assets.sources.repositories.packformat import ADVICE

SkipReason = Literal["binary", "too_large", "unsupported_language", "ignore_pattern", "parse_error"]

_A_LINK: tuple[SkipReason, str] = ("unsupported_language", "a symbolic link")
_FOLDER, _SUBMODULE, _LINK, _FILE, _KIND = 0o040000, 0o160000, 0o120000, 0o100000, 0o170000
_MAX_NAME = 255  # bytes: longer ones cannot be written to a disk
_MAX_PATH = 4_096  # bytes
FILES = 200_000  # entries of all kinds that are read, by default
MAX_PATHS = 32 << 20  # bytes of the paths of so many: what is skipped is listed with its path
MORE_FILES = "INGEST_REPOSITORY_MAX_FILES allows more, `.ingestignore` leaves folders out"
_SHOWN = 300  # characters of an invalid name
# Control characters, line separators, and what makes a name look like another one.
_DISTURBING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """Limits of what is read of one commit."""

    file_bytes: int = 1 << 20  # a larger file is skipped
    total_bytes: int = 100 << 20  # of the files that are read; more is an error
    files: int = FILES  # entries of all kinds; more is an error
    depth: int = 64  # folders within folders; more is an error
    seconds: float = 600.0  # from the first entry to the last

    @property
    def path_bytes(self) -> int:
        """Of all paths; more is an error."""
        return MAX_PATHS * max(1, self.files // FILES)


class Entry(NamedTuple):
    """A file that may be read."""

    path: str
    oid: str
    mode: int
    size: int  # bytes
    kept: bool  # a pattern includes it: it is not skipped for its content
    attributes: FileAttributes = NOTHING_SAID  # what `.gitattributes` says of it


class Skip(NamedTuple):
    """A file that is skipped."""

    path: str  # what is not UTF-8 in it, or would disturb a terminal, is escaped
    reason: SkipReason
    size: int | None  # bytes; None where there is nothing to measure
    detail: str = ""


def ignore_rules(objects: Objects, tree: str, patterns: tuple[str, ...]) -> IgnoreRules:
    """The rules of a commit: the defaults, its own `.ingestignore`, and the caller's patterns.

    Raises ConfigurationError when `.ingestignore` is too large: without it, what it hides would be read.
    """
    for name, mode, oid in tree_entries(objects.listing(tree)):
        if name == IGNORE_FILE.encode() and mode & _KIND == _FILE:
            if (size := objects.size(oid)) > MAX_IGNORE_BYTES:
                raise ContentError(
                    f"The repository's {IGNORE_FILE} has {size:,} bytes; {MAX_IGNORE_BYTES:,} are allowed."
                )
            return IgnoreRules(patterns, objects.read(oid)[1])
    return IgnoreRules(patterns)


def walk(
    objects: Objects, tree: str, rules: IgnoreRules, limits: TreeLimits, table: LanguageTable = NO_TABLE
) -> Iterator[Entry | Skip]:
    """Every file of a tree once, depth first: memory holds the folders along one path.

    Raises ConfigurationError when there are more files or folders than the limits allow, UnavailableError
    when the time is up, SourceUnavailableError when an object is missing or damaged.
    """
    walker = _Walk(objects, rules, limits, table)
    yield from walker.run(tree)


class _Walk:
    def __init__(
        self, objects: Objects, rules: IgnoreRules, limits: TreeLimits, table: LanguageTable
    ) -> None:
        self._objects = objects
        self._rules = rules
        self._limits = limits
        self._table = table
        self._ends = time.monotonic() + limits.seconds
        self._seen = 0
        self._bytes = 0
        self._paths = 0  # bytes of the paths that were seen
        self._listed = 0  # bytes of the lists of the folders on the way

    def run(self, tree: str) -> Iterator[Entry | Skip]:
        way = [self._open("", tree, GitAttributes())]
        while way:
            level = way[-1]
            entry = next(level.entries, None)
            if entry is None:
                self._listed -= level.size
                way.pop()
                continue
            raw, mode, oid = entry
            folder = level.folder
            self._count(len(folder) + len(raw))
            name = valid_name(raw, len(folder.encode()))
            if name is None or raw in level.names:
                yield Skip(folder + escaped_name(raw), "parse_error", None, "not a valid name, or used twice")
                continue
            level.names.add(raw)
            if mode & _KIND != _FOLDER:
                yield self._file(level, name, mode, oid)
            elif self._rules.ignores_folder(f"{folder}{name}/"):
                yield Skip(f"{folder}{name}/", "ignore_pattern", None, "a folder that matches a pattern")
            elif len(way) >= self._limits.depth:
                raise ContentError(
                    f"The repository nests folders more than {self._limits.depth} deep: refused."
                )
            else:
                way.append(self._open(f"{folder}{name}/", oid, level.attributes))

    def _open(self, folder: str, tree: str, above: GitAttributes) -> _Level:
        """A folder, of whose list only the bytes are held: its entries are read one at a time."""
        listing = self._objects.listing(tree)
        self._listed += len(listing)
        if self._listed > MAX_TREE:
            raise ContentError(
                f"The lists of the repository's nested folders have over {MAX_TREE:,} bytes: refused."
            )
        attributes = above.below(folder, self._attributes_file(listing))
        return _Level(folder, tree_entries(listing), len(listing), attributes)

    def _attributes_file(self, listing: bytes) -> bytes | None:
        """Of a folder; None where there is none, or it is a link, or too large, as `git` skips it then."""
        if ATTRIBUTES_FILE.encode() not in listing:
            return None
        for name, mode, oid in tree_entries(listing):
            if name == ATTRIBUTES_FILE.encode() and mode & _KIND == _FILE:
                too_large = self._objects.size(oid) > MAX_ATTRIBUTES_BYTES
                return None if too_large else self._objects.read(oid)[1]
        return None

    def _file(self, level: _Level, name: str, mode: int, oid: str) -> Entry | Skip:
        folder = level.folder
        path = folder + name
        if mode & _KIND == _SUBMODULE:
            return Skip(path, "unsupported_language", None, "a submodule, another repository")
        if mode & _KIND not in (_FILE, _LINK):
            return Skip(path, "unsupported_language", None, f"neither file nor folder (mode {mode:o})")
        verdict = self._rules.verdict(folder, name)
        attributes = level.attributes.of(path)
        link = mode & _KIND == _LINK
        if why := _A_LINK if link else unread(path, verdict, attributes, self._table):
            reason, detail = why
            return Skip(path, reason, self._size_if_there(oid), detail)
        size = self._objects.size(oid)
        if size > self._limits.file_bytes:
            size = self._objects.measure(oid)  # a damaged size must not have a file leave the index
            return Skip(path, "too_large", size, f"more than {self._limits.file_bytes:,} bytes")
        self._bytes += size
        if self._bytes > self._limits.total_bytes:
            raise ContentError(
                f"The repository's files have over {self._limits.total_bytes:,} bytes, the limit for one: "
                f"{ADVICE}"
            )
        return Entry(path, oid, mode, size, verdict is False, attributes)

    def _size_if_there(self, oid: str) -> int | None:
        """Of a file that is skipped for its name: it may be missing, as in a partial clone, or damaged."""
        try:
            return self._objects.size(oid)
        except SourceUnavailableError:
            return None

    def _count(self, path: int) -> None:
        self._seen += 1
        self._paths += path
        if self._paths > self._limits.path_bytes:
            raise ContentError(
                f"The paths of the repository's files have over {self._limits.path_bytes:,} bytes: refused."
            )
        if self._seen > self._limits.files:
            raise ContentError(
                f"The repository has more than {self._limits.files:,} files and folders: refused. "
                f"{MORE_FILES}."
            )
        if time.monotonic() > self._ends:
            raise UnavailableError(f"Reading the repository took longer than {self._limits.seconds:g} s.")


def unread(
    path: str,
    ignored: bool | None,  # noqa: FBT001 - the verdict of the ignore rules
    attributes: FileAttributes = NOTHING_SAID,
    table: LanguageTable = NO_TABLE,
) -> tuple[SkipReason, str] | None:
    """Why a file is skipped, whatever it holds. A pattern that includes it again outweighs attributes."""
    if ignored:
        return "ignore_pattern", "matches an ignore pattern"
    if ignored is None and (attributes.generated or attributes.vendored):
        what = "generated" if attributes.generated else "vendored"
        return "ignore_pattern", f"{what}, as {ATTRIBUTES_FILE} says"
    if attributes.binary:
        return "binary", f"as {ATTRIBUTES_FILE} says"
    by_name = is_binary_name(path) and attributes.language is None and table.named(path) is None
    return ("binary", "by its name") if by_name else None


@dataclass(slots=True)
class _Level:
    """A folder on the way to the files that are being read."""

    folder: str  # "" or ends with "/"
    entries: Iterator[tuple[bytes, int, str]]
    size: int  # bytes of its list
    attributes: GitAttributes
    names: set[bytes] = field(default_factory=set)  # those of its entries that have been read


def valid_name(raw: bytes, above: int) -> str | None:
    """The name of a file or folder; None when it cannot be shown, or stored on a disk."""
    if not raw or raw in (b".", b"..") or b"/" in raw or len(raw) > _MAX_NAME or above + len(raw) > _MAX_PATH:
        return None
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _DISTURBING.search(name) else name


def escaped_name(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() and c != "/" else ascii(c)[1:-1] for c in text[:_SHOWN])
    return shown or "(no name)"
