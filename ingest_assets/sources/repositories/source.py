"""One repository at one commit as a Source: one document per file, with a digest of what it is rendered from.

What belongs here: which files become documents, and how they are rendered. What does not: fetching (mirror),
which the caller does first, and how files are cut into pieces (chunking).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ingest_assets.model import (
    Document,
    IngestError,
    SourceItem,
    SourceUnavailableError,
    UnavailableError,
    digest_of,
)
from ingest_assets.sandbox.limits import MIB, Grants, Limits
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets.sources.repositories.file import VERSION, file_digest, file_document, judged
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.found import FilesSource
from ingest_assets.sources.repositories.language_table import NO_TABLE, LanguageTable
from ingest_assets.sources.repositories.mirror import Head
from ingest_assets.sources.repositories.objects import BLOB, Objects
from ingest_assets.sources.repositories.origin import Origin, checked_ref
from ingest_assets.sources.repositories.tree import Entry, Skip, TreeLimits, ignore_rules, walk

if TYPE_CHECKING:
    from ingest_assets.sources.repositories.working_tree import WorkingTree

# What reading takes of memory besides an object and what it is made of.
READING = 256 * MIB


class Repository(Protocol):
    """What is read: a mirror, or in a confined process its objects alone."""

    @property
    def origin(self) -> Origin: ...

    def head(self, ref: str | None) -> Head: ...

    def objects(self) -> AbstractContextManager[Objects]: ...

    def mark_damaged(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ObjectsOf:
    """A repository at one commit, which reads its objects from some folders and from nowhere else."""

    origin: Origin
    at: Head
    folders: tuple[Path, ...]  # the first one borrows from the others
    max_bytes: int

    def head(self, _ref: str | None) -> Head:
        return self.at

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        with Objects(self.folders[0], self.max_bytes, Inside(self.folders)) as objects:
            yield objects

    def mark_damaged(self) -> None:
        """Whoever started the process does."""


class RepositorySource(FilesSource):
    """The files of one ref of one repository, as last fetched (of a local one, as it is now)."""

    def __init__(
        self,
        name: str,
        mirror: Repository,
        *,
        prefix: str = "",
        ref: str | None = None,
        patterns: Sequence[str] = (),
        limits: TreeLimits | None = None,
        table: LanguageTable = NO_TABLE,
    ) -> None:
        super().__init__(name, prefix=prefix, patterns=patterns, limits=limits, table=table)
        self.mirror = mirror
        self.ref = checked_ref(ref)

    @property
    def noun(self) -> str:
        """What reading it is called, in messages."""
        return f"the reader of {self.mirror.origin.id}"

    def inside(self) -> RepositorySource:
        """The same, of a repository that is nothing but folders of objects and a commit."""
        head = self.mirror.head(self.ref)
        self._begin(head.commit)
        with self.mirror.objects() as objects:
            there = ObjectsOf(self.mirror.origin, head, tuple(objects.folders()), objects.max_bytes)
        return RepositorySource(
            self.name,
            there,
            prefix=self.prefix,
            ref=self.ref,
            patterns=self.patterns,
            limits=self.limits,
            table=self.table,
        )

    def grants(self) -> Grants:
        """The folders of objects."""
        with self.mirror.objects() as objects:
            return Grants(read=tuple(objects.folders()))

    def bounds(self, given: Limits) -> Limits:
        """Of memory, at least what the largest object that is allowed may take."""
        with self.mirror.objects() as objects:
            return replace(given, memory_bytes=max(given.memory_bytes, READING + 2 * objects.max_bytes))

    def damaged(self) -> None:
        """The next fetch gets everything again."""
        self.mirror.mark_damaged()

    def signature(self) -> str | None:
        """Differs when the commit, a limit, a pattern, a language or the version does; without the network.

        None when the repository has not been fetched yet, or it or the ref does not exist: reading says why.
        """
        try:
            head = self.mirror.head(self.ref)
        except IngestError:
            return None
        limits = (self.limits.file_bytes, self.limits.total_bytes, self.limits.files, self.limits.depth)
        settings = [
            *(str(limit) for limit in limits),
            self.mirror.origin.id,
            self.mirror.origin.link("", self.ref),
            self.table.fingerprint,
        ]
        return digest_of("repository", VERSION, head.commit, *settings, *self.patterns)

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every file that is to be a document, by prefix and path. A repository without commits has none.

        Items are rendered while this is open. Raises SourceUnavailableError when the repository has not been
        fetched, is damaged or takes too long, ConfigurationError when it exceeds a limit.
        """
        head = self.mirror.head(self.ref)
        self._begin(head.commit)
        if head.commit is None:
            yield iter(())
            return
        with self.mirror.objects() as objects, closing(self._items(objects, head.commit)) as items:
            yield items

    def _items(self, objects: Objects, commit: str) -> Generator[SourceItem, None, None]:
        tree = objects.tree_of(commit)
        rules = ignore_rules(objects, tree, self.patterns)
        try:
            for found in walk(objects, tree, rules, self.limits, self.table):
                self.detected += 1
                if isinstance(found, Skip):
                    self._skip(found)
                elif item := self._item(objects, found):
                    yield item
        except SourceUnavailableError:
            raise
        except UnavailableError as error:
            raise SourceUnavailableError(str(error)) from error

    def _item(self, objects: Objects, entry: Entry) -> SourceItem | None:
        label = _judge(objects, entry, self.table)
        if isinstance(label, Skip):
            self._skip(label)
            return None
        self._accept(label, entry.attributes)
        uri = self.mirror.origin.link(entry.path, self.ref)
        digest = file_digest(entry.oid, entry.path, entry.mode, label, uri)
        render = partial(self._render, objects, entry, label, uri)
        return SourceItem(f"{self.prefix}{entry.path}", digest, render)

    def _render(self, objects: Objects, entry: Entry, label: str, uri: str) -> Document:
        """Raises ItemError when the file is not text."""
        return file_document(
            self.prefix, self.mirror.origin, entry.path, objects.read(entry.oid)[1], label, uri
        )


class ConfinedRepository(ConfinedSource):
    """A repository whose objects are read in a confined process."""

    origin: RepositorySource | WorkingTree

    @property
    def prefix(self) -> str:
        return self.origin.prefix

    @property
    def commit(self) -> str | None:
        return self.origin.commit


def _judge(objects: Objects, entry: Entry, table: LanguageTable) -> str | Skip:
    """The label of a file's language by its content, or why it is skipped."""
    kind, content = objects.read(entry.oid)
    if kind != BLOB:
        return Skip(entry.path, "parse_error", entry.size, "not a file")
    return judged(entry.path, content, kept=entry.kept, attributes=entry.attributes, table=table)
