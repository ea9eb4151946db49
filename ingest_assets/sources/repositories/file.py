"""One file of a repository as a document: whether it is one, its digest, and what it is rendered to.

What belongs here: what is the same for a file of a commit and one on disk. What does not: where files come
from (source, working_tree).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ingest_assets.model import Document, digest_of
from ingest_assets.sources.repositories.attributes import NOTHING_SAID, FileAttributes
from ingest_assets.sources.repositories.content import decode, is_generated, is_text
from ingest_assets.sources.repositories.language_table import (
    NO_TABLE,
    LanguageTable,
    known_language,
    split_label,
)
from ingest_assets.sources.repositories.origin import Origin
from ingest_assets.sources.repositories.tree import Skip

# Part of every digest and signature: raise it when the same file is rendered or classified differently.
VERSION = "2"
# Of languages that are not known: how many are listed, and characters of each.
_LISTED, _SHOWN = 20, 60


class Languages:
    """How many files there are of each language, and of those that `.gitattributes` names unknown."""

    def __init__(
        self, known: Mapping[str, int] | None = None, unknown: Mapping[str, int] | None = None
    ) -> None:
        self.known, self.unknown = Counter(known or {}), Counter(unknown or {})

    def count(self, label: str, attributes: FileAttributes) -> None:
        """One more file."""
        self.known[split_label(label)[0]] += 1
        written = attributes.language
        if written is not None and known_language(written) is None:
            shown = written[:_SHOWN]
            more = len(self.unknown) >= _LISTED and shown not in self.unknown
            self.unknown["(others)" if more else shown] += 1


def languages_in(facts: Mapping[str, Any]) -> Languages:
    """What a process that reads a source has counted."""

    def counts(name: str) -> Mapping[str, int]:
        return {str(language): int(count) for language, count in facts[name].items()}

    return Languages(counts("languages"), counts("unknown_languages"))


def judged(
    path: str,
    content: bytes,
    *,
    kept: bool,
    attributes: FileAttributes = NOTHING_SAID,
    table: LanguageTable = NO_TABLE,
) -> str | Skip:
    """The label of a file's language (see `language_table`) by its content, or why it is skipped."""
    size = len(content)
    if not is_text(content):
        return Skip(path, "binary", size, "its bytes are not text")
    label = table.of(path, content, attributes)
    if not kept and attributes.generated is None and is_generated(content, label and split_label(label)[0]):
        return Skip(path, "ignore_pattern", size, "generated")
    if label is None:
        return Skip(path, "unsupported_language", size)
    return label


def file_digest(oid: str, path: str, mode: int, label: str, uri: str) -> str:
    """Of what a document is made from. The same for a file on disk as once it is committed."""
    return digest_of("file", VERSION, oid, path, f"{mode:o}", label, uri)


def file_document(prefix: str, origin: Origin, path: str, content: bytes, label: str, uri: str) -> Document:
    """Raises ItemError when the file is not text."""
    body, encoding = decode(content)
    language, grammar = split_label(label)
    attributes = {"path": path, "language": language, "encoding": encoding, "repository": origin.id}
    return Document(
        id=f"{prefix}{path}",
        kind="file",
        title=path,
        uri=uri,
        time=None,  # a commit's time would change every document with every commit
        context=(),
        body=body,
        attributes=attributes if grammar is None else {**attributes, "grammar": grammar},
    )
