"""Canonical ids: derived from records, never random.

What belongs here: how an id is made. Which entity keeps its id is decided in `continuity`.
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

    A record can be the oldest member of a second entity: its first entity was merged into another one, from
    which it was later split off. The second entity gets a different id, because the first id leads elsewhere.
    """
    for number in count():
        again = f"\n{number}" if number else ""
        made = str(uuid.uuid5(NAMESPACE, f"{source}\n{kind}\n{oldest}{again}"))
        if not is_taken(made):
            return made
    raise AssertionError("unreachable")
