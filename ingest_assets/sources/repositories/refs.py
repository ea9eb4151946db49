"""The refs of a repository, remote or local, and the commit that a name stands for.

What belongs here: names to ids. What does not: objects, and how the refs were obtained (transport).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest_assets.model import ConfigurationError, SourceUnavailableError, digest_of
from ingest_assets.sources.repositories.local import GitFolder
from ingest_assets.sources.repositories.origin import is_commit

PREFIXES = (b"HEAD", b"refs/heads/", b"refs/tags/")
PEELED = "^{}"
MAX_REFS = 200_000


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
            raise ConfigurationError(
                "The repository's HEAD names a branch that does not exist: give a branch."
            )
        raise ConfigurationError(f"The repository has no branch or tag {ref!r}, or no longer has it.")

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
    if len(pairs) > MAX_REFS:
        raise ConfigurationError(f"The repository has more than {MAX_REFS:,} branches and tags: refused.")
    ids = {}
    for name, value in pairs:
        oid = value.decode("ascii", "replace") if value else ""
        if name.startswith(PREFIXES) and is_commit(oid) and oid.strip("0"):
            ids[name.decode("utf-8", "replace")] = oid
    return Refs(ids, head.decode("utf-8", "replace") if head else None)


def local_refs(folder: GitFolder) -> Refs:
    """The refs of a repository on this machine, as they are now.

    Raises SourceUnavailableError when they cannot be read.
    """
    from dulwich.refs import DiskRefsContainer, Ref, SymrefLoop

    container = DiskRefsContainer(folder.common, folder.head)
    try:
        # dulwich skips a folder that it may not list, and missing refs would look like missing commits.
        for name in ("refs", "refs/heads"):
            if (folder.common / name).exists():
                os.listdir(folder.common / name)  # noqa: PTH208  # only to see whether it can
        found = container.as_dict()
        target = container.get_symrefs().get(Ref(b"HEAD"))
    except (OSError, ValueError, KeyError, AssertionError, SymrefLoop) as error:
        raise SourceUnavailableError(
            f"The refs of the repository {Path(folder.common).name} are damaged."
        ) from error
    return refs_of(found.items(), target)


def _names(ref: str | None) -> tuple[str, ...]:
    if ref is None:
        return ("HEAD",)
    return (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")
