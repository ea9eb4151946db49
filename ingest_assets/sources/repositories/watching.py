"""A folder that is watched: which changes in it can change a document, and whether anything is different.

What belongs here: judging changed paths by what git and the ignore patterns leave out. What does not: waiting
for changes (the command `ingest watch`), and reading the folder (working_tree).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.model import IngestError, digest_of
from ingest_assets.sources.repositories.disk import Stamp, Tracked, git_ignore_file
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.gitignores import IGNORE_FILE as GIT_IGNORE_FILE
from ingest_assets.sources.repositories.gitignores import GitIgnores
from ingest_assets.sources.repositories.ignore import IGNORE_FILE, IgnoreRules
from ingest_assets.sources.repositories.working_tree import (
    Folder,
    Reader,
    excludes_of,
    rules_of,
    tracked_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_assets.sources.repositories.source import ConfinedRepository

_GIT = ".git"
_EXCLUDE = (_GIT, "info", "exclude")
# What editors write beside a file that is open, before it is saved: never a document. A run for it would keep
# the save waiting.
_OF_EDITORS = re.compile(r"\..*\.sw[a-z]|4913|\.#.*")
# So many changes at once are not looked at one by one: the folder is read.
MANY = 1_000


@dataclass(slots=True)
class Watched:
    """A folder that is kept in step while it is watched (`WatchedFolder`)."""

    part: str
    folder: Folder
    patterns: Sequence[str]
    source: Callable[[], ConfinedRepository]
    file_bytes: int
    _tracked: Tracked | None = None
    _index: Stamp | None = None  # what git's index was when it was read

    @property
    def path(self) -> Path:
        return self.folder.path

    def state(self) -> str:
        """See `WatchedFolder`: ids and digests of all files."""
        with self.source().read() as items:
            return digest_of(*(part for item in items for part in (item.id, item.digest)))

    def concerns(self, changed: Collection[Path]) -> bool:
        """See `WatchedFolder`. When in doubt it does: reading an unchanged folder takes a second."""
        if len(changed) > MANY:
            return True
        try:
            look = _Look.at(self.folder, self.patterns, self.file_bytes)
            return any(self._concerns(look, path) for path in changed)
        except (IngestError, OSError):
            return True

    def _concerns(self, look: _Look, path: Path) -> bool:
        if not path.is_relative_to(self.path) or path == self.path:
            return True
        parts, is_folder = path.relative_to(self.path).parts, _is_folder(path)
        if self._is_not_read(path, is_folder=is_folder):
            return False
        if _GIT in parts[:-1]:
            return parts == _EXCLUDE
        if parts[-1] in (_GIT, GIT_IGNORE_FILE, IGNORE_FILE):
            return not look.leaves_out(parts[:-1], is_folder=True)
        if look.leaves_out(parts, is_folder=is_folder):
            return False
        return not look.git_ignores(parts, is_folder=is_folder) or self._is_tracked("/".join(parts))

    def _is_not_read(self, path: Path, *, is_folder: bool) -> bool:
        """Whatever the patterns are."""
        if any(path.is_relative_to(own) for own in self.folder.own):
            return True
        return not is_folder and _OF_EDITORS.fullmatch(path.name) is not None

    def _is_tracked(self, path: str) -> bool:
        """Of what git ignores."""
        known, raw = self._known(), os.fsencode(path)
        return raw in known.paths or raw + b"/" in known.folders

    def _known(self) -> Tracked:
        git = self.folder.git()
        index = git.head / "index" if git else None
        stamp = None
        if index is not None:
            with suppress(FileNotFoundError):
                stamp = Stamp.of(index.stat())
        if self._tracked is None or stamp != self._index:
            self._tracked = Tracked.of(tracked_in(index) if index is not None else ())
            self._index = stamp
        return self._tracked


@dataclass(slots=True)
class _Look:
    """The patterns as they are now."""

    root: Path
    files: Inside
    rules: IgnoreRules
    ignores: dict[str, GitIgnores]  # by folder

    @classmethod
    def at(cls, folder: Folder, patterns: Sequence[str], file_bytes: int) -> _Look:
        files = Inside((folder.path,))
        rules = rules_of(Reader(folder.path, files, file_bytes), tuple(patterns))
        top = GitIgnores(tuple(excludes_of(folder.git()))).below("", git_ignore_file(files, folder.path))
        return cls(folder.path, files, rules, {"": top})

    def leaves_out(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Whether our patterns leave out a path."""
        if not parts:
            return False
        path = "/".join(parts)
        if is_folder:
            return self.rules.ignores_folder(f"{path}/")
        return self.rules.verdict(path[: path.rfind("/") + 1], parts[-1]) is True

    def git_ignores(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Whether git ignores a path, or a folder above it."""
        above = ""
        for depth, name in enumerate(parts, 1):
            folder = is_folder or depth < len(parts)
            if self._in(above).ignores(above + name, is_folder=folder):
                return True
            above += f"{name}/"
        return False

    def _in(self, folder: str) -> GitIgnores:
        """The lists that hold in a folder, one of those above being known."""
        known = self.ignores.get(folder)
        if known is None:
            bare = folder[:-1]
            content = git_ignore_file(self.files, self.root / folder)
            known = self._in(bare[: bare.rfind("/") + 1]).below(folder, content)
            self.ignores[folder] = known
        return known


def _is_folder(path: Path) -> bool:
    """False for what is gone: then it may have been either."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
