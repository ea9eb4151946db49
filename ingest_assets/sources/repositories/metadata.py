"""What an operator sees about a run that read a repository.

What belongs here: counts of files by language and by reason. What does not: reading them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ingest_assets.model import Markdown
from ingest_assets.sources.repositories.source import ConfinedRepository
from ingest_assets.stages.records import Records

if TYPE_CHECKING:
    from ingest_assets.reconcile import Stage

LISTED = 20


def files_metadata(stage: Stage) -> dict[str, Any]:
    """What was found; nothing if the commit was known, because then no file is read."""
    found = stage.origin if isinstance(stage, Records) else None
    if not isinstance(found, ConfinedRepository) or (found.commit is None and not found.origin.detected):
        return {}
    source = found.origin
    metadata: dict[str, Any] = {
        # A folder on disk need not have one.
        **({"commit": source.commit} if source.commit else {}),
        "files_detected": source.detected,
        "files_skipped": len(found.skipped),
    }
    reasons = Counter(skip.reason for skip in found.skipped)
    tables = {
        "languages": source.languages.known,
        "languages_not_known": source.languages.unknown,
        "skipped": reasons,
    }
    for title, counts in tables.items():
        rows = [f"| {name} | {count:,} |" for name, count in counts.most_common(LISTED)]
        if rows:
            metadata[title] = Markdown(
                "\n".join([f"| {title.replace('_', ' ')} | files |", "|---|---|", *rows])
            )
    return metadata
