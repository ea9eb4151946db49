"""The workspace of papers on disk: its folders and files, written whole, and its lock.

    pass1_bundles/paper_{paper_id}.json     one for each paper: the truth, from which all else is made
    medlit_merged/                          entities.json, relationships.json, id_map.json, synonym_cache.json
    medlit_bundle/                          manifest.json and the jsonl files
    .ingest.lock                            locked while anything but bundles is written

What belongs here: where files are, replacing them, and who may. What does not: what is in them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, Self

from ingest_assets.model import ConfigurationError, ItemError, UnavailableError

PAPER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()-]{0,119}")
_BUNDLE_NAME = re.compile(rf"paper_({PAPER_ID.pattern})\.json")
_DRAFT = ".new"  # ending of files that are being written
_STALE_S = 3_600.0  # where there are no locks, a draft that is older was left by a crash
_RETRY_S = 0.05
_PIECE = 1 << 20
# What flock says where there is none: NFS without a lock server, some network and user-space file systems.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class BundleFile(NamedTuple):
    """The file of one paper's bundle. Its name says which paper it is."""

    paper_id: str
    path: Path


class Draft:
    """A file that is being written beside the one that it will replace. `commit` or `discard` ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.blake2b(digest_size=16)
        with _writing(path):
            self._draft, descriptor = _new_draft(path)
        # It stays open until it is in its place: its lock says that somebody is writing it.
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")
        self._same: bool | None = None  # as the file that is there; None while it is written

    def write(self, data: bytes) -> None:
        """Add to the file. Raises UnavailableError if the disk is full."""
        self._hash.update(data)
        with _writing(self.path):
            self._file.write(data)

    @property
    def digest(self) -> str:
        """Of what has been written, 32 hex characters."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Have everything on disk, so that `commit` has nothing left to fail but a rename."""
        with _writing(self.path):
            self._file.flush()
            self._same = not self.path.is_symlink() and file_digest(self.path) == self.digest
            if not self._same:
                os.fsync(self._file.fileno())

    def commit(self) -> bool:
        """Replace the file, unless its content is the same. Returns whether it was replaced."""
        return bool(replace([self]))

    def put(self) -> bool:
        """Do what `commit` does; but what is in the folder is not on disk yet."""
        if self._same is None:
            self.finish()
        if self._same:
            self.discard()
            return False
        with _writing(self.path):
            self._draft.replace(self.path)
            self._file.close()
        return True

    def discard(self) -> None:
        """Forget what was written."""
        with suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()  # does nothing after `commit`


class Workspace:
    """The folders and files below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundles = root / "pass1_bundles"
        self.merged = root / "medlit_merged"
        self.graph = root / "medlit_bundle"
        self.lock_file = root / ".ingest.lock"

    @property
    def folders(self) -> tuple[Path, ...]:
        return self.bundles, self.merged, self.graph, self.graph / "docs"

    def create(self) -> None:
        """Create what is missing. Raises ConfigurationError if it cannot, or if a folder leads elsewhere."""
        try:
            for folder in (self.root, *self.folders):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The workspace {self.root} cannot be created: {error.strerror} ({error.filename}). Set "
                "INGEST_WORKSPACE_ROOT to a folder that can be written."
            ) from error
        inside = self.root.resolve()
        for folder in self.folders:
            if not folder.resolve().is_relative_to(inside):
                raise ConfigurationError(
                    f"{folder} is a link that leads out of the workspace. Replace it by a folder."
                )

    def bundle_path(self, paper_id: str) -> Path:
        """Where a paper's bundle is kept. Raises ItemError for what is not the id of a paper."""
        if not PAPER_ID.fullmatch(paper_id):
            raise ItemError(
                f"{paper_id[:130]!r} cannot be a paper's id: it needs letters, digits, dots, dashes, "
                "underscores and brackets only, and at most 120 of them."
            )
        return self.bundles / f"paper_{paper_id}.json"

    def bundle_files(self) -> list[BundleFile]:
        """The bundles, sorted by paper."""
        return sorted(
            BundleFile(found[1], self.bundles / name)
            for name in self._names()
            if (found := _BUNDLE_NAME.fullmatch(name))
        )

    def misnamed_files(self) -> list[str]:
        """Files that look like bundles, but whose name is not that of a paper: they are not read."""
        return [
            name
            for name in self._names()
            if name.startswith("paper_") and name.endswith(".json") and not _BUNDLE_NAME.fullmatch(name)
        ]

    def write(self, path: Path, data: bytes) -> bool:
        """Replace a file whole, unless its content is the same. Returns whether it was replaced.

        Raises UnavailableError if the disk is full: the old file is still there.
        """
        with Draft(path) as draft:
            draft.write(data)
            return draft.commit()

    def remove_bundle(self, paper_id: str) -> bool:
        """Remove a paper's bundle. Returns whether there was one."""
        path = self.bundle_path(paper_id)
        with _writing(path):
            if not path.exists() and not path.is_symlink():
                return False
            path.unlink()
            _sync_folder(path.parent)
        return True

    def clean(self) -> int:
        """Remove what a crash left of files that were being written. Returns how many there were."""
        left = [draft for folder in self.folders for draft in sorted(folder.glob(f".*{_DRAFT}"))]
        return sum(_removed_if_nobodys(draft) for draft in left)

    @contextmanager
    def lock(self, wait_s: float = 600.0, check: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the workspace's lock, which also the old scripts take. The system lets go of it on a crash.

        `check` is called every 50 ms while another process has it, and may raise to give up. Raises
        UnavailableError if it cannot be had in `wait_s` seconds, ConfigurationError where there are no locks.
        """
        flock = _flock()
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise ConfigurationError(
                f"The workspace's lock {self.lock_file} cannot be opened: {error.strerror}."
            ) from error
        try:
            self._acquire(flock, descriptor, time.monotonic() + wait_s, check)
            yield
        finally:
            _let_go(descriptor)

    def _acquire(
        self,
        flock: Callable[[int], bool],
        descriptor: int,
        deadline: float,
        check: Callable[[], None] | None,
    ) -> None:
        while True:
            try:
                if flock(descriptor):
                    return
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                raise ConfigurationError(
                    f"The file system of {self.root} has no locks ({error.strerror}). Put the workspace on a "
                    "local disk, or on a network file system with flock."
                ) from error
            if check is not None:
                check()
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"Another process is working in {self.root} and holds its lock. Try again later."
                )
            time.sleep(_RETRY_S)

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.bundles))  # noqa: PTH208 - names are wanted, not paths
        except FileNotFoundError:
            return []


def read_whole(path: Path, limit: int) -> bytes:
    """A file's content. Raises ItemError if it is a link, not a file, or larger than `limit` bytes.

    Raises FileNotFoundError if there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ItemError(f"{path.name} is a link. Put the file itself into {path.parent}.") from error
        raise ItemError(f"{path.name} cannot be read: {error.strerror}.") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ItemError(f"{path.name} is not a file.")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = b"" if about.st_size > limit else file.read(limit + 1)
    finally:
        os.close(descriptor)
    if about.st_size > limit or len(data) > limit:
        raise ItemError(f"{path.name} is larger than the {limit >> 20} MiB that are read.")
    return data


def file_digest(path: Path) -> str | None:
    """Digest of a file's content, 32 hex characters; None if there is no such file."""
    found = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    except (FileNotFoundError, IsADirectoryError):
        return None
    return found.hexdigest()


@contextmanager
def drafts(paths: Sequence[Path]) -> Iterator[list[Draft]]:
    """Drafts of several files; those that were not committed are discarded at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(Draft(path)) for path in paths]


def replace(some: Sequence[Draft]) -> list[str]:
    """Replace files, and have that on disk. Returns the names of those whose content differs."""
    put = [draft.path for draft in some if draft.put()]
    for folder in dict.fromkeys(path.parent for path in put):
        with _writing(folder):
            _sync_folder(folder)
    return [path.name for path in put]


def _new_draft(path: Path) -> tuple[Path, int]:
    """A new file beside the path, and its descriptor, which holds its lock where there are locks."""
    while True:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_DRAFT}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            is_ours = _flock()(descriptor)
        except (OSError, ConfigurationError):
            is_ours = True
        # Before it was locked, somebody who cleans up may have taken it for a dead process's.
        if is_ours and draft.exists():
            return draft, descriptor
        os.close(descriptor)
        draft.unlink(missing_ok=True)


def _removed_if_nobodys(draft: Path) -> bool:
    """Remove a draft whose process is gone: nobody has its lock, or, without locks, it is an hour old."""
    try:
        descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        try:
            nobodys = _flock()(descriptor)
        except (OSError, ConfigurationError):
            nobodys = time.time() - os.fstat(descriptor).st_mtime >= _STALE_S
        if nobodys:
            draft.unlink(missing_ok=True)
        return nobodys
    finally:
        os.close(descriptor)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}. What was there before is unchanged; make room or "
            "set the permissions, and try again."
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _let_go(descriptor: int) -> None:
    """Unlock and close. Closing alone would leave the lock with a process that was forked meanwhile."""
    import fcntl

    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _flock() -> Callable[[int], bool]:
    """A function that tries to lock a file and returns whether it did."""
    try:
        import fcntl
    except ImportError as error:
        raise ConfigurationError(
            "This system has no flock, which keeps two processes out of one workspace. Use Linux or macOS."
        ) from error

    def attempt(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    return attempt
