"""What a ledger and a store hold, so that it can be compared with what others hold.

Entities are identified by their members, because their ids depend on the history.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from ingest_assets.collection.base import Store
from ingest_assets.ledger import Ledger, tables
from ingest_assets_tests.support.small_parts import COLLECTION, Stored, contents, dump


class _Names:
    """Entities by their smallest member, which unlike their ids does not depend on the history."""

    def __init__(self, ledger: Ledger) -> None:
        member, about = tables.entity_member, tables.document_entities
        with ledger.reading() as connection:
            members = connection.execute(sa.select(member).order_by(member.c.document_id.desc())).all()
            links = connection.execute(sa.select(about.c.digest, about.c.entity_ids)).all()
        self._names = {row.entity_id: row.document_id for row in members}
        self._texts = {row.digest: repr(self.of(json.loads(row.entity_ids))) for row in links}

    def of(self, entities: Sequence[str]) -> list[str]:
        return sorted(self._names[entity] for entity in entities)

    def of_digest(self, digest: str) -> str:
        """A digest whose end, if it is that of a list of entities, is replaced by their names."""
        return digest[:-32] + self._texts[digest[-32:]] if digest[-32:] in self._texts else digest


def recorded(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the tables that follow from the source; of the points, those of the live generation."""
    rows = dump(ledger, but=("source", "generation", "last_success"))
    names = _Names(ledger)
    member, about, point = tables.entity_member.c, tables.document_entities.c, tables.point.c
    with ledger.reading() as connection:
        live = sa.select(tables.generation.c.number).filter_by(state="live").scalar_subquery()
        points = connection.execute(sa.select(tables.point).where(point.generation == live)).all()
        members = connection.execute(
            sa.select(member.document_id, member.document_digest, member.kind, member.entity_id)
        ).all()
        links = connection.execute(
            sa.select(about.document_id, about.document_digest, about.entity_ids)
        ).all()
    held = {name: rows[name] for name in ("document", "chunked", "chunk", "match_pair", "match_block")}
    held["entity_member"] = sorted((*row[:3], *names.of([row[3]])) for row in members)
    held["document_entities"] = sorted((*row[:2], *names.of(json.loads(row[2]))) for row in links)
    held["point"] = sorted(
        (p.chunk_id, p.document_id, p.chunk_digest, names.of_digest(p.entities_digest)) for p in points
    )
    return held


def named_contents(store: Store, ledger: Ledger, collection: str = COLLECTION) -> Stored:
    """What the store holds, with entities by name."""
    names = _Names(ledger)
    return {
        key: (
            payload
            | {"entity_ids": names.of(payload["entity_ids"]), "digest": names.of_digest(payload["digest"])},
            dense,
            sparse,
        )
        for key, (payload, dense, sparse) in contents(store, collection).items()
    }


def assert_same_contents(ours: Any, theirs: Any) -> None:
    assert sorted(ours) == sorted(theirs)
    for key, (payload, dense, sparse) in theirs.items():
        assert ours[key][0] == payload
        assert ours[key][2] == sparse
        np.testing.assert_allclose(ours[key][1], dense, atol=1e-6)
