"""One conversation with a remote: its refs, and the objects that a mirror lacks for the wanted commit.

What belongs here: asking, and adding what came to the mirror's objects. What does not: what the mirror
records about it (mirror), connections (transport), the bytes of a pack (packfile).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ingest_assets.model import ConfigurationError, SourceUnavailableError, UnavailableError
from ingest_assets.sources.repositories.connection import FetchBudget, conversation
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.origin import Origin, is_commit
from ingest_assets.sources.repositories.packfile import index_pack
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.refs import PREFIXES, Refs, refs_of
from ingest_assets.sources.repositories.transport import client

if TYPE_CHECKING:
    from dulwich.client import GitClient
    from dulwich.object_store import ObjectStoreGraphWalker
    from dulwich.objects import ObjectID
    from dulwich.refs import Ref

_FULL_DEPTH = 0x7FFFFFFF  # what git sends for "all of it, and it is no longer shallow"
_MAX_HAVES = 256  # commits announced as held; git's own client, too, gives up after this many in vain
_FOLDER, _SUBMODULE, _KIND = 0o040000, 0o160000, 0o170000


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of one fetch. To continue after one was hit, raise it and fetch again."""

    repository_bytes: int = 100 << 20  # of one transfer, and of any single object
    seconds: float = 300.0  # from the first connection to the last object


@dataclass(frozen=True, slots=True)
class Held:
    """What a mirror holds already: tips with all their objects, and commits whose parents it lacks."""

    tips: frozenset[str]
    shallow: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a remote has, and what the mirror holds of it now. `tip` is None when there is no commit."""

    refs: Refs
    tip: str | None
    commit: str | None
    shallow: frozenset[str]
    received: bool  # whether objects were sent


def fetch_into(
    objects: Path,
    origin: Origin,
    ref: str | None,
    held: Held,
    policy: Policy,
    limits: FetchLimits,
    *,
    full: bool,
    interrupt: Callable[[], None] | None = None,
) -> Fetched:
    """Fetch what `ref` stands for into a folder of objects, with its whole history or without any.

    Raises ConfigurationError and UnavailableError as `Mirror.fetch` does; `objects` then holds nothing new
    that is used.
    """
    assert origin.url is not None
    handle, name = tempfile.mkstemp(prefix="tmp-", suffix=".pack", dir=objects / "pack")
    path = Path(name)
    try:
        with FetchBudget(
            f"Fetching {origin.id}", limits.seconds, limits.repository_bytes, interrupt
        ) as budget:
            with os.fdopen(handle, "wb") as out, Objects(objects) as present, conversation(budget):
                exchange = _Exchange(present, ref, held, full=full)
                exchange.run(client(origin.url, policy, budget), out)
                out.flush()
                os.fsync(out.fileno())
            if path.stat().st_size:
                with Objects(objects) as present:
                    index_pack(path, limits.repository_bytes, budget.check, present.read_known)
            with Objects(objects) as present:
                return exchange.result(present, budget.check)
    except OSError as error:
        raise UnavailableError(f"The mirror of {origin.id} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def require_complete(objects: Objects, commit: str, check: Callable[[], None]) -> None:
    """Raises SourceUnavailableError when a folder or a file of the commit is missing."""
    seen = {tree := objects.tree_of(commit)}
    waiting = [tree]
    while waiting:
        check()
        for _, mode, oid in objects.read_tree(waiting.pop()):
            if mode & _KIND == _SUBMODULE or oid in seen:
                continue  # the commit of a submodule belongs to another repository
            seen.add(oid)
            if mode & _KIND == _FOLDER:
                waiting.append(oid)
            else:
                objects.size(oid)


class _Exchange:
    """The questions and answers of one fetch."""

    def __init__(self, objects: Objects, ref: str | None, held: Held, *, full: bool) -> None:
        self._objects = objects
        self._ref = ref
        self._held = held
        self._full = full
        self._answer: Any = None
        self._asked = False

    def run(self, remote: GitClient, out: BinaryIO) -> None:
        """The pack goes to `out`."""
        self._answer = remote.fetch_pack(
            b"", self._wanted, self._walker(), out.write,
            depth=_FULL_DEPTH if self._full and self._held.shallow else None if self._full else 1,
            ref_prefix=list(PREFIXES),
        )  # fmt: skip

    def result(self, objects: Objects, check: Callable[[], None]) -> Fetched:
        refs = refs_of(self._answer.refs.items(), dict(self._answer.symrefs or {}).get(b"HEAD"))
        tip = refs.tip(self._ref)
        new = {oid.decode() for oid in self._answer.new_shallow or ()}
        old = {oid.decode() for oid in self._answer.new_unshallow or ()}
        shallow = frozenset((self._held.shallow | new) - old)
        if tip is None:
            return Fetched(refs, None, None, shallow, received=False)
        commit = objects.commit_of(tip)
        if self._asked:
            try:
                require_complete(objects, commit, check)
            except SourceUnavailableError as error:
                raise UnavailableError("The server did not send everything that the commit needs.") from error
        return Fetched(refs, tip, commit, shallow, received=self._asked)

    def _wanted(self, refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG002 - dulwich's
        from dulwich.objects import ObjectID

        tip = refs_of(refs.items(), None).tip(self._ref)
        if tip is None or (tip in self._held.tips and not (self._full and self._held.shallow)):
            return []
        self._asked = True
        return [ObjectID(tip.encode())]

    def _walker(self) -> ObjectStoreGraphWalker:
        """Announces what is here already, newest commits first, so that the server sends only the rest."""
        from dulwich.object_store import ObjectStoreGraphWalker
        from dulwich.objects import ObjectID

        def parents(oid: bytes) -> list[ObjectID]:
            if oid.decode() in self._held.shallow:
                return []
            try:
                return [ObjectID(parent.encode()) for parent in self._objects.parents_of(oid.decode())]
            except SourceUnavailableError:
                return []

        class Newest(ObjectStoreGraphWalker):
            """Stops at the limit: a server's answers to more could fill the buffers of the connection."""

            announced = 0

            def __next__(self) -> ObjectID | None:
                self.announced += 1
                return self.next() if self.announced <= _MAX_HAVES else None

        heads = [ObjectID(tip.encode()) for tip in sorted(self._held.tips)]
        return Newest(heads, parents, {ObjectID(oid.encode()) for oid in self._held.shallow})


def advise(error: UnavailableError, ref: str | None) -> UnavailableError | ConfigurationError:
    """Turns the refusal of a commit that was requested by its id into advice."""
    words = str(error).lower()
    if ref is not None and is_commit(ref) and ("not our ref" in words or "hung up" in words):
        return ConfigurationError(
            f"The server does not serve the commit {ref[:12]} by its id, or has no such commit: "
            "name a branch or a tag instead."
        )
    return error
