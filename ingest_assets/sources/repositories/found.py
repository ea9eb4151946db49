"""What every source of files has: how it is to be read, and what a read has found.

What belongs here: counting. What does not: where files come from (`source`: a commit; `working_tree`: a
folder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ingest_assets.model import SkippedItem
from ingest_assets.sources.repositories.attributes import FileAttributes
from ingest_assets.sources.repositories.file import Languages, languages_in
from ingest_assets.sources.repositories.ignore import checked
from ingest_assets.sources.repositories.language_table import NO_TABLE, LanguageTable
from ingest_assets.sources.repositories.tree import Skip, TreeLimits


class FilesSource:
    """`name` is the source's name in the ledger; a document's id is `prefix` and the path.

    After a read, `skipped`, `detected`, `accepted`, `languages` and `commit` say what was found; during a
    read they grow.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str = "",
        patterns: Sequence[str] = (),
        limits: TreeLimits | None = None,
        table: LanguageTable = NO_TABLE,
    ) -> None:
        self.name, self.prefix, self.table = name, prefix, table
        self.patterns = tuple(checked(patterns))
        self.limits = limits or TreeLimits()
        self.repaired = 0  # nothing is ever cleaned: byte ranges must match the file
        self._begin(None)

    def _begin(self, commit: str | None) -> None:
        self.commit = commit
        self.detected = 0  # files found
        self.accepted = 0  # those of them that are documents
        self.skipped: list[SkippedItem] = []  # and the others
        self.languages = Languages()  # of those accepted

    def facts(self) -> Mapping[str, Any]:
        """What has been found so far."""
        return {
            "detected": self.detected,
            "accepted": self.accepted,
            "languages": self.languages.known,
            "unknown_languages": self.languages.unknown,
        }

    def note(self, facts: Mapping[str, Any]) -> None:
        """Take over what a process that reads it has found. Other facts than these are not looked at."""
        self.detected, self.accepted = int(facts["detected"]), int(facts["accepted"])
        self.languages = languages_in(facts)

    def _accept(self, language: str, attributes: FileAttributes) -> None:
        self.accepted += 1
        self.languages.count(language, attributes)

    def _skip(self, skip: Skip) -> None:
        self.skipped.append(SkippedItem(f"{self.prefix}{skip.path}", skip.reason, skip.size, skip.detail))
