"""Marks: whose a name in a store is, and whose each of its generations is.

What belongs here: what a mark says, and its JSON form, which every version has to understand. What does not:
where an engine keeps marks, and what follows from one (see `owned`).

A mark prevents mistakes, not attacks: whoever may write to a store can also write marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest_assets.ledger.installation import Installation, printable

# In place of a generation's number: the mark of the name itself. Its holder alone may add generations.
NAME = 0
# Of anything in a mark, so that a message stays a sentence, whoever wrote the mark.
MAX_CHARS = 500


@dataclass(frozen=True, slots=True)
class Mark:
    """Who made something in a store, from which source, by which pipeline ("" where that is not known)."""

    owner: Installation
    source: str
    pipeline: str = ""  # fingerprint

    def to_json(self) -> dict[str, str]:
        """As it is kept in a store."""
        return {
            "owner": self.owner.id,
            "name": self.owner.name,
            "source": self.source,
            "pipeline": self.pipeline,
        }


def mark_from(value: Any) -> Mark:
    """A mark from its JSON form. What cannot be read is the mark of somebody unknown: it is not nobody's."""
    found = value if isinstance(value, Mapping) else {}
    owner, name, source, pipeline = (
        printable(found[key][:MAX_CHARS]) if isinstance(found.get(key), str) else ""
        for key in ("owner", "name", "source", "pipeline")
    )
    return Mark(Installation(owner, name if owner and name else "unknown"), source, pipeline)
