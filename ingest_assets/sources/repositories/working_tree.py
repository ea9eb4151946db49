"""A folder as it stands on disk as a Source: with what is not committed, and without what git ignores.

A file's digest is that of its content, as git computes it. A file that has not changed since the last read is
not read again (hints); one that changes while it is read is read again, and if it goes on changing its last
good version stays, and it is parked. The folder need not be a repository.

What belongs here: which files become documents. What does not: walking (disk), and when a hint is believed.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from ingest_assets.model import (
    ContentError,
    Document,
    IngestError,
    ItemError,
    SourceItem,
    SourceUnavailableError,
    UnavailableError,
    digest_of,
)
from ingest_assets.private import make_private_folder
from ingest_assets.sandbox.limits import MIB, Grants, Limits
from ingest_assets.sources.addresses import NotAllowedError
from ingest_assets.sources.repositories.disk import DiskFile, Stamp, Tracked, Unlisted, Walk
from ingest_assets.sources.repositories.file import VERSION, file_digest, file_document, judged
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.found import FilesSource
from ingest_assets.sources.repositories.hints import Clock, Hint, Hints, is_settled
from ingest_assets.sources.repositories.ignore import (
    IGNORE_FILE,
    MAX_IGNORE_BYTES,
    IgnoreRules,
)
from ingest_assets.sources.repositories.language_table import NO_TABLE, LanguageTable
from ingest_assets.sources.repositories.local import GitFolder, git_folder
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.origin import Origin
from ingest_assets.sources.repositories.refs import local_refs
from ingest_assets.sources.repositories.tree import FILES, Skip, SkipReason, TreeLimits

_TRIES = 3  # of reading a file that changes meanwhile
_MAX_INDEX = 256 * MIB  # bytes of git's list of tracked files
_MAX_EXCLUDES = 1 << 20
_AT_ONCE = 1 << 20  # bytes of one read
# What reading so many files takes of memory, besides those that are held until they are rendered.
_READING = 512 * MIB


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to read, and what goes with it."""

    origin: Origin  # with a path
    roots: tuple[Path, ...]  # the folders that it may be in
    kept_in: Path  # where its hints are, a folder of its own
    own: tuple[Path, ...] = ()  # folders of this program, which are left out

    @property
    def path(self) -> Path:
        assert self.origin.path is not None
        return self.origin.path

    def git(self) -> GitFolder | None:
        """Its repository, if it is one that can be read."""
        try:
            return git_folder(self.path, (*self.roots, self.path))
        except IngestError:
            return None

    def commit(self) -> str | None:
        """What its HEAD stands for; None if it is no repository, or has no commit."""
        if (git := self.git()) is None:
            return None
        try:
            tip = local_refs(git).tip(None)
            if tip is None:
                return None
            with Objects(git.common / "objects", MIB, git.files) as objects:
                return objects.commit_of(tip)
        except IngestError:  # a damaged repository is still a folder
            return None


class WorkingTree(FilesSource):
    """The files of a folder, as they are."""

    def __init__(
        self,
        name: str,
        folder: Folder,
        *,
        prefix: str = "",
        patterns: Sequence[str] = (),
        limits: TreeLimits | None = None,
        table: LanguageTable = NO_TABLE,
    ) -> None:
        super().__init__(name, prefix=prefix, patterns=patterns, limits=limits, table=table)
        self.folder = folder
        # What a confined process cannot find out for itself.
        self._clock = Clock.now()
        self._git_index: Path | None = None
        self._excludes: tuple[bytes, ...] = ()
        self._ready = False

    def _begin(self, commit: str | None) -> None:
        super()._begin(commit)
        self.read_files = 0  # whose content was read, because nothing said that it is the same

    @property
    def noun(self) -> str:
        """What reading it is called, in messages."""
        return f"the reader of {self.folder.origin.id}"

    def inside(self) -> WorkingTree:
        """The same, with all that is outside the folder."""
        self._begin(self.folder.commit())
        inside = copy(self)
        inside._prepare()
        return inside

    def _prepare(self) -> None:
        self._clock = Clock.now()
        git = self.folder.git()
        self._git_index = git.head / "index" if git else None
        self._excludes = tuple(excludes_of(git))
        self._ready = True

    def grants(self) -> Grants:
        """The folder, git's list of tracked files, and where hints are kept."""
        try:
            make_private_folder(self.folder.kept_in)
        except OSError as error:
            raise UnavailableError(f"{self.folder.kept_in} cannot be made: {error.strerror}.") from error
        git = self.folder.git()
        index = (git.head / "index",) if git else ()
        return Grants(read=(self.folder.path, *index), write=(self.folder.kept_in,))

    def bounds(self, given: Limits) -> Limits:
        reading = _READING * max(1, self.limits.files // FILES)
        memory = max(given.memory_bytes, reading + 4 * self.limits.file_bytes)
        return Limits(memory, self.limits.seconds, given.file_bytes, given.answer_bytes, given.open_files)

    def facts(self) -> Mapping[str, Any]:
        """See `FilesSource`; and how many files were read."""
        return {**super().facts(), "read": self.read_files}

    def note(self, facts: Mapping[str, Any]) -> None:
        """See `FilesSource`."""
        super().note(facts)
        self.read_files = int(facts["read"])

    def damaged(self) -> None:
        """Nothing is kept of it but hints."""

    def signature(self) -> str | None:
        """Nothing short of a walk tells whether a folder has changed: it is always read."""
        return None

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every file that is to be a document, by prefix and path.

        Items are rendered while this is open. Raises SourceUnavailableError when the folder cannot be read
        or vanishes, ConfigurationError when it exceeds a limit.
        """
        if not self._ready:
            self._begin(self.folder.commit())
            self._prepare()
        self._ready = False  # for one read
        with self._held() as files:
            yield self._items(Reader(self.folder.path, files, self.limits.file_bytes))

    @contextmanager
    def _held(self) -> Iterator[Inside]:
        name = self.folder.path.name
        with ExitStack() as stack:
            try:
                files = stack.enter_context(Inside.held(self.folder.path))
            except NotAllowedError:
                raise SourceUnavailableError(f"The folder {name} was replaced by a link.") from None
            except OSError as error:
                raise SourceUnavailableError(f"The folder {name} is gone: {error.strerror}.") from None
            yield files

    def _items(self, reader: Reader) -> Iterator[SourceItem]:
        rules = rules_of(reader, self.patterns)
        hints = Hints.load(self.folder.kept_in, self._rules_digest(reader), self._clock)
        walk = Walk(
            self.folder.path,
            reader.files,
            rules,
            self.limits,
            self._tracked,
            self._excludes,
            self.folder.own,
            self.table,
        )
        try:
            for found in walk.run():
                self.detected += 1
                if isinstance(found, Skip):
                    self._skip(found)
                elif isinstance(found, Unlisted):
                    yield from self._unlisted(found, hints)
                elif item := self._item(reader, hints, found):
                    yield item
        except SourceUnavailableError:
            raise
        except UnavailableError as error:
            raise SourceUnavailableError(str(error)) from error
        hints.save(self.folder.kept_in)

    def _tracked(self) -> Tracked:
        """What git tracks. If that cannot be read, what git ignores is left out, tracked or not."""
        try:
            return Tracked.of(tracked_in(self._git_index) if self._git_index else ())
        except IngestError as error:
            self._skip(Skip(".git/index", "parse_error", None, str(error)))
            return Tracked()

    def _rules_digest(self, reader: Reader) -> str:
        """Of all but the file that decides what becomes of it once it is read."""
        return digest_of("hints", VERSION, str(reader.most), self.table.fingerprint)

    def _item(self, reader: Reader, hints: Hints, file: DiskFile) -> SourceItem | None:
        content: bytes | None = None
        hint = hints.of(file)
        if hint is None:
            try:
                hint, content = self._read(reader, file)
            except FileNotFoundError:  # gone since it was listed
                return None
            except (OSError, ItemError) as error:
                said = f"{error.strerror}." if isinstance(error, OSError) else str(error)
                return self._refused(file.path, hints, f"It cannot be read: {said}", file.stamp)
        hints.note(file.path, hint)
        if not hint.language:
            self._skip(Skip(file.path, _reason(hint.reason), hint.stamp.size, hint.detail))
            return None
        self._accept(hint.language, file.attributes)
        uri = self.folder.origin.link(file.path, None)
        digest = file_digest(hint.oid, file.path, file.mode, hint.language, uri)
        render = partial(self._render, reader, file.path, hint, content, uri)
        return SourceItem(f"{self.prefix}{file.path}", digest, render, len(content or b""))

    def _read(self, reader: Reader, file: DiskFile) -> tuple[Hint, bytes]:
        self.read_files += 1
        at = time.time_ns()
        stamp, content = reader.read(file.path)
        verdict: str | Skip
        if len(content) > reader.most:
            verdict = Skip(file.path, "too_large", stamp.size, f"more than {reader.most:,} bytes")
        else:
            verdict = judged(file.path, content, kept=file.kept, attributes=file.attributes, table=self.table)
        language, reason, detail = (
            ("", verdict.reason, verdict.detail) if isinstance(verdict, Skip) else (verdict, "", "")
        )
        settled = is_settled(stamp, at)
        hint = Hint(stamp, file.kept, file.attributes, _oid(content), language, reason, detail, settled)
        return hint, content

    def _refused(self, path: str, hints: Hints, why: str, *state: object) -> SourceItem:
        """A file that is there and cannot be read: what is recorded of it stays."""
        if (before := hints.before.get(path)) is not None:
            hints.note(path, before._replace(settled=False))
        self.accepted += 1
        digest = digest_of("unread", VERSION, path, why, repr(state))
        return SourceItem(f"{self.prefix}{path}", digest, partial(_refuse, why))

    def _unlisted(self, found: Unlisted, hints: Hints) -> Iterator[SourceItem]:
        """What was in a folder that cannot be listed stays, as far as it is known."""
        self._skip(Skip(found.folder, "parse_error", None, found.detail))
        for path in sorted(hints.before):
            if path.startswith(found.folder) and hints.before[path].language:
                yield self._refused(path, hints, f"Its folder {found.detail}.")

    def _render(self, reader: Reader, path: str, hint: Hint, content: bytes | None, uri: str) -> Document:
        """Raises ItemError when the file is not what it was when it was listed."""
        if content is None:
            try:
                content = reader.read(path)[1]
            except OSError as error:
                raise ItemError(f"It cannot be read: {error.strerror}.") from None
            if _oid(content) != hint.oid:
                raise ItemError("It changed while the folder was read. The next run reads it again.")
        return file_document(self.prefix, self.folder.origin, path, content, hint.language, uri)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files below a folder, whole and as they are at one moment."""

    root: Path
    files: Inside
    most: int  # bytes of a file; of a larger one only the beginning is read

    def read(self, path: str) -> tuple[Stamp, bytes]:
        """Raises OSError, and ItemError for a file that changes all the time, or became a link outside."""
        for _ in range(_TRIES):
            try:
                file = self.files.open(self.root / path)
            except NotAllowedError:
                raise ItemError("it has become a symbolic link that leaves the folder.") from None
            with file:
                before = Stamp.of(os.fstat(file.fileno()))
                content = _start_of(file, self.most + 1)
                after = Stamp.of(os.fstat(file.fileno()))
            if before == after and len(content) == min(after.size, self.most + 1):
                return after, content
        raise ItemError("it changes while it is read.")


def _start_of(file: IO[bytes], size: int) -> bytes:
    """The first bytes of an unbuffered file, fewer only at its end."""
    parts: list[bytes] = []
    while size and (part := file.read(min(size, _AT_ONCE))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _oid(content: bytes) -> str:
    """As git computes it for a file's content."""
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()


def rules_of(reader: Reader, patterns: tuple[str, ...]) -> IgnoreRules:
    """The defaults, the folder's own `.ingestignore`, and the caller's patterns."""
    try:
        _, own = reader.read(IGNORE_FILE)
    except FileNotFoundError:
        own = b""
    except (OSError, ItemError) as error:  # without it, what it hides would be read
        raise SourceUnavailableError(f"The folder's {IGNORE_FILE} cannot be read: {error}") from None
    if len(own) > MAX_IGNORE_BYTES:
        raise ContentError(f"The folder's {IGNORE_FILE} has over {MAX_IGNORE_BYTES:,} bytes.")
    return IgnoreRules(patterns, own)


def tracked_in(index: Path) -> list[bytes]:
    """The paths in git's index, which is a file in its folder: a pipe would never end, a link leads anywhere.

    Raises SourceUnavailableError.
    """
    from dulwich.index import read_index_dict_with_version

    try:
        with Inside((index.parent,)).open(index) as file:
            content = _start_of(file, _MAX_INDEX)
        return list(read_index_dict_with_version(io.BytesIO(content))[0])
    except FileNotFoundError:
        return []
    # It may have been made by anybody, and the library fails on a broken one as it comes.
    except Exception as error:
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise SourceUnavailableError(f"git's list of files cannot be read: {why}") from error


def excludes_of(git: GitFolder | None) -> Iterator[bytes]:
    """What git ignores besides what `.gitignore` files say: the repository's list, then the user's."""
    from dulwich.config import StackedConfig
    from dulwich.ignore import default_user_ignore_filter_path

    if git is not None:
        with suppress(OSError, IngestError), git.files.open(git.common / "info" / "exclude") as file:
            yield _start_of(file, _MAX_EXCLUDES)
    with suppress(OSError, ValueError):  # a configuration that git itself would refuse
        path = Path(default_user_ignore_filter_path(StackedConfig.default())).expanduser()
        yield path.read_bytes()[:_MAX_EXCLUDES]


def _reason(reason: str) -> SkipReason:
    return cast("SkipReason", reason)


def _refuse(why: str) -> Document:
    raise ItemError(why)
