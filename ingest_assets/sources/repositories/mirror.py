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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ingest_assets.model import SourceUnavailableError, UnavailableError
from ingest_assets.sources.repositories.connection import FetchBudget, conversation
from ingest_assets.sources.repositories.consolidate import consolidate
from ingest_assets.sources.repositories.fetch import Fetched, FetchLimits, Held, advise, fetch_into
from ingest_assets.sources.repositories.local import GitFolder, git_folder
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.origin import Origin, checked_ref
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.refs import PREFIXES, Refs, local_refs, refs_of
from ingest_assets.sources.repositories.transport import client

_STATE = "ingest.json"
_DAMAGED = "damaged"
_MAX_REFS_BYTES = 64 << 20
_MAX_PACKS = 20  # each fetch brings one; more make every look-up slower


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
    with FetchBudget(f"Looking at {origin.id}", timeout_s, _MAX_REFS_BYTES) as budget, conversation(budget):
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
    ) -> None:
        self.origin = origin
        self.limits = limits or FetchLimits()
        self.shallow = shallow
        self.folder = workspace / _folder_name(origin.id)
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
            self._repair()
            try:
                fetched = self._fetch(ref, interrupt)
            except UnavailableError as error:
                raise advise(error, ref) from error
            return self._remember(ref, fetched)

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
        known = self._state().get(ref or "HEAD")
        if known is None:
            raise SourceUnavailableError(f"{self.origin.id} has not been fetched yet.")
        return known

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """The objects, for reading. Damage found while reading is recorded: the next fetch starts over."""
        own = self.origin.path is None
        folder = self.folder if own else _local_folder(self.origin, self._policy).common
        if not (folder / "objects").is_dir():
            raise SourceUnavailableError(f"{self.origin.id} has not been fetched yet.")
        try:
            with Objects(folder / "objects") as objects:
                yield objects
        except SourceUnavailableError:
            if own and folder.is_dir():
                (folder / _DAMAGED).touch()
            raise

    def remove(self) -> None:
        """Forget the mirror and free its space. A local repository is left alone."""
        if self.folder.exists():
            with self._exclusive():
                self._discard()

    def _fetch(self, ref: str | None, interrupt: Callable[[], None] | None) -> Fetched:
        """Builds on what is there already; if that turns out to be unusable, everything is fetched again."""
        held = self._held()
        if held.tips:
            try:
                return self._fetch_with(ref, held, interrupt)
            except SourceUnavailableError:
                self._discard()
                self._prepare()
        return self._fetch_with(ref, Held(frozenset(), frozenset()), interrupt)

    def _fetch_with(self, ref: str | None, held: Held, interrupt: Callable[[], None] | None) -> Fetched:
        return fetch_into(
            self.folder / "objects", self.origin, ref, held, self._policy, self.limits,
            full=not self.shallow, interrupt=interrupt,
        )  # fmt: skip

    def _remember(self, ref: str | None, fetched: Fetched) -> Head:
        head = Head(fetched.commit, fetched.tip, fetched.refs.default_branch)
        state = self._state() | {ref or "HEAD": head}
        shallow = sorted(fetched.shallow & {known.commit for known in state.values()})
        _replace(self.folder / "shallow", "".join(f"{oid}\n" for oid in shallow))
        _replace(
            self.folder / _STATE, json.dumps({name: asdict(known) for name, known in state.items()}, indent=1)
        )
        if fetched.received and len(list((self.folder / "objects/pack").glob("*.idx"))) > _MAX_PACKS:
            tips = {known.tip for known in state.values() if known.tip}
            consolidate(self.folder / "objects", tips, history=not self.shallow)
        return head

    def _held(self) -> Held:
        state = self._state()
        shallow = self.folder / "shallow"
        return Held(
            tips=frozenset(oid for head in state.values() for oid in (head.tip, head.commit) if oid),
            shallow=frozenset(shallow.read_text("ascii").split() if shallow.exists() else ()),
        )

    def _state(self) -> dict[str, Head]:
        try:
            text = (self.folder / _STATE).read_text("utf-8")
            return {name: Head(**head) for name, head in json.loads(text).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise SourceUnavailableError(f"What was fetched of {self.origin.id} cannot be read.") from error

    def _repair(self) -> None:
        """Make the mirror ready to be fetched into, whatever an earlier process left behind."""
        try:
            self._state()
            damaged = (self.folder / _DAMAGED).exists()
        except SourceUnavailableError:
            damaged = True
        if damaged:
            self._discard()
        self._prepare()
        pack = self.folder / "objects" / "pack"
        for left in [*pack.glob("tmp*"), *self.folder.glob("*.new")]:
            left.unlink(missing_ok=True)
        for half in pack.glob("*.pack"):
            if not half.with_suffix(".idx").exists():
                half.unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Create a bare repository that git itself accepts."""
        try:
            for name in ("objects/pack", "objects/info", "refs"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            for name, text in (
                ("HEAD", "ref: refs/heads/main\n"),
                ("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
            ):
                if not (self.folder / name).exists():
                    _replace(self.folder / name, text)
        except OSError as error:
            raise UnavailableError(
                f"The mirror of {self.origin.id} cannot be written: {error.strerror}."
            ) from error

    def _discard(self) -> None:
        """Rename it in one step, then delete it: a half-deleted mirror is never taken for one."""
        aside = self.folder.with_name(f"{self.folder.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        if self.folder.exists():
            self.folder.replace(aside)
            shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"))
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
    if not origin.path.exists():
        raise SourceUnavailableError(f"The local repository {origin.name} is no longer there.")
    return git_folder(origin.path, policy.local_roots)


def _folder_name(repository_id: str) -> str:
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
