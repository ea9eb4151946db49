"""A repository on this machine: a bare mirror that is fetched into, or a local repository read in place.

A mirror is a folder of objects and a small file that says which commit each ref stood for when it was last
fetched. That file is replaced atomically, after everything that the commit needs is on disk. So a crash
leaves the previous state; the next fetch removes what is left over, and fetches again what is missing.

What belongs here: what is recorded, and who may change it. What does not: the conversation (fetch).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ingest_assets.model import (
    ConfigurationError,
    DamagedError,
    SourceUnavailableError,
    UnavailableError,
)
from ingest_assets.private import make_private_folder
from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.repositories.connection import MAX_REFS_BYTES, REFS, conversation
from ingest_assets.sources.repositories.consolidate import consolidate
from ingest_assets.sources.repositories.fetch import Fetched, FetchLimits, Held, Means, advise, fetch_into
from ingest_assets.sources.repositories.files import MACHINE, Files, Inside
from ingest_assets.sources.repositories.local import GitFolder, git_folder
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.origin import Origin, checked_ref, is_commit
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.refs import PREFIXES, Refs, local_refs, refs_of
from ingest_assets.sources.repositories.transport import client

_STATE = "ingest.json"
_SHALLOW = "shallow"
_DAMAGED = "damaged"
_MAX_PACKS = 20  # each fetch brings one; more make every look-up slower
_MOST_PACKS = 200  # when they cannot be merged
_MERGED = 4  # bytes of a merged pack, as a multiple of the limit of one fetch


@dataclass(frozen=True, slots=True)
class Head:
    """What a ref stood for. `commit` is None when the repository has no commit at all."""

    commit: str | None
    tip: str | None = None  # the annotated tag, or the commit again
    default_branch: str | None = None  # full name


def remote_heads(origin: Origin, policy: Policy, timeout_s: float = 10.0) -> Refs:
    """The current refs of a repository, without fetching. Compare `Refs.commit(ref)` with `Mirror.head(ref)`.

    Raises UnavailableError when it does not answer in time, ConfigurationError when it is not there, is
    private, or may not be reached.
    """
    if origin.path is not None:
        return local_refs(_local_folder(origin, policy))
    from dulwich.refs import Ref

    assert origin.url is not None
    looking = FetchBudget(f"Looking at {origin.id}", timeout_s, MAX_REFS_BYTES, part=REFS)
    with looking as budget, conversation(budget):
        answer = client(origin.url, policy, budget).get_refs(b"", ref_prefix=list(PREFIXES))
        return refs_of(answer.refs.items(), dict(answer.symrefs or {}).get(Ref(b"HEAD")))


class Mirror:
    """One repository as it is on this machine. Several processes may use it; fetches take turns.

    Everything it writes is below `workspace`. A local repository is read where it is, and never written to.
    """

    def __init__(
        self,
        origin: Origin,
        workspace: Path,
        policy: Policy,
        limits: FetchLimits | None = None,
        *,
        shallow: bool = True,
        sandbox: Sandbox | None = None,
    ) -> None:
        """`sandbox` is where what servers send is read; by default one below the workspace."""
        self._sandbox = sandbox or Sandbox(workspace / "tmp")
        self.origin = origin
        self.limits = limits or FetchLimits()
        self.shallow = shallow
        self.folder = workspace / folder_name(origin.id)
        self._policy = policy

    def fetch(self, ref: str | None = None, interrupt: Callable[[], None] | None = None) -> Head:
        """Bring what a branch, tag or commit (None: the default branch) stands for now onto this machine.

        `interrupt` is called about once a second, from another thread, and ends the fetch by raising.

        Raises ConfigurationError when the repository or the ref is not there, may not be fetched or exceeds
        a limit, UnavailableError when it could not be reached or the time is up. The previous state stays.
        """
        ref = checked_ref(ref)
        if self.origin.path is not None:
            return self.head(ref)
        with self._exclusive():
            self._clean()
            damage = self._damage()
            if damage is None:
                self._prepare(self.folder)
                held = self._held()
                try:
                    return self._fetch(self.folder, ref, held, interrupt)
                except DamagedError as error:
                    if not held.tips:
                        raise
                    damage = str(error)
                    self.mark_damaged()
            return self._fetch_anew(ref, damage, interrupt)

    def head(self, ref: str | None = None) -> Head:
        """What the ref stood for when it was last fetched; of a local repository, what it stands for now.

        Never touches the network. Raises SourceUnavailableError when it has not been fetched yet.
        """
        ref = checked_ref(ref)
        if self.origin.path is not None:
            refs = local_refs(_local_folder(self.origin, self._policy))
            tip = refs.tip(ref)
            if tip is None:
                return Head(None)
            with self.objects() as objects:
                return Head(objects.commit_of(tip), tip, refs.default_branch)
        if (self.folder / _DAMAGED).exists():
            raise SourceUnavailableError(
                f"What was fetched of {self.origin.id} is damaged. The next fetch gets all of it again."
            )
        known = self._state(self.folder).get(ref or "HEAD")
        if known is None:
            raise SourceUnavailableError(f"{self.origin.id} has not been fetched yet.")
        return known

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """The objects, for reading. Damage found while reading is recorded: the next fetch starts over."""
        own = self.origin.path is None
        folder: Path = self.folder
        files: Files = MACHINE
        if not own:
            local = _local_folder(self.origin, self._policy)
            folder, files = local.common, local.files
        elif not (folder / "objects").is_dir():
            raise SourceUnavailableError(f"{self.origin.id} has not been fetched yet.")
        try:
            with Objects(folder / "objects", self.limits.held_bytes, files) as objects:
                yield objects
        except DamagedError:
            self.mark_damaged()
            raise

    def remove(self) -> None:
        """Forget the mirror and free its space. A local repository is left alone."""
        if self.folder.exists():
            with self._exclusive():
                self._clean()
                self._discard()

    def _fetch(self, folder: Path, ref: str | None, held: Held, interrupt: Callable[[], None] | None) -> Head:
        """Bring what is not held into a folder, and note it there."""
        means = Means(self._policy, self.limits, self._sandbox)
        try:
            fetched = fetch_into(
                folder / "objects", self.origin, ref, held, means, full=not self.shallow, interrupt=interrupt
            )
        except UnavailableError as error:
            raise advise(error, ref) from error
        return self._remember(folder, ref, fetched)

    def _fetch_anew(self, ref: str | None, damage: str, interrupt: Callable[[], None] | None) -> Head:
        """Fetch everything beside a damaged mirror, and replace it only when that is whole."""
        fresh = self._beside(".fresh")
        self._prepare(fresh)
        try:
            head = self._fetch(fresh, ref, Held(frozenset(), frozenset()), interrupt)
        except (UnavailableError, ConfigurationError) as error:
            words = f"{error} Everything has to be fetched again, for what was fetched before is damaged: "
            raise type(error)(f"{words}{damage}") from error
        self._discard()
        fresh.replace(self.folder)
        return head

    def _remember(self, folder: Path, ref: str | None, fetched: Fetched) -> Head:
        head = Head(fetched.commit, fetched.tip, fetched.refs.default_branch)
        state = self._state(folder) | {ref or "HEAD": head}
        shallow = sorted(fetched.shallow & {known.commit for known in state.values()})
        _replace(folder / _SHALLOW, "".join(f"{oid}\n" for oid in shallow))
        _replace(
            folder / _STATE, json.dumps({name: asdict(known) for name, known in state.items()}, indent=1)
        )
        if fetched.received and self._packs(folder) > _MAX_PACKS:
            tips = {known.tip for known in state.values() if known.tip}
            limit = _MERGED * self.limits.repository_bytes
            held = min(limit, _MERGED * self.limits.held_bytes)
            consolidate(folder / "objects", tips, limit, held, history=not self.shallow)
        return head

    def _packs(self, folder: Path) -> int:
        return sum(1 for _ in (folder / "objects/pack").glob("*.idx"))

    def _held(self) -> Held:
        state = self._state(self.folder)
        return Held(
            tips=frozenset(oid for head in state.values() for oid in (head.tip, head.commit) if oid),
            shallow=self._shallow(),
        )

    def _state(self, folder: Path) -> dict[str, Head]:
        try:
            text = (folder / _STATE).read_text("utf-8")
            return {name: _checked(Head(**head)) for name, head in json.loads(text).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise SourceUnavailableError(f"What was fetched of {self.origin.id} cannot be read.") from error

    def _shallow(self) -> frozenset[str]:
        """The commits without parents here. Raises SourceUnavailableError when the list is damaged."""
        try:
            found = frozenset((self.folder / _SHALLOW).read_text("ascii").split())
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError):
            found = frozenset({""})
        if not all(map(is_commit, found)):
            raise SourceUnavailableError(f"The list of shallow commits of {self.origin.id} cannot be read.")
        return found

    def _damage(self) -> str | None:
        """Why what is here cannot be built on, in a sentence; None when it can.

        Not everything is read: files that are damaged are found when they are read.
        """
        if (self.folder / _DAMAGED).exists():
            return "An object was missing, or not what it should be."
        if self._packs(self.folder) > _MOST_PACKS:
            return "It has too many packs."
        try:
            held = self._held()
            if held.tips:
                with Objects(self.folder / "objects", self.limits.held_bytes) as objects:
                    self._require_boundary(objects, held)
        except SourceUnavailableError as error:
            return str(error)
        return None

    def _require_boundary(self, objects: Objects, held: Held) -> None:
        """A server sends what the commits that we say we have do not need, so this has to be right."""
        for oid in sorted(held.shallow):
            objects.parents_of(oid)
        for oid in {objects.commit_of(tip) for tip in held.tips} - held.shallow:
            for parent in objects.parents_of(oid):
                if parent not in objects:
                    raise SourceUnavailableError(
                        f"The list of shallow commits of {self.origin.id} is not right."
                    )

    def mark_damaged(self) -> None:
        """Have the next fetch get everything again. A local repository is left alone."""
        if self.origin.path is not None or not self.folder.is_dir():
            return
        with suppress(OSError):  # of a disk that is full, or of a mirror that is just being replaced
            (self.folder / _DAMAGED).touch()

    def _clean(self) -> None:
        """Remove what a process that was killed left behind."""
        pack = self.folder / "objects" / "pack"
        for left in [*pack.glob("tmp*"), *self.folder.glob("*.new")]:
            left.unlink(missing_ok=True)
        for half in pack.glob("*.pack"):
            if not half.with_suffix(".idx").exists():
                half.unlink(missing_ok=True)
        for suffix in (".fresh", ".old"):
            shutil.rmtree(self._beside(suffix), ignore_errors=True)

    def _prepare(self, folder: Path) -> None:
        """Create a bare repository that git itself accepts."""
        for name in ("objects/pack", "objects/info", "refs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("HEAD", "ref: refs/heads/main\n"),
            ("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
        ):
            if not (folder / name).exists():
                _replace(folder / name, text)

    def _discard(self) -> None:
        """Rename it in one step, then delete it: a half-deleted mirror is never taken for one."""
        aside = self._beside(".old")
        if self.folder.exists():
            self.folder.replace(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}{suffix}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            make_private_folder(self.folder.parent)
            lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"), mode=0o600)
            with lock.acquire(timeout=self.limits.seconds):
                yield
        except Timeout as error:
            raise UnavailableError(
                f"{self.origin.id} is being fetched by another process. Try again."
            ) from error
        except OSError as error:
            raise UnavailableError(
                f"The mirror of {self.origin.id} cannot be written: {error.strerror}."
            ) from error


def _local_folder(origin: Origin, policy: Policy) -> GitFolder:
    assert origin.path is not None
    roots = policy.roots_for(origin.path)
    if not os.path.lexists(Inside(roots).resolve(origin.path)):
        raise SourceUnavailableError(f"The local repository {origin.name} is no longer there.")
    return git_folder(origin.path, roots)


def _checked(head: Head) -> Head:
    """The same. Raises ValueError or TypeError when it is not what `_remember` writes."""
    ids = [oid for oid in (head.commit, head.tip) if oid is not None]
    if not all(map(is_commit, ids)) or not isinstance(head.default_branch, str | None):
        raise ValueError("not ids of commits")
    return head


def folder_name(repository_id: str) -> str:
    """Readable, and valid as a file name on every system."""
    readable = re.sub(r"[^a-z0-9.-]+", "_", repository_id.lower())[:60].strip("._-")
    return f"{readable}-{hashlib.sha256(repository_id.encode()).hexdigest()[:12]}"


def _replace(path: Path, text: str) -> None:
    """Write a file atomically; it is on disk before it has its name."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
