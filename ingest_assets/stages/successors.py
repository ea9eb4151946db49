"""What an entity's id stands for now, in the ledger.

What belongs here: following ids that were retired. What does not: retiring them (see `stages.resolution`).
"""

from __future__ import annotations

import sqlalchemy as sa

from ingest_assets.entities.continuity import successor
from ingest_assets.ledger import tables

_entity = tables.entity


def living_id(connection: sa.Connection, source: str, entity_id: str) -> str | None:
    """The entity that an id stands for now: itself, or what it was merged into; None if nothing is left.

    An id that was never used is returned as it is.
    """
    query = sa.select(_entity.c.successor, _entity.c.retired)
    passed: dict[str, str | None] = {}
    current: str | None = entity_id
    while current is not None and current not in passed:
        row = connection.execute(query.filter_by(source=source, entity_id=current)).one_or_none()
        if row is None or not row.retired:
            break
        passed[current] = row.successor
        current = row.successor
    return successor(entity_id, passed)
