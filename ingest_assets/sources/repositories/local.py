"""A git repository on this machine, found and checked without a git program or library opening it.

A repository's own files can point elsewhere (a .git file, a linked worktree, borrowed objects, links). Each
such place must be in an allowed folder too. Of its configuration only the formats of objects and refs are
read.

What belongs here: where a repository's parts are. What does not: how its files are opened (files), its
objects and its refs (objects, refs).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ingest_assets.sources.addresses import NotAllowedError
from ingest_assets.sources.repositories.files import Inside

_MAX_POINTER = 4_096  # bytes of a file that holds a path
_MAX_CONFIG = 1 << 20
_MAX_ALTERNATES = 1 << 16
_OTHER_FORMAT = re.compile(
    rb"^\s*(objectformat\s*=\s*(?!sha1\s*$)|refstorage\s*=\s*(?!files\s*$))", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class GitFolder:
    """Where the parts of a repository are, links resolved, and how its files are opened."""

    head: Path  # the folder of HEAD: a linked worktree has one of its own
    common: Path  # the folder of objects and refs
    files: Inside


def real_folder(path: Path, roots: tuple[Path, ...]) -> Path:
    """A folder with links resolved.

    Raises NotAllowedError when it is outside every root, is not there, or is something else.
    """
    files = Inside(roots)
    real = files.resolve(path)
    try:
        if not files.is_folder(real):
            os.lstat(real)  # raises when there is nothing
            raise NotAllowedError("The local repository is not a folder.")
    except OSError as error:
        raise NotAllowedError(f"The local repository cannot be opened: {error.strerror}.") from None
    return real


def is_bare(path: Path, roots: tuple[Path, ...]) -> bool:
    """Whether a folder is a repository without files of its own."""
    files = Inside(roots)
    parts = (path / "objects", path / "refs")
    return (
        not os.path.lexists(path / ".git")
        and files.is_file(path / "HEAD")
        and all(map(files.is_folder, parts))
    )


def git_folder(path: Path, roots: tuple[Path, ...]) -> GitFolder:
    """The repository at `path`: a worktree's folder, or a bare repository. Parent folders are not searched.

    Raises NotAllowedError when there is none, or a part of it lies outside the allowed folders.
    """
    files = Inside(roots)
    path = real_folder(path, roots)
    pointer, head = path / ".git", path
    if os.path.lexists(pointer):
        if files.is_folder(pointer):
            head = files.resolve(pointer)
        else:
            head = real_folder(path / _pointed(files, pointer, b"gitdir: "), roots)
    if not files.is_file(head / "HEAD"):
        raise NotAllowedError(
            "The folder is not a git repository, so it has no commits: leave out the ref, and do not ask "
            "for what is committed alone."
        )
    common = head
    if files.is_file(head / "commondir"):
        common = real_folder(head / _pointed(files, head / "commondir", b""), roots)
    _require_plain(files, common)
    return GitFolder(head, common, files)


def _require_plain(files: Inside, common: Path) -> None:
    """Early and in clear words; what changes later is found by each read of a file."""
    if not files.is_folder(common / "objects") or not files.is_folder(common / "refs"):
        raise NotAllowedError("The folder is not a git repository: it has no objects or no refs.")
    for part in ("objects/pack", "objects/info", "packed-refs"):
        files.resolve(common / part)
    alternates = common / "objects" / "info" / "alternates"
    for line in _start_of(files, alternates, _MAX_ALTERNATES).splitlines():
        if line and not line.startswith(b"#"):
            files.resolve(common / "objects" / os.fsdecode(line))
    if _OTHER_FORMAT.search(_start_of(files, common / "config", _MAX_CONFIG)):
        raise NotAllowedError(
            "The repository keeps its objects as SHA-256 or its refs as reftable: not supported."
        )


def _pointed(files: Inside, file: Path, prefix: bytes) -> str:
    text = _start_of(files, file, _MAX_POINTER)
    target = text.removeprefix(prefix).strip()
    if not text.startswith(prefix) or not target or b"\0" in target:
        raise NotAllowedError(f"The folder is not a git repository: its {file.name} file cannot be read.")
    return os.fsdecode(target)


def _start_of(files: Inside, file: Path, size: int) -> bytes:
    """The beginning of a file; nothing if there is none."""
    try:
        with files.open(file) as opened:
            return opened.read(size)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise NotAllowedError(f"The local repository cannot be read: {error.strerror}.") from None
