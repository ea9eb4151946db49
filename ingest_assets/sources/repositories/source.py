"""One repository at one commit as a Source: one document per file, with a digest of what it is rendered from.

What belongs here: which files become documents, and how they are rendered. What does not: fetching (mirror),
which the caller does first, and how files are cut into pieces (chunking).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

from ingest_assets.model import (
    Document,
    IngestError,
    SkippedItem,
    SourceItem,
    SourceUnavailableError,
    UnavailableError,
    digest_of,
)
from ingest_assets.sources.repositories.content import decode, is_generated, is_text
from ingest_assets.sources.repositories.ignore import checked
from ingest_assets.sources.repositories.languages import is_binary_name, language_of
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.objects import BLOB, Objects
from ingest_assets.sources.repositories.origin import checked_ref
from ingest_assets.sources.repositories.tree import Entry, Skip, TreeLimits, ignore_rules, walk

# Part of every digest and signature: raise it when the same file is rendered or classified differently.
VERSION = "1"


class RepositorySource:
    """The files of one ref of one repository, as last fetched (of a local one, as it is now).

    `name` is the source's name in the ledger; a document's id is `prefix` and the path. After a read,
    `skips`, `detected`, `accepted`, `languages` and `commit` say what was found; during a read they grow.
    """

    def __init__(
        self,
        name: str,
        mirror: Mirror,
        *,
        prefix: str = "",
        ref: str | None = None,
        patterns: Sequence[str] = (),
        limits: TreeLimits | None = None,
    ) -> None:
        self.name = name
        self.mirror = mirror
        self.prefix = prefix
        self.ref = checked_ref(ref)
        self.patterns = tuple(checked(patterns))
        self.limits = limits or TreeLimits()
        self.repaired = 0  # nothing is ever cleaned: byte ranges must match the file
        self._begin(None)

    def _begin(self, commit: str | None) -> None:
        self.commit = commit
        self.detected = 0  # files found
        self.accepted = 0  # those of them that are documents
        self.skips: list[Skip] = []  # and the others
        self.languages: Counter[str] = Counter()  # of those accepted

    @property
    def skipped(self) -> list[SkippedItem]:
        """The files that were left out, as the ledger has them."""
        return [
            SkippedItem(f"{self.prefix}{skip.path}", skip.reason, skip.size, skip.detail)
            for skip in self.skips
        ]

    def signature(self) -> str | None:
        """Differs when the commit, a limit, a pattern or the version does. Never touches the network.

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
            for found in walk(objects, tree, rules, self.limits):
                self.detected += 1
                if isinstance(found, Skip):
                    self.skips.append(found)
                elif item := self._item(objects, found):
                    yield item
        except SourceUnavailableError:
            raise
        except UnavailableError as error:
            raise SourceUnavailableError(str(error)) from error

    def _item(self, objects: Objects, entry: Entry) -> SourceItem | None:
        judged = _judge(objects, entry)
        if isinstance(judged, Skip):
            self.skips.append(judged)
            return None
        self.accepted += 1
        self.languages[judged] += 1
        uri = self.mirror.origin.link(entry.path, self.ref)
        digest = digest_of("file", VERSION, entry.oid, entry.path, f"{entry.mode:o}", judged, uri)
        render = partial(self._render, objects, entry, judged, uri)
        return SourceItem(f"{self.prefix}{entry.path}", digest, render)

    def _render(self, objects: Objects, entry: Entry, language: str, uri: str) -> Document:
        """Raises ItemError when the file is not text."""
        _, content = objects.read(entry.oid)
        body, encoding = decode(content)
        attributes = {
            "path": entry.path,
            "language": language,
            "encoding": encoding,
            "repository": self.mirror.origin.id,
        }
        return Document(
            id=f"{self.prefix}{entry.path}",
            kind="file",
            title=entry.path,
            uri=uri,
            time=None,  # a commit's time would change every document with every commit
            context=(),
            body=body,
            attributes=attributes,
        )


def _judge(objects: Objects, entry: Entry) -> str | Skip:
    """The language of a file by its content, or why it is skipped."""
    if is_binary_name(entry.path):
        return Skip(entry.path, "binary", entry.size, "by its name")
    kind, content = objects.read(entry.oid)
    if kind != BLOB:
        return Skip(entry.path, "parse_error", entry.size, "not a file")
    if not is_text(content):
        return Skip(entry.path, "binary", entry.size, "its bytes are not text")
    language = language_of(entry.path, content)
    if not entry.kept and is_generated(content, language):
        return Skip(entry.path, "ignore_pattern", entry.size, "generated")
    if language is None:
        return Skip(entry.path, "unsupported_language", entry.size)
    return language
