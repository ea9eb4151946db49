"""Canonical ids: derived, never drawn.

What belongs here: how an id is made. Which entity keeps its id is the business of `continuity`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import count

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ingest-assets:entity")


def entity_id(
    source: str, kind: str, oldest: str, is_taken: Callable[[str], bool] = lambda _made: False
) -> str:
    """The id of a new entity, from its oldest member: a UUIDv5 that is not taken.

    A member may be the oldest of a second entity, when it is split off from one that its first one was merged
    into: the second gets another id, since the first one's leads elsewhere for ever.
    """
    for number in count():
        again = f"\n{number}" if number else ""
        made = str(uuid.uuid5(NAMESPACE, f"{source}\n{kind}\n{oldest}{again}"))
        if not is_taken(made):
            return made
    raise AssertionError("unreachable")
