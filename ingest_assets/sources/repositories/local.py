"""A git repository on this machine, found and checked without a git program or library opening it.

A repository's own files can point elsewhere (a .git file, a linked worktree, borrowed objects, links). Each
such place must be in an allowed folder too. Of its configuration only the formats of objects and refs are
read.

What belongs here: where a repository's parts are. What does not: its objects and its refs (objects, mirror).
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ingest_assets.model import ConfigurationError

_MAX_POINTER = 4_096  # bytes of a file that holds a path
_MAX_CONFIG = 1 << 20
_MAX_BORROWED = 5
_OTHER_FORMAT = re.compile(
    rb"^\s*(objectformat\s*=\s*(?!sha1\s*$)|refstorage\s*=\s*(?!files\s*$))", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class GitFolder:
    """Where the parts of a repository are, links resolved."""

    head: Path  # the folder of HEAD: a linked worktree has one of its own
    common: Path  # the folder of objects and refs


def inside_roots(path: Path, roots: tuple[Path, ...]) -> Path:
    """The path with links resolved. Raises ConfigurationError when it is missing or outside every root."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        allowed = [Path(os.path.realpath(root)) for root in roots]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its path is not valid"
        raise ConfigurationError(f"The local repository cannot be opened: {why}.") from None
    if not any(real.is_relative_to(root) for root in allowed):
        raise ConfigurationError(
            "The local repository is outside the folders that are allowed, or a link in it leads out of them."
        )
    return real


def git_folder(path: Path, roots: tuple[Path, ...]) -> GitFolder:
    """The repository at `path`: a worktree's folder, or a bare repository. Parent folders are not searched.

    Raises ConfigurationError when there is none, or a part of it lies outside the allowed folders.
    """
    if not path.is_dir():
        raise ConfigurationError("The local repository is not a folder.")
    pointer = path / ".git"
    if os.path.lexists(pointer):
        pointer = inside_roots(pointer, roots)
        head = pointer if pointer.is_dir() else inside_roots(path / _pointed(pointer, b"gitdir: "), roots)
    else:
        head = path
    if not _is_file(head / "HEAD"):
        raise ConfigurationError(
            "The folder is not a git repository (a plain folder is not one: run `git init` in it and commit)."
        )
    common = head
    if _is_file(head / "commondir"):
        common = inside_roots(head / _pointed(head / "commondir", b""), roots)
    _require_plain(common, roots)
    return GitFolder(head, common)


def _require_plain(common: Path, roots: tuple[Path, ...]) -> None:
    if not (common / "objects").is_dir() or not (common / "refs").is_dir():
        raise ConfigurationError("The folder is not a git repository: it has no objects or no refs.")
    for part in ("HEAD", "refs", "objects", "objects/pack", "packed-refs"):
        if os.path.lexists(common / part):
            inside_roots(common / part, roots)
    _require_own_objects(common / "objects", roots, _MAX_BORROWED)
    config = common / "config"
    if _is_file(config) and _OTHER_FORMAT.search(_start_of(config, _MAX_CONFIG)):
        raise ConfigurationError(
            "The repository keeps its objects as SHA-256 or its refs as reftable: not supported."
        )


def _require_own_objects(objects: Path, roots: tuple[Path, ...], depth: int) -> None:
    """Objects that are borrowed from other repositories must lie in allowed folders as well."""
    alternates = objects / "info" / "alternates"
    if not os.path.lexists(alternates):
        return
    if depth == 0 or not _is_file(alternates):
        raise ConfigurationError(
            "The repository borrows objects (objects/info/alternates) in too many steps."
        )
    for line in _start_of(alternates, _MAX_CONFIG).splitlines():
        if line and not line.startswith(b"#"):
            _require_own_objects(inside_roots(objects / os.fsdecode(line), roots), roots, depth - 1)


def _pointed(file: Path, prefix: bytes) -> str:
    text = _start_of(file, _MAX_POINTER) if _is_file(file) else b""
    target = text.removeprefix(prefix).strip()
    if not text.startswith(prefix) or not target or b"\0" in target:
        raise ConfigurationError(f"The folder is not a git repository: its {file.name} file cannot be read.")
    return os.fsdecode(target)


def _start_of(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(size)
    except OSError as error:
        raise ConfigurationError(f"The local repository cannot be read: {error.strerror}.") from None


def _is_file(path: Path) -> bool:
    """A regular file: opening a pipe or a device could block forever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
