"""The files of a folder as they are on disk, each either to be read or skipped for a reason.

Nothing but names and what `lstat` says is looked at. Links are never followed, other repositories and what
git ignores are left out; a folder that cannot be listed is told apart from an empty one.

What belongs here: walking a folder, and its limits. What does not: what a file holds (working_tree), and
walking a commit (tree).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ingest_assets.model import ContentError, SourceUnavailableError, UnavailableError
from ingest_assets.sources.addresses import NotAllowedError
from ingest_assets.sources.repositories.attributes import (
    ATTRIBUTES_FILE,
    MAX_ATTRIBUTES_BYTES,
    NOTHING_SAID,
    FileAttributes,
    GitAttributes,
)
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.gitignores import IGNORE_FILE as GIT_IGNORE_FILE
from ingest_assets.sources.repositories.gitignores import MAX_BYTES, GitIgnores
from ingest_assets.sources.repositories.ignore import IgnoreRules
from ingest_assets.sources.repositories.language_table import NO_TABLE, LanguageTable
from ingest_assets.sources.repositories.packformat import ADVICE
from ingest_assets.sources.repositories.tree import (
    MORE_FILES,
    Skip,
    SkipReason,
    TreeLimits,
    escaped_name,
    unread,
    valid_name,
)

_GIT = ".git"
_LEAVES = "a symbolic link that leaves the folder"
_LOOKED_EVERY = 1_000  # entries
_GONE = (errno.ENOENT, errno.ENOTDIR)


class Stamp(NamedTuple):
    """What tells a file from a changed one without reading it, as a hint."""

    size: int
    modified_ns: int
    changed_ns: int  # of the inode: not set by programs, as the other time can be
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class DiskFile(NamedTuple):
    """A file that may be read."""

    path: str  # from the folder's root
    mode: int  # as git records it
    stamp: Stamp
    kept: bool  # a pattern includes it: it is not skipped for its content
    attributes: FileAttributes = NOTHING_SAID  # what `.gitattributes` says of it


class Unlisted(NamedTuple):
    """A folder that is there and cannot be listed, or holds too much: what is in it is not known."""

    folder: str  # ends with "/"
    detail: str


@dataclass(frozen=True, slots=True)
class Tracked:
    """What git tracks, which is read even where it is ignored."""

    paths: Collection[bytes] = frozenset()
    folders: Collection[bytes] = frozenset()  # those that hold such a path, each with "/" at its end

    @classmethod
    def of(cls, paths: Sequence[bytes]) -> Tracked:
        folders: set[bytes] = set()
        for path in paths:
            above = path.rfind(b"/") + 1
            while above and (folder := path[:above]) not in folders:
                folders.add(folder)
                above = path.rfind(b"/", 0, above - 1) + 1
        return cls(frozenset(paths), folders)


@dataclass(slots=True)
class _Level:
    """A folder on the way to the files that are being read."""

    folder: str  # "" or ends with "/"
    entries: Iterator[tuple[str, os.stat_result]]
    ignores: GitIgnores
    attributes: GitAttributes
    ignored: bool  # only what git tracks is read here


class _CrowdedError(ContentError):
    """A folder alone has more entries than all may have."""


@dataclass(slots=True)
class Walk:
    """One walk through a folder. Memory holds the names of the folders along one path."""

    root: Path
    files: Inside
    rules: IgnoreRules
    limits: TreeLimits
    tracked: Callable[[], Tracked] = Tracked  # asked once, if git ignores anything
    excludes: Sequence[bytes] = ()  # further contents of ignore files, the strongest first
    own: Sequence[Path] = ()  # folders of this program, which are left out
    table: LanguageTable = NO_TABLE
    _tracked: Tracked | None = None
    _looked: int = 0  # entries, of all folders
    _seen: int = 0  # those of folders that are read
    _largest: tuple[int, str] = (0, "")  # of these: how many it has itself, and its path
    _paths: int = 0  # bytes
    _bytes: int = 0
    _ends: float = 0.0

    def run(self) -> Iterator[DiskFile | Skip | Unlisted]:
        """Every file once, depth first, in the order of the names.

        A folder below that is nested too deep, or alone has more entries than all may have, is left out, and
        the others are read.
        Raises ContentError when there is more than the limits allow, UnavailableError when the time is up,
        SourceUnavailableError when the folder itself cannot be read, or is not the same at the end.
        """
        self._ends = time.monotonic() + self.limits.seconds
        before = self._identity()
        top = self._open("", GitIgnores(self.excludes), GitAttributes(), ignored=False)
        if not isinstance(top, _Level):  # never an empty folder
            why = top.detail if top is not None else "is gone"
            raise SourceUnavailableError(f"The folder {self.root.name} {why}.")
        way = [top]
        while way:
            entry = next(way[-1].entries, None)
            if entry is None:
                way.pop()
                continue
            found = self._entry(way, *entry)
            if isinstance(found, _Level):
                way.append(found)
            elif found is not None:
                yield found
        if self._identity() != before:
            raise SourceUnavailableError(f"The folder {self.root.name} was replaced while it was read.")

    def _identity(self) -> tuple[int, int]:
        try:
            found = os.lstat(self.root)
        except OSError as error:
            raise SourceUnavailableError(f"The folder {self.root.name} is gone: {error.strerror}.") from None
        return found.st_dev, found.st_ino

    def _entry(
        self, way: list[_Level], name: str, found: os.stat_result
    ) -> DiskFile | Skip | Unlisted | _Level | None:
        """What to do with an entry; None for what is not told of."""
        level = way[-1]
        raw, path = os.fsencode(name), level.folder + name
        if name == _GIT:
            return None
        if valid_name(raw, len(level.folder.encode())) is None:
            return Skip(level.folder + escaped_name(raw), "parse_error", None, "not a valid name")
        if stat.S_ISDIR(found.st_mode):
            return self._folder(way, f"{path}/")
        if stat.S_ISLNK(found.st_mode):
            return Skip(path, "unsupported_language", None, self._link(path))
        if not stat.S_ISREG(found.st_mode):
            return Skip(path, "unsupported_language", None, "neither file nor folder")
        return self._file(level, name, found)

    def _folder(self, way: list[_Level], folder: str) -> Skip | Unlisted | _Level | None:
        level, bare = way[-1], folder[:-1]
        if any(self.root / bare == own for own in self.own):
            return Skip(folder, "ignore_pattern", None, "what this program keeps")
        if self.rules.ignores_folder(folder):
            return Skip(folder, "ignore_pattern", None, "a folder that matches a pattern")
        ignored = level.ignored or level.ignores.ignores(bare, is_folder=True)
        if ignored and folder.encode() not in self._known().folders:
            return Skip(folder, "ignore_pattern", None, "a folder that git ignores")
        if len(way) >= self.limits.depth:
            return Unlisted(folder, f"is nested more than {self.limits.depth} deep")
        try:
            return self._open(folder, level.ignores, level.attributes, ignored=ignored)
        except _CrowdedError:
            return Unlisted(folder, f"has more than {self.limits.files:,} files and folders: {MORE_FILES}")

    def _open(
        self, folder: str, ignores: GitIgnores, attributes: GitAttributes, *, ignored: bool
    ) -> _Level | Skip | Unlisted | None:
        try:
            entries = self._listed(folder)
            names = {name for name, _ in entries}
            if folder and _GIT in names:
                return Skip(folder, "unsupported_language", None, "another repository")
            own = git_ignore_file(self.files, self.root / folder) if GIT_IGNORE_FILE in names else None
            said = _attributes_file(self.files, self.root / folder) if ATTRIBUTES_FILE in names else None
        except NotAllowedError:  # it became a link that leads out of the allowed folders
            if not folder:
                return Unlisted(folder, "was replaced by a link")
            return Skip(folder, "unsupported_language", None, _LEAVES)
        except OSError as error:
            if error.errno in _GONE and folder:
                return None
            return Unlisted(folder, f"cannot be read: {error.strerror}")
        return _Level(
            folder, iter(entries), ignores.below(folder, own), attributes.below(folder, said), ignored
        )

    def _listed(self, folder: str) -> list[tuple[str, os.stat_result]]:
        entries: list[tuple[str, os.stat_result]] = []
        with self.files.scan(self.root / folder) as scanned:
            found: list[os.DirEntry[str]] = []
            for entry in scanned:
                self._require_time()
                if len(found) == self.limits.files:
                    raise _CrowdedError(self._too_many())
                found.append(entry)
            self._count(folder, found)
            for entry in found:
                try:
                    entries.append((entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:  # gone since it was listed
                    continue
        return sorted(entries, key=_name_of)

    def _link(self, path: str) -> str:
        """What is said of a link, which is never followed: what it leads to here is read by its own name."""
        target = Path(os.path.realpath(self.root / path))
        return "a symbolic link" if target.is_relative_to(self.root) else _LEAVES

    def _file(self, level: _Level, name: str, found: os.stat_result) -> DiskFile | Skip:
        path, size = level.folder + name, found.st_size
        verdict = self.rules.verdict(level.folder, name)
        attributes = level.attributes.of(path)
        if why := unread(path, verdict, attributes, self.table):
            return Skip(path, *_reason(why, size))
        ignored = level.ignored or level.ignores.ignores(path, is_folder=False)
        if ignored and path.encode() not in self._known().paths:
            return Skip(path, "ignore_pattern", size, "git ignores it")
        if size > self.limits.file_bytes:
            return Skip(path, "too_large", size, f"more than {self.limits.file_bytes:,} bytes")
        self._bytes += size
        if self._bytes > self.limits.total_bytes:
            raise ContentError(
                f"The folder's files have over {self.limits.total_bytes:,} bytes, the limit for one: {ADVICE}"
            )
        mode = 0o100755 if found.st_mode & stat.S_IXUSR else 0o100644
        return DiskFile(path, mode, Stamp.of(found), verdict is False, attributes)

    def _known(self) -> Tracked:
        if self._tracked is None:
            self._tracked = self.tracked()
        return self._tracked

    def _count(self, folder: str, found: Sequence[os.DirEntry[str]]) -> None:
        self._seen += len(found)
        self._largest = max(self._largest, (len(found), folder))
        self._paths += sum(len(folder) + len(entry.name) for entry in found)
        if self._paths > self.limits.path_bytes:
            raise ContentError(
                f"The paths of the folder's files have over {self.limits.path_bytes:,} bytes: refused."
            )
        if self._seen > self.limits.files:
            count, largest = self._largest
            raise ContentError(self._too_many(f" ({largest} alone has {count:,})" if largest else ""))

    def _too_many(self, largest: str = "") -> str:
        return (
            f"The folder {self.root.name} has more than {self.limits.files:,} files and folders{largest}: "
            f"refused. {MORE_FILES}."
        )

    def _require_time(self) -> None:
        self._looked += 1
        if self._looked % _LOOKED_EVERY == 0 and time.monotonic() > self._ends:
            raise UnavailableError(f"Reading the folder took longer than {self.limits.seconds:g} s.")


def git_ignore_file(files: Inside, folder: Path) -> bytes | None:
    """The `.gitignore` of a folder; None where there is none, or a link, which git does not follow either."""
    return _small_file(files, folder / GIT_IGNORE_FILE, MAX_BYTES)


def _attributes_file(files: Inside, folder: Path) -> bytes | None:
    """The `.gitattributes` of a folder; None as above, or if it is too large to be applied."""
    content = _small_file(files, folder / ATTRIBUTES_FILE, MAX_ATTRIBUTES_BYTES + 1)
    return None if content is None or len(content) > MAX_ATTRIBUTES_BYTES else content


def _small_file(files: Inside, path: Path, most: int) -> bytes | None:
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with files.open(path) as file:
            return file.read(most)
    except FileNotFoundError:
        return None


def _name_of(entry: tuple[str, os.stat_result]) -> bytes:
    return os.fsencode(entry[0])


def _reason(why: tuple[SkipReason, str], size: int) -> tuple[SkipReason, int, str]:
    return why[0], size, why[1]
