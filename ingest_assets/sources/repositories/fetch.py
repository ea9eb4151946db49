"""One conversation with a remote: its refs, and the objects that a mirror lacks for the wanted commit.

What belongs here: asking, and adding what came to the mirror's objects. What does not: what the mirror
records about it (mirror), connections (transport), the bytes of a pack (packfile).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ingest_assets.model import (
    ConfigurationError,
    ContentError,
    DamagedError,
    SourceUnavailableError,
    UnavailableError,
)
from ingest_assets.sandbox import Confined, ConfinedError, Grants, Sandbox
from ingest_assets.sandbox.limits import MIB
from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.repositories.connection import MAX_REFS_BYTES, REFS, conversation
from ingest_assets.sources.repositories.deltas import MissingBaseError
from ingest_assets.sources.repositories.objects import Objects, Seen, tree_entries
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
# What reading a pack takes of memory besides objects and what is known of each.
UNPACKING = 256 * MIB
_MAX_HAVES = 256  # commits announced as held; git's own client, too, gives up after this many in vain
_FOLDER, _SUBMODULE, _KIND = 0o040000, 0o160000, 0o170000


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of one fetch. To continue after one was hit, raise it and fetch again."""

    repository_bytes: int = 100 << 20  # of one transfer
    seconds: float = 300.0  # from the first connection to the last object
    memory_bytes: int | None = None  # for any single object, and what it is made of; None: as many

    @property
    def held_bytes(self) -> int:
        """What may be held at once of the contents of objects. Reading takes up to twice as much memory."""
        return min(self.repository_bytes, self.memory_bytes or self.repository_bytes)


@dataclass(frozen=True, slots=True)
class Means:
    """Who may be reached, within which limits, and where what comes is read."""

    policy: Policy
    limits: FetchLimits
    sandbox: Sandbox


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
    means: Means,
    *,
    full: bool,
    interrupt: Callable[[], None] | None = None,
) -> Fetched:
    """Fetch what `ref` stands for into a folder of objects, with its whole history or without any.

    Raises ConfigurationError and UnavailableError as `Mirror.fetch` does; `objects` then holds nothing new
    that is used. DamagedError says that what is held is not what it should be, or that the server is wrong
    about it: fetching again without it tells.
    """
    assert origin.url is not None
    limits = means.limits
    handle, name = tempfile.mkstemp(prefix="tmp-", suffix=".pack", dir=objects / "pack")
    path = Path(name)
    try:
        with FetchBudget(
            f"Fetching {origin.id}", limits.seconds, MAX_REFS_BYTES, interrupt, part=REFS
        ) as budget:

            def here() -> Objects:
                return Objects(objects, limits.held_bytes)

            with os.fdopen(handle, "wb") as out, here() as present, conversation(budget):
                exchange = _Exchange(present, ref, held, budget, limits.repository_bytes, full=full)
                exchange.run(client(origin.url, means.policy, budget), out)
                out.flush()
                os.fsync(out.fileno())
            if not path.stat().st_size:
                with here() as present:
                    return exchange.result(present.commit_of)
            with _unpacker(path, objects, origin, means) as process:
                process.ask("index", check=budget.check)
                return exchange.result(
                    lambda tip: process.ask("commit", tip, check=budget.check).decode("ascii", "replace")
                )
    except ConfinedError as error:
        raise ContentError(f"What the server sent cannot be read. {error}") from error
    except OSError as error:
        raise UnavailableError(f"The mirror of {origin.id} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _unpacker(pack: Path, objects: Path, origin: Origin, means: Means) -> Iterator[Confined]:
    """The process that reads a pack. It may take twice what may be held of memory, besides its own."""
    given, limits = means.sandbox.limits, means.limits
    bounds = replace(
        given,
        memory_bytes=max(given.memory_bytes, UNPACKING + 2 * limits.held_bytes),
        file_bytes=max(given.file_bytes, 2 * limits.repository_bytes),
        cpu_s=max(given.cpu_s, limits.seconds),  # the budget ends it earlier
    )
    grants = Grants(read=(objects,), write=(objects / "pack",))
    task = _Unpacker(pack, objects, limits)
    with means.sandbox.child(task, f"the reader of what {origin.id} sent", grants, bounds) as process:
        yield process


class _Unpacker:
    """The task of that process."""

    def __init__(self, pack: Path, objects: Path, limits: FetchLimits) -> None:
        self._pack, self._folder, self._limits = pack.absolute(), objects.absolute(), limits

    def index(self) -> bytes:
        """Check the pack, and index it."""
        size, held = self._limits.repository_bytes, self._limits.held_bytes
        with Objects(self._folder, held) as present:
            index_pack(self._pack, size, _unbounded, present.read_known, held)
        return b""

    def commit(self, tip: str) -> bytes:
        """The commit that a tip stands for, of which everything is there."""
        with Objects(self._folder, self._limits.held_bytes) as present:
            commit = present.commit_of(tip)
            try:
                require_complete(present, commit, _unbounded)
            except DamagedError as error:
                raise MissingBaseError("The server did not send everything that the commit needs.") from error
        return commit.encode()


def _checked(commit: str) -> str:
    if not is_commit(commit):
        raise UnavailableError("The process that reads what the server sent gave no commit.")
    return commit


def _unbounded() -> None:
    """Who asks bounds the time."""


def require_complete(objects: Objects, commit: str, check: Callable[[], None]) -> None:
    """Raises DamagedError when a folder or a file of the commit is missing.

    Takes one bit of memory for each object, and 20 bytes for each folder that is still to be read.
    """
    seen, waiting = Seen(objects), bytearray()
    tree = objects.tree_of(commit)
    seen.add(tree)
    waiting += bytes.fromhex(tree)
    while waiting:
        listing = objects.listing(waiting[-20:].hex())
        del waiting[-20:]
        for _, mode, oid in tree_entries(listing):
            check()
            if mode & _KIND == _SUBMODULE:
                continue  # its commit belongs to another repository
            if seen.add(oid) and mode & _KIND == _FOLDER:
                waiting += bytes.fromhex(oid)


class _Exchange:
    """The questions and answers of one fetch."""

    def __init__(
        self,
        objects: Objects,
        ref: str | None,
        held: Held,
        budget: FetchBudget,
        max_bytes: int,
        *,
        full: bool,
    ) -> None:
        self._objects = objects
        self._budget, self._max_bytes = budget, max_bytes
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

    def result(self, commit_of: Callable[[str], str]) -> Fetched:
        """What the mirror holds now. `commit_of` gives the commit that a tip stands for, if all is there."""
        refs = refs_of(self._answer.refs.items(), dict(self._answer.symrefs or {}).get(b"HEAD"))
        tip = refs.tip(self._ref)
        new = {oid.decode() for oid in self._answer.new_shallow or ()}
        old = {oid.decode() for oid in self._answer.new_unshallow or ()}
        shallow = frozenset((self._held.shallow | new) - old)
        if tip is None:
            return Fetched(refs, None, None, shallow, received=False)
        return Fetched(refs, tip, _checked(commit_of(tip)), shallow, received=self._asked)

    def _wanted(self, refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG002 - dulwich's
        from dulwich.objects import ObjectID

        tip = refs_of(refs.items(), None).tip(self._ref)
        if tip is None or (tip in self._held.tips and not (self._full and self._held.shallow)):
            return []
        self._asked = True
        self._budget.expect(
            "a repository (MAX_REPO_SIZE_GB, of a stream INGEST_REPOSITORY_MAX_MIB)", self._max_bytes
        )
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
        return ContentError(
            f"The server does not serve the commit {ref[:12]} by its id, or has no such commit: "
            "name a branch or a tag instead."
        )
    return error
