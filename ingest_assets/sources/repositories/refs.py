"""The refs of a repository, remote or local, and the commit that a name stands for.

What belongs here: names to ids. What does not: objects, and how the refs were obtained (transport).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.model import ConfigurationError, SourceUnavailableError, digest_of
from ingest_assets.sources.repositories.local import GitFolder
from ingest_assets.sources.repositories.origin import is_commit

PREFIXES = (b"HEAD", b"refs/heads/", b"refs/tags/")
PEELED = "^{}"
MAX_REFS = 100_000
_MAX_PACKED_REFS = 64 << 20  # bytes
_MAX_REF_BYTES = 4_096
_MAX_REF_DEPTH = 20  # folders
_MAX_REF_STEPS = 5  # refs that name refs
_SHORT_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}\Z")
_SHOWABLE = re.compile(r"refs/heads/[^\x00-\x20\x7f-\x9f\u2028-\u202e\u2066-\u2069]{1,250}\Z")


@dataclass(frozen=True, slots=True)
class Refs:
    """Branches and tags by full name, and HEAD, each with the id of its object.

    An annotated tag has a second entry, its name and "^{}", with the commit it stands for, where known.
    """

    ids: Mapping[str, str]
    default_branch: str | None = None  # full name of what HEAD points to

    @property
    def empty(self) -> bool:
        """There is no commit at all: the repository is new, or was emptied."""
        return not self.ids

    def tip(self, ref: str | None) -> str | None:
        """The id that a ref (None: HEAD) stands for; None only for a repository without any commit.

        A branch is preferred to a tag of the same name, as `git clone --branch` does. Raises
        ConfigurationError when there are commits and no such ref.
        """
        if ref is not None and is_commit(ref):
            return ref
        if self.empty:
            return None
        for name in _names(ref):
            if name in self.ids:
                return self.ids[name]
        if ref is None:
            raise JobTargetError("The repository's HEAD names a branch that does not exist: give a branch.")
        advice = ""
        if _SHORT_COMMIT.match(ref):
            advice = " A commit is named by all its 40 digits, in lower case."
        raise JobTargetError(f"The repository has no branch or tag {ref!r}, or no longer has it.{advice}")

    def commit(self, ref: str | None) -> str | None:
        """Like `tip`, but for an annotated tag its commit, if the server sent that."""
        tip = self.tip(ref)
        if ref is None or is_commit(ref):
            return tip
        return next((self.ids[name + PEELED] for name in _names(ref) if name + PEELED in self.ids), tip)

    def digest(self, ref: str | None) -> str:
        """A token that differs when the ref's commit does."""
        return digest_of("refs", ref, self.commit(ref))


def refs_of(raw: Iterable[tuple[bytes, bytes | None]], head: bytes | None) -> Refs:
    """From what a server sent: its refs, and what its HEAD points to. Invalid entries are left out."""
    pairs = list(raw)
    if len(pairs) > 2 * MAX_REFS:  # each tag has two
        raise _too_many()
    ids = {}
    for name, value in pairs:
        oid = value.decode("ascii", "replace") if value else ""
        if name.startswith(PREFIXES) and is_commit(oid) and oid.strip("0"):
            ids[name.decode("utf-8", "replace")] = oid
    branch = head.decode("utf-8", "replace") if head else ""
    return Refs(ids, branch if _SHOWABLE.match(branch) else None)


def local_refs(folder: GitFolder) -> Refs:
    """The refs of a repository on this machine, as they are now.

    Raises SourceUnavailableError when they cannot be read, ConfigurationError when a part of them lies
    outside the allowed folders.
    """
    try:
        return _LocalRefs(folder).read()
    except (OSError, ValueError) as error:
        raise SourceUnavailableError(
            f"The refs of the repository {folder.common.name} are damaged."
        ) from error


class _LocalRefs:
    """Refs as git's own files have them: one file each, or packed together; a file of its own wins."""

    def __init__(self, folder: GitFolder) -> None:
        self._folder = folder
        self._ids: dict[str, str] = {}

    def read(self) -> Refs:
        self._packed()
        for name in ("refs/heads", "refs/tags"):
            self._below(name, 0)
        target = self._target(self._folder.head, "HEAD")
        branch = target if target.startswith("refs/") else None
        oid = self._resolved(branch) if branch else target
        if oid:
            self._ids["HEAD"] = oid
        raw = ((os.fsencode(key), oid.encode()) for key, oid in self._ids.items())
        return refs_of(raw, os.fsencode(branch) if branch else None)

    def _packed(self) -> None:
        """A line is "<id> <name>"; "^<id>" gives the commit of the tag in the line before."""
        name = ""
        try:
            text = self._start_of(self._folder.common / "packed-refs", _MAX_PACKED_REFS)
        except FileNotFoundError:
            return
        for line in text.decode("utf-8", "replace").splitlines():
            if line.startswith("^"):
                self._add(name + PEELED, line[1:])
            elif not line.startswith("#"):
                oid, _, name = line.partition(" ")
                self._add(name, oid)

    def _below(self, name: str, depth: int) -> None:
        folder = self._folder.common / name
        if depth > _MAX_REF_DEPTH or not self._folder.files.is_folder(folder):
            return
        for part in self._folder.files.names(folder):
            below = f"{name}/{part}"
            if self._folder.files.is_folder(folder / part):
                self._below(below, depth + 1)
            elif not part.endswith(".lock"):
                self._ids.pop(below + PEELED, None)
                self._add(below, self._resolved(below))

    def _add(self, name: str, oid: str) -> None:
        if len(self._ids) > 2 * MAX_REFS:  # each tag has two
            raise _too_many()
        if oid:
            self._ids[name] = oid

    def _resolved(self, name: str) -> str:
        """The id that a ref stands for, also if it names another one; "" if that does not exist."""
        for _ in range(_MAX_REF_STEPS):
            try:
                found = self._target(self._folder.common, name)
            except FileNotFoundError:
                return self._ids.get(name, "")
            if not found.startswith("refs/"):
                return found
            name = found
        raise ValueError("a ref that names itself")

    def _target(self, folder: Path, name: str) -> str:
        """What a ref's file holds: an id, or the name of another ref."""
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError("a ref with an invalid name")
        text = self._start_of(folder.joinpath(*parts), _MAX_REF_BYTES).decode("utf-8", "replace").strip()
        target = text.removeprefix("ref:").strip()
        if not is_commit(target) and not (target != text and target.startswith("refs/")):
            raise ValueError("a ref that is damaged")
        return target

    def _start_of(self, path: Path, size: int) -> bytes:
        with self._folder.files.open(path) as file:
            found = file.read(size)
        if len(found) == size:
            raise ValueError("a file of refs that is too large")
        return found


def _too_many() -> ConfigurationError:
    return ConfigurationError(f"The repository has more than {MAX_REFS:,} branches and tags: refused.")


def _names(ref: str | None) -> tuple[str, ...]:
    if ref is None:
        return ("HEAD",)
    return (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")
